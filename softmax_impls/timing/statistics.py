"""What samples say, and what they don't: paired ratios with intervals, a noise floor, and ties.

Samples come in rounds: sample i of every implementation was taken in the same round, within moments of the others, so
what slows the machine down for long slows them all. What disturbs it for moments only ever makes a sample longer. So
of some rounds the fastest samples are held against each other; and what several such stretches say is told by their
interquartile mean, which some that were disturbed throughout don't mislead. A stretch is a visit to the cell, on arrays
of its own, seconds or moments apart from the others: what stays the same within a visit, such as where arrays lie,
widens the interval if it does not stay so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

SMALLEST_MARGIN = 0.01
CONFIDENCE = 0.95
RESAMPLES = 999
FEWEST = 10  # rounds, for more than what was seen at the least
FEWEST_VISITS = 4  # to tell by
ALONE = 30  # rounds of fewer visits, below which each stands for itself; from there on, two neighbours do
QUIETEST = 4  # the fastest one in so many samples of a stretch counts
FASTEST = 3  # samples that have to be in favour of the best, too
FEWEST_PAIRS = 12  # to tell by, if there are as many
TRIMMED = 0.25  # of the stretches, at either end
UNKNOWN = 2.0  # a factor either way: how far off a single ratio may be

Samples = Sequence[float]


@dataclass(frozen=True)
class Ratio:
    """How many times as long one takes as another, and an interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """Where the implementations of a cell stand to each other.

    Attributes
    ----------
    best : str
        The fastest of those that were in every round, by the fastest quarter of its samples.
    ratios : dict of str to Ratio
        Time of each other one over the best one's.
    margin : float
        What an interval has to clear.
    ties : tuple of str
        Those that the best one does not beat by more than the margin, or whose fastest samples are faster than its own.
    behind : tuple of str
        Those that it beats by more than twice the margin: more samples would not change that.
    settled : bool
        Whether more samples could not change much: each of the others is clearly beyond the margin, or within twice it.
    """

    best: str
    ratios: dict[str, Ratio]
    margin: float
    ties: tuple[str, ...]
    behind: tuple[str, ...]
    settled: bool


def paired_ratio(a: Samples, b: Samples, confidence: float = CONFIDENCE) -> Ratio:
    """Return the median of a/b over the rounds that both were in, with an interval: what a usual call is like.

    The interval is the median's by bootstrap (percentile method); for few rounds, of which that makes too much, it is
    Student's of the mean logarithm, at least as wide as what was seen.
    """
    rounds = min(len(a), len(b))
    logs = np.log(np.asarray(a[:rounds]) / np.asarray(b[:rounds]))
    if rounds < FEWEST:
        return _of_few(logs, confidence)
    found = stats.bootstrap(
        (logs,), np.median, confidence_level=confidence, n_resamples=RESAMPLES, method="percentile", rng=rounds
    )
    low, high = (float(end) for end in found.confidence_interval)
    return Ratio(math.exp(np.median(logs)), math.exp(low), math.exp(high))


def quiet_ratio(a: Samples, b: Samples, confidence: float = CONFIDENCE, visits: Sequence[int] = ()) -> Ratio:
    """Return a's time over b's, from the fastest quarter of each one's samples in each stretch of rounds.

    The ratio is the interquartile mean over stretches, the interval Student's of it (K. K. Yuen, "The two-sample
    trimmed t for unequal population variances", Biometrika 61 (1), 1974). Stretches are the visits, of which so many
    rounds each are told; fewer than four are cut into single rounds, or pairs. Of many pairs, the half counts in which
    both were fastest. For fewer than ten rounds it is that of `paired_ratio`.
    """
    rounds = min(len(a), len(b))
    logs = np.log(np.array([a[:rounds], b[:rounds]], dtype=float))
    if rounds < FEWEST:
        return _of_few(logs[0] - logs[1], confidence)
    whole = [end for end in itertools.accumulate(visits) if end <= rounds]
    if len(whole) >= FEWEST_VISITS:
        times = _stretches(logs, whole)
    elif rounds < ALONE:
        times = logs
    else:
        times = _quieter(_stretches(logs, list(range(2 + rounds % 2, rounds + 1, 2))))
    told = times[0] - times[1]
    value = stats.trim_mean(told, TRIMMED)
    low, high = stats.mstats.trimmed_mean_ci(told, (TRIMMED, TRIMMED), alpha=1 - confidence)
    return Ratio(*(math.exp(one) for one in (value, low, high)))


