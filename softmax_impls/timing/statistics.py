"""Compare samples: ratios with confidence intervals, a margin from the A/A control, ties, and elimination.

Sample i of every kernel is from round i, so a long disturbance slows all kernels. A short disturbance makes some
samples longer, and none shorter. So the fastest samples of two kernels are compared within each group of rounds. A
group is a block (the rounds on one placement of the arrays), a pair of rounds, or a single round. The ratio is the
interquartile mean over the groups, so that a group that was disturbed throughout does not matter. Differences between
groups widen the interval.
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from softmax_impls.timing.policy import DEFAULT, SamplingPolicy

Samples = Sequence[float]
Floats = NDArray[np.float64]

# Kernels tie up to this relative difference. With 0.01, equal kernels tied in 97.2 % of 176 cells (five minutes).
MIN_MARGIN = 0.015
CONFIDENCE = 0.95
# Confidence of a difference between kernels. With 0.95, equal kernels tied in 98.9 % of 439 cells of a busy machine.
# In 352 other cells, equal kernels tied in 99.1 % with 0.95 and in 99.4 % with 0.97; with 0.97, a slowdown of 5 % was
# reported in 2 % fewer cells.
DIFFERENCE_CONFIDENCE = 0.97
FEW_ROUNDS = 10  # with fewer, an interval contains the ratio of every round
MIN_BLOCKS = 4  # fewer blocks are not used as groups
PAIR_FROM = 30  # rounds from which groups without blocks are pairs; with fewer, each round is a group
# The quieter half of the pairs counts, but at least this many pairs. For most of a minute, another process used the
# shared cache: one kernel took 1.8 times as long as usual, a kernel with non-temporal stores 1.2 times (6144×512).
MIN_PAIRS = 12
MIN_QUIET_ROUNDS = 12  # with fewer quiet rounds, the disturbed rounds count, too


@dataclass(frozen=True)
class Ratio:
    """The time of one kernel divided by the time of another, with a confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The comparison of the kernels of a cell."""

    best: str  # the fastest of the kernels that were in every round
    ratios: dict[str, Ratio]  # time of each other kernel over the time of the best
    margin: float  # a kernel is slower if the interval of its ratio lies above 1 + margin
    ties: tuple[str, ...]  # kernels that are not eliminated and not clearly slower than the best


class Decision(NamedTuple):
    """The fastest kernel, the kernels that are eliminated, and whether more rounds would change nothing."""

    best: str
    eliminated: frozenset[str]
    settled: bool


def compare_samples(
    samples: Mapping[str, Samples],
    margin: float = MIN_MARGIN,
    eliminated: Collection[str] = (),
    blocks: Sequence[int] = (),
    disturbed: Collection[int] = (),
) -> Comparison:
    """Compare kernels by their samples in seconds, at least one for each kernel. Sample i is from round i.

    A ratio is the time of a kernel divided by that of the best kernel. A kernel does not tie if three conditions hold:
    the interval of its ratio lies above 1 + `margin`, its fastest samples are not faster than the best kernel's, and it
    is slower in the undisturbed rounds, too. Kernels in `eliminated` never tie. `blocks` has the number of rounds in
    each block, and `disturbed` has the indices of disturbed rounds.
    """
    rounds = max(map(len, samples.values()))
    complete = {name: taken for name, taken in samples.items() if len(taken) == rounds}
    # Each end of an interval holds for all rivals at once (Bonferroni).
    confidence = 1 - 2 * (1 - DIFFERENCE_CONFIDENCE) / max(2, len(complete.keys() - {*eliminated}) - 1)

    def ratios_to(fastest: str, names: Collection[str]) -> dict[str, Ratio]:
        return {name: quiet_ratio(samples[name], samples[fastest], confidence, blocks) for name in names}

    quickest = min(complete, key=lambda name: float(_fastest_quarter(np.log(complete[name]))))
    ratios = ratios_to(quickest, samples.keys() - {quickest})
    best = min(complete, key=lambda name: ratios[name].value if name != quickest else 1.0)
    others = [name for name in samples if name != best]
    if best != quickest:
        ratios = ratios_to(best, others)
    rivals = [name for name in others if name not in eliminated]
    slower = [name for name in rivals if not _has_faster_samples(samples[name], samples[best])]
    clearly = [name for name in slower if ratios[name].low > 1 + margin]
    beaten = [name for name in clearly if _is_slower_when_quiet(samples[name], samples[best], disturbed)]
    return Comparison(best, ratios, margin, ties=tuple(name for name in rivals if name not in beaten))


def decide(
    samples: Mapping[str, Samples],  # of the verified kernels
    control: tuple[str, Samples] | None = None,  # name of the kernel that is the A/A control, and the control's samples
    eliminated: Collection[str] = (),  # kernels that are eliminated already
    blocks: Sequence[int] = (),  # number of rounds in each block
    disturbed: Collection[int] = (),  # indices of rounds that another program disturbed
    *,
    early: float | None = None,  # if samples are too few to settle the cell: the ratio that counts as clear
    last: bool = True,  # whether this is the last step of the cell
    policy: SamplingPolicy = DEFAULT,
) -> Decision:
    """Eliminate the kernels that are clearly slower than the fastest.

    A kernel's ratio is its time divided by that of the fastest kernel. The limit is at least 1 plus twice the margin.
    With `early`, it is also at least `early`, and all ratios of two or more rounds have to exceed it. Otherwise, it is
    at least `policy.later_ratio` before the last step, and the interval of the kernel's ratio has to exceed it.
    """
    name, second = control or ("", ())
    ratio = control_ratio(second, samples[name], blocks) if second and name in samples else None
    comparison = compare_samples(samples, margin_from(ratio), eliminated, blocks, disturbed)
    ratios, ties, twice = comparison.ratios, comparison.ties, 1 + 2 * comparison.margin
    least = {name: ratios[name].low for name in ratios if name not in ties}
    if early:  # a kernel with a single sample stays, because its round may be disturbed
        best = samples[comparison.best]
        least = {name: min(np.divide(taken, best[: len(taken)])) for name, taken in samples.items() if len(taken) > 1}
    beyond = max(twice, early or (1.0 if last else policy.later_ratio))
    slower = {name for name, ratio in least.items() if ratio > beyond}
    settled = not early and all(ratios[name].high < twice for name in ties)
    return Decision(comparison.best, frozenset({*eliminated, *slower}), settled)


def quiet_rounds(rounds: int, disturbed: Collection[int]) -> list[int]:
    """Return the indices of the undisturbed rounds; of all rounds if fewer than `MIN_QUIET_ROUNDS` are undisturbed."""
    quiet = sorted({*range(rounds)}.difference(disturbed))
    return quiet if len(quiet) >= MIN_QUIET_ROUNDS else list(range(rounds))


def selected(samples: Samples, rounds: Sequence[int]) -> list[float]:
    """Return the samples of these rounds."""
    return [samples[index] for index in rounds if index < len(samples)]


def blocks_of(blocks: Sequence[int], rounds: Sequence[int]) -> tuple[int, ...]:
    """Return how many of the selected `rounds` (indices) are in each block; blocks without any are left out."""
    if not blocks:
        return ()
    counts, _ = np.histogram(rounds, bins=[0, *itertools.accumulate(blocks)])
    return tuple(int(count) for count in counts if count)


def control_ratio(control: Samples, kernel: Samples, blocks: Sequence[int]) -> Ratio:
    """Return the time of the A/A control divided by its kernel's time.

    The interval has the confidence `DIFFERENCE_CONFIDENCE`. If it had a confidence of 0.95 instead, margins would be
    wide in more cells: 1 to 3 more of 104 slowdowns of 5 % were then not reported.
    """
    return quiet_ratio(control, kernel, DIFFERENCE_CONFIDENCE, blocks)


def margin_from(control: Ratio | None) -> float:
    """Return the margin of a cell: the distance of the A/A control's interval from 1, and at least `MIN_MARGIN`."""
    return MIN_MARGIN if control is None else max(MIN_MARGIN, control.low - 1, 1 / control.high - 1)


