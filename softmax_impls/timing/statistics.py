"""Compare samples: ratios with confidence intervals, a margin from the A/A control, and ties.

Sample i of every kernel is from round i, so a long disturbance slows all kernels. A short disturbance only makes
samples longer. So the fastest samples of two kernels are compared within each group of rounds, and the ratio of two
kernels is the interquartile mean over the groups: a group that was disturbed throughout does not change it. A group is
a block, that is the rounds on one placement of the arrays, or a pair of rounds. Differences between groups, such as the
effect of placement, widen the interval.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Samples = Sequence[float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rules:
    """The constants of a comparison; each field states its reason."""

    min_margin: float = 0.01  # relative difference up to which kernels tie, however sure
    confidence: float = 0.95
    resamples: int = 999  # of the bootstrap
    few_rounds: int = 10  # with fewer, an interval is at least as wide as the range of the ratios
    min_blocks: int = 4  # fewer blocks are not used as groups
    pair_from: int = 30  # rounds from which groups without blocks are pairs; with fewer, each round is a group
    quietest: float = 0.25  # share of the samples of a group that counts, the fastest
    fastest: int = 3  # a kernel is faster only if the sum of this many fastest samples is smaller, too
    # Of the pairs, the quieter half counts, but at least this many. Another process can use the shared cache for most
    # of a minute: it slowed one kernel down by 1.8 and a kernel with non-temporal stores by 1.2 (6144×512).
    min_pairs: int = 12
    trimmed: float = 0.25  # share of the groups that is left out at either end
    single_ratio: float = 2.0  # factor either way by which a single ratio may be wrong


RULES = Rules()
MIN_MARGIN = RULES.min_margin


@dataclass(frozen=True)
class Ratio:
    """The time of a kernel over the time of another, and a confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The comparison of the kernels of a cell.

    Attributes
    ----------
    best : str
        The fastest of the kernels that were in every round.
    ratios : dict of str to Ratio
        Time of each other kernel over the time of the best.
    margin : float
        An interval has to be beyond 1 + margin for a difference.
    ties : tuple of str
        Kernels that are not eliminated and not clearly slower than the best: the interval is not beyond the margin, or
        its fastest samples are faster than the fastest samples of the best.
    behind : tuple of str
        Kernels that are slower than the best by more than twice the margin.
    settled : bool
        Whether each kernel that is not eliminated is clearly slower than the best, or within twice the margin of it.
    """

    best: str
    ratios: dict[str, Ratio]
    margin: float
    ties: tuple[str, ...]
    behind: tuple[str, ...]
    settled: bool


def compare_samples(
    samples: Mapping[str, Samples],
    margin: float = MIN_MARGIN,
    eliminated: Collection[str] = (),
    blocks: Sequence[int] = (),
) -> Comparison:
    """Compare kernels by their samples.

    Parameters
    ----------
    samples : mapping of str to sequence of float
        Seconds for each kernel, one sample for each round, from the first round on; at least one sample each.
    margin : float, optional
        Relative difference up to which kernels tie, see `margin_from`.
    eliminated : collection of str, optional
        Kernels that were eliminated. Their intervals may be wide, as they have few samples, but they do not tie.
    blocks : sequence of int, optional
        Rounds of each block, if the arrays were placed anew between blocks.
    """
    rounds = max(map(len, samples.values()))
    complete = {name: taken for name, taken in samples.items() if len(taken) == rounds}
    quickest = min(complete, key=lambda name: float(_fastest_quarter(np.log(complete[name]))))
    best = min(complete, key=lambda name: quiet_ratio(complete[name], complete[quickest], blocks=blocks).value)
    others = [name for name in samples if name != best]
    rivals = [name for name in others if name not in eliminated]
    # Each end of an interval holds for all rivals at once (Bonferroni).
    confidence = 1 - 2 * (1 - RULES.confidence) / max(2, sum(name in complete for name in rivals))
    ratios = {name: quiet_ratio(samples[name], samples[best], confidence, blocks) for name in others}
    slower = [name for name in rivals if not _has_faster_samples(samples[name], samples[best])]
    beaten = [name for name in slower if ratios[name].low > 1 + margin]
    return Comparison(
        best=best,
        ratios=ratios,
        margin=margin,
        ties=tuple(name for name in rivals if name not in beaten),
        behind=tuple(name for name in slower if ratios[name].low > 1 + 2 * margin),
        settled=all(name in beaten or ratios[name].high < 1 + 2 * margin for name in rivals),
    )


def margin_from(control_ratio: Ratio | None) -> float:
    """Return the margin of a cell: 1 %, or the smallest difference of the A/A control that its interval allows."""
    if control_ratio is None:
        return MIN_MARGIN
    return max(MIN_MARGIN, control_ratio.low - 1, 1 / control_ratio.high - 1)


def quiet_ratio(a: Samples, b: Samples, confidence: float = RULES.confidence, blocks: Sequence[int] = ()) -> Ratio:
    """Return the time of `a` over the time of `b`, from the fastest quarter of the samples of each group of rounds.

    The value is the interquartile mean over the groups. The interval is Student's for a trimmed mean (K. K. Yuen, "The
    two-sample trimmed t for unequal population variances", Biometrika 61 (1), 1974). The groups are the blocks if there
    are at least four, else single rounds or, from 30 rounds on, pairs of rounds, of which the half counts in which both
    kernels were fastest. For fewer than ten rounds it is the median ratio and the interval of `paired_ratio`.

    Parameters
    ----------
    a, b : sequence of float
        Seconds, one sample for each round; the rounds that both have are compared.
    confidence : float, optional
        Of the interval.
    blocks : sequence of int, optional
        Rounds of each block.
    """
    rounds = min(len(a), len(b))
    logs = np.log(np.array([a[:rounds], b[:rounds]], dtype=float))
    if rounds < RULES.few_rounds:
        return _ratio_of_few(logs[0] - logs[1], confidence)
    ends = [end for end in itertools.accumulate(blocks) if end <= rounds]
    if len(ends) >= RULES.min_blocks:
        times = _by_group(logs, ends)
    elif rounds < RULES.pair_from:
        times = logs
    else:
        times = _quieter_half(_by_group(logs, range(2 + rounds % 2, rounds + 1, 2)))
    value, half = _trimmed_mean(times[0] - times[1], confidence)
    return Ratio(math.exp(value), math.exp(value - half), math.exp(value + half))


def paired_ratio(a: Samples, b: Samples, confidence: float = RULES.confidence) -> Ratio:
    """Return the median of a/b over the rounds that both have: the ratio of usual calls.

    The interval is by bootstrap (percentile method). For fewer than ten rounds it is Student's of the mean logarithm,
    and at least as wide as the range of the ratios.

    Parameters
    ----------
    a, b : sequence of float
        Seconds, one sample for each round.
    confidence : float, optional
        Of the interval.
    """
    rounds = min(len(a), len(b))
    logs = np.log(np.asarray(a[:rounds]) / np.asarray(b[:rounds]))
    if rounds < RULES.few_rounds:
        return _ratio_of_few(logs, confidence)
    found = stats.bootstrap(
        (logs,), np.median, confidence_level=confidence, n_resamples=RULES.resamples, method="percentile", rng=rounds
    )
    low, high = (float(end) for end in found.confidence_interval)
    return Ratio(math.exp(np.median(logs)), math.exp(low), math.exp(high))


def median_interval(samples: Samples, confidence: float = RULES.confidence) -> tuple[float, float]:
    """Return a confidence interval of the median: two of the samples (binomial)."""
    ordered = sorted(samples)
    outside = max(1, int(stats.binom.ppf((1 - confidence) / 2, len(ordered), 0.5)))
    return ordered[outside - 1], ordered[-outside]


def _by_group(logs: Floats, ends: Sequence[int]) -> Floats:
    """Return the time of each kernel in each group of rounds, given the groups' ends."""
    return np.stack([_fastest_quarter(logs[:, start:end]) for start, end in itertools.pairwise([0, *ends])], axis=1)