def _stretches(logs: NDArray[np.float64], ends: Sequence[int]) -> NDArray[np.float64]:
    """Return what each one took in each stretch of rounds, of which the ends are given."""
    return np.stack([_quiet(logs[:, start:end]) for start, end in itertools.pairwise([0, *ends])], axis=1)


def _quieter(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the half of the stretches in which both were fastest: what hits one hits the other, in its own measure.

    Another process may keep the shared cache for most of a minute, and what stores past it is hardly slower then.
    """
    count = times.shape[1]
    slower = stats.rankdata(times, axis=1).max(axis=0)
    kept = np.argsort(slower, kind="stable")[: max(FEWEST_PAIRS, math.ceil(count / 2))]
    return times[:, np.sort(kept)]


def _of_few(logs: NDArray[np.float64], confidence: float) -> Ratio:
    half = _students_half_width(logs, confidence)
    low, high = min(logs.mean() - half, logs.min()), max(logs.mean() + half, logs.max())
    return Ratio(math.exp(np.median(logs)), math.exp(low), math.exp(high))


def _quiet(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the smallest quarter, along the last axis."""
    count = math.ceil(logs.shape[-1] / QUIETEST)
    smallest: NDArray[np.float64] = np.partition(logs, count - 1, axis=-1)[..., :count].mean(axis=-1)
    return smallest


def _students_half_width(logs: NDArray[np.float64], confidence: float) -> float:
    rounds = len(logs)
    if rounds < 2:
        return math.log(UNKNOWN)
    return float(stats.t.ppf((1 + confidence) / 2, rounds - 1) * logs.std(ddof=1) / math.sqrt(rounds))


def median_interval(samples: Samples, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return an interval for the median: two samples that it lies between, with that confidence (binomial)."""
    ordered = sorted(samples)
    outside = max(1, int(stats.binom.ppf((1 - confidence) / 2, len(ordered), 0.5)))
    return ordered[outside - 1], ordered[-outside]


def stand(
    samples: Mapping[str, Samples],
    margin: float = SMALLEST_MARGIN,
    dropped: Collection[str] = (),
    visits: Sequence[int] = (),
) -> Standing:
    """Compare implementations by the samples they have.

    Parameters
    ----------
    samples : mapping of str to sequence of float
        Seconds for each implementation, one sample a round, from the first round on; at least one each.
    margin : float, optional
        What a difference has to clear, see `margin_of`.
    dropped : collection of str, optional
        Those taken out of the race for being far behind in every round. A few rounds make for a wide interval, but a
        tie they are not.
    visits : sequence of int, optional
        How many rounds there were in each visit to the cell, if there were several.
    """
    rounds = max(map(len, samples.values()))
    whole = {name: taken for name, taken in samples.items() if len(taken) == rounds}  # the others left for being slow
    quickest = min(whole, key=lambda name: float(_quiet(np.log(whole[name]))))
    best = min(whole, key=lambda name: quiet_ratio(whole[name], whole[quickest], visits=visits).value)
    rivals = [name for name in samples if name != best]
    racing = [name for name in rivals if name not in dropped]
    left = sum(name in whole for name in racing)
    confidence = 1 - 2 * (1 - CONFIDENCE) / max(2, left)  # each end for all of them at once (Bonferroni)
    ratios = {name: quiet_ratio(samples[name], samples[best], confidence, visits) for name in rivals}
    slower = [name for name in racing if not _was_faster(samples[name], samples[best])]
    beaten = [name for name in slower if ratios[name].low > 1 + margin]
    ties = tuple(name for name in racing if name not in beaten)
    behind = tuple(name for name in slower if ratios[name].low > 1 + 2 * margin)
    settled = all(name in beaten or ratios[name].high < 1 + 2 * margin for name in racing)
    return Standing(best, ratios, margin, ties, behind, settled)


def _was_faster(a: Samples, b: Samples) -> bool:
    """Whether the few fastest samples of `a` are faster than those of `b`, in the rounds that both were in.

    Should others have had the machine for most of the time, these are from the rest of it.
    """
    rounds = min(len(a), len(b))
    return rounds >= FEWEST and sum(sorted(a[:rounds])[:FASTEST]) < sum(sorted(b[:rounds])[:FASTEST])


def margin_of(again: Ratio | None) -> float:
    """Return what a difference has to clear: 1 %, or by how much the control surely seems to differ from itself."""
    return max(SMALLEST_MARGIN, again.low - 1, 1 / again.high - 1) if again else SMALLEST_MARGIN