def quiet_ratio(a: Samples, b: Samples, confidence: float = CONFIDENCE, blocks: Sequence[int] = ()) -> Ratio:
    """Return the time of `a` divided by the time of `b`, from the fastest quarter of the samples of each group.

    The interval is Student's for a trimmed mean (K. K. Yuen, "The two-sample trimmed t for unequal population
    variances", Biometrika 61 (1), 1974). If there are at least four blocks, the groups are the blocks. Else they are
    single rounds or, from 30 rounds on, pairs of rounds. Up to half of the pairs are left out: slow for either kernel.
    """
    rounds = min(len(a), len(b))
    logs = np.log(np.array([a[:rounds], b[:rounds]], dtype=float))
    if rounds < FEW_ROUNDS:
        return _ratio_of_few(logs[0] - logs[1], confidence, float(np.subtract(*_fastest_quarter(logs))))
    ends = [end for end in itertools.accumulate(blocks) if end <= rounds]
    if len(ends) >= MIN_BLOCKS:
        groups = [_fastest_quarter(logs[:, start:end]) for start, end in itertools.pairwise([0, *ends])]
        times = np.stack(groups, axis=1)
    elif rounds < PAIR_FROM:
        times = logs
    else:
        times = np.minimum.reduceat(logs, [0, *range(2 + rounds % 2, rounds, 2)], axis=1)
        slower = times.argsort(axis=1).argsort(axis=1).max(axis=0)  # the worse of the two kernels' ranks
        quieter = np.argsort(slower, kind="stable")[: max(MIN_PAIRS, math.ceil(times.shape[1] / 2))]
        times = times[:, np.sort(quieter)]
    ordered, count = np.sort(times[0] - times[1]), times.shape[1]  # SciPy's `trimmed_mean_ci` takes ten times as long
    kept = ordered[count // 4 : count - count // 4]
    spread = np.clip(ordered, kept[0], kept[-1]).std(ddof=1) / (0.5 * math.sqrt(count))
    value, half = float(kept.mean()), float(special.stdtrit(len(kept) - 1, (1 + confidence) / 2) * spread)
    return Ratio(math.exp(value), math.exp(value - half), math.exp(value + half))


def paired_ratio(a: Samples, b: Samples, confidence: float = CONFIDENCE) -> Ratio:
    """Return the median ratio of `a` to `b` over all rounds with samples of both, with a confidence interval."""
    rounds = min(len(a), len(b))
    logs = np.log(np.asarray(a[:rounds]) / np.asarray(b[:rounds]))
    if rounds < FEW_ROUNDS:
        return _ratio_of_few(logs, confidence, float(np.median(logs)))
    medians = np.median(logs[np.random.default_rng(rounds).integers(rounds, size=(999, rounds))], axis=1)
    low, high = np.exp(np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2]))
    return Ratio(math.exp(np.median(logs)), float(low), float(high))