def _fastest_quarter(logs: Floats) -> Floats:
    """Return the mean of the smallest quarter along the last axis."""
    count = math.ceil(logs.shape[-1] * RULES.quietest)
    smallest: Floats = np.partition(logs, count - 1, axis=-1)[..., :count].mean(axis=-1)
    return smallest


def _quieter_half(times: Floats) -> Floats:
    """Return the half of the groups in which both kernels were fastest."""
    slower = times.argsort(axis=1).argsort(axis=1).max(axis=0)  # the worse of the two kernels' ranks
    kept = np.argsort(slower, kind="stable")[: max(RULES.min_pairs, math.ceil(times.shape[1] / 2))]
    return times[:, np.sort(kept)]


def _trimmed_mean(values: Floats, confidence: float) -> tuple[float, float]:
    """Return the trimmed mean and half its interval; SciPy's functions for masked arrays take ten times as long."""
    ordered = np.sort(values)
    count, cut = len(ordered), int(RULES.trimmed * len(ordered))
    kept = ordered[cut : count - cut]
    spread = np.clip(ordered, kept[0], kept[-1]).std(ddof=1) / ((1 - 2 * RULES.trimmed) * math.sqrt(count))
    return float(kept.mean()), float(special.stdtrit(len(kept) - 1, (1 + confidence) / 2) * spread)


def _ratio_of_few(logs: Floats, confidence: float) -> Ratio:
    rounds = len(logs)
    if rounds < 2:
        half = math.log(RULES.single_ratio)
    else:
        half = float(special.stdtrit(rounds - 1, (1 + confidence) / 2) * logs.std(ddof=1) / math.sqrt(rounds))
    low, high = min(logs.mean() - half, logs.min()), max(logs.mean() + half, logs.max())
    return Ratio(math.exp(np.median(logs)), math.exp(low), math.exp(high))


def _has_faster_samples(a: Samples, b: Samples) -> bool:
    """Whether the few fastest samples of `a` are faster than the fastest samples of `b`.

    If another process disturbed most rounds, and one kernel more than the other, these are from the other rounds.
    """
    rounds = min(len(a), len(b))
    few = RULES.fastest
    return rounds >= RULES.few_rounds and sum(sorted(a[:rounds])[:few]) < sum(sorted(b[:rounds])[:few])