def median_interval(samples: Samples, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return a confidence interval of the median; its ends are two of the samples (binomial)."""
    ordered = sorted(samples)
    outside = max(1, math.ceil(special.bdtrik((1 - confidence) / 2, len(ordered), 0.5)))
    return ordered[outside - 1], ordered[-outside]


def _is_slower_when_quiet(a: Samples, b: Samples, disturbed: Collection[int]) -> bool:
    """Whether `a` is slower than `b` in the undisturbed rounds; True if no round was disturbed, or too many were."""
    rounds = min(len(a), len(b))
    kept = quiet_rounds(rounds, disturbed)
    return len(kept) == rounds or quiet_ratio(selected(a, kept), selected(b, kept)).value > 1


def _fastest_quarter(logs: Floats) -> Floats:
    """Return the mean of the smallest quarter of the numbers along the last axis."""
    count = math.ceil(logs.shape[-1] / 4)
    smallest: Floats = np.partition(logs, count - 1, axis=-1)[..., :count].mean(axis=-1)
    return smallest


def _ratio_of_few(logs: Floats, confidence: float, value: float) -> Ratio:
    """Return exp(value) with Student's interval for the mean of `logs`, the logarithms of the rounds' ratios.

    The interval is changed to contain all these ratios, and at most half the smallest to twice the largest of them.
    """
    mean, half, rounds = logs.mean(), math.inf, len(logs)
    if rounds > 1:
        half = float(special.stdtrit(rounds - 1, (1 + confidence) / 2) * logs.std(ddof=1) / math.sqrt(rounds))
    low = min(max(mean - half, logs.min() - math.log(2)), logs.min())
    high = max(min(mean + half, logs.max() + math.log(2)), logs.max())
    return Ratio(math.exp(value), math.exp(low), math.exp(high))


def _has_faster_samples(a: Samples, b: Samples) -> bool:
    """Whether the fastest samples of `a` are faster than those of `b`; False if there are few rounds.

    If another program slows samples down, some samples are still fast, so the fastest are compared. They are the
    fastest 2 %, because a few samples of thousands can be fast by chance, in a rare placement of the arrays.
    """
    rounds = min(len(a), len(b))
    fastest = max(3, rounds // 50)
    return rounds >= FEW_ROUNDS and sum(nsmallest(fastest, a[:rounds])) < sum(nsmallest(fastest, b[:rounds]))
