"""What samples say, and what they don't: paired ratios with intervals, a noise floor, and ties.

Samples come in rounds: sample i of every implementation was taken in the same round, within moments of the others, so
what slows the machine down for long slows them all. What disturbs it for moments only ever makes a sample longer, and
where other processes run, it does so to more than half of them. So who is faster is told by the fastest quarter of
their samples. What depends on where arrays lie, or on what the machine was doing for a second, is the same in all
rounds of one visit to a cell: what one of several visits surely denies is not sure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

SMALLEST_MARGIN = 0.02
CONFIDENCE = 0.95
RESAMPLES = 999
FEWEST = 10  # rounds, for a bootstrap
QUIETEST = 4  # the fastest one in so many samples counts
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
    noise : float
        By how much the control, the same implementation under another name, seems to differ from it.
    margin : float
        What an interval has to clear: the noise, or 2 %.
    ties : tuple of str
        Those that the best one does not beat by more than the margin.
    behind : tuple of str
        Those that it beats by more than twice the margin: more samples would not change that.
    settled : bool
        Whether more samples could not change much: each of the others is clearly beyond the margin or within it.
    """

    best: str
    ratios: dict[str, Ratio]
    noise: float
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


def quiet_ratio(a: Samples, b: Samples, confidence: float = CONFIDENCE) -> Ratio:
    """Return a's time over b's, from the fastest quarter of each one's samples in the rounds that both were in.

    The interval is by bootstrap, rounds drawn whole, and wider by what Student's is than the normal distribution's:
    a quarter of the rounds is few. For fewer than ten rounds it is that of `paired_ratio`.
    """
    rounds = min(len(a), len(b))
    pair = np.log(np.array([a[:rounds], b[:rounds]], dtype=float))
    if rounds < FEWEST:
        return _of_few(pair[0] - pair[1], confidence)
    value = float(np.subtract(*_quiet(pair)))
    drawn = np.random.default_rng(rounds).integers(rounds, size=(RESAMPLES, rounds))
    ends = np.quantile(np.subtract(*_quiet(pair[:, drawn])), ((1 - confidence) / 2, (1 + confidence) / 2))
    low, high = value + _widening(rounds, confidence) * (ends - value)
    return Ratio(math.exp(value), math.exp(min(low, value)), math.exp(max(high, value)))


def _of_few(logs: NDArray[np.float64], confidence: float) -> Ratio:
    half = _students_half_width(logs, confidence)
    low, high = min(logs.mean() - half, logs.min()), max(logs.mean() + half, logs.max())
    return Ratio(math.exp(np.median(logs)), math.exp(low), math.exp(high))


def _quiet(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the smallest quarter, along the last axis."""
    count = math.ceil(logs.shape[-1] / QUIETEST)
    smallest: NDArray[np.float64] = np.partition(logs, count - 1, axis=-1)[..., :count].mean(axis=-1)
    return smallest


def _widening(rounds: int, confidence: float) -> float:
    """Return Student's quantile over the normal one: a quarter of the rounds, of each of two, is what there is."""
    tail, freedom = (1 + confidence) / 2, 2 * math.ceil(rounds / QUIETEST) - 2
    return float(stats.t.ppf(tail, freedom) / stats.norm.ppf(tail))


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
    noise: float = 0.0,
    dropped: Collection[str] = (),
    visits: Sequence[int] = (),
) -> Standing:
    """Compare implementations by the samples they have.

    Parameters
    ----------
    samples : mapping of str to sequence of float
        Seconds for each implementation, one sample a round, from the first round on; at least one each.
    noise : float, optional
        What `noise_of` says about the cell.
    dropped : collection of str, optional
        Those taken out of the race for being far behind in every round. A few rounds make for a wide interval, but a
        tie they are not.
    visits : sequence of int, optional
        How many rounds there were in each visit to the cell, if there were several.
    """
    rounds = max(map(len, samples.values()))
    level = {name: _quiet(np.log(taken)) for name, taken in samples.items() if len(taken) == rounds}
    best = min(level, key=lambda name: float(level[name]))  # who left early left for being slow
    rivals = [name for name in samples if name != best]
    racing = [name for name in rivals if name not in dropped]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(racing))  # for all of them at once (Bonferroni)
    ratios = {name: _over_visits(samples[name], samples[best], confidence, visits) for name in rivals}
    margin = max(SMALLEST_MARGIN, noise)
    ties = tuple(name for name in racing if ratios[name].low <= 1 + margin)
    behind = tuple(name for name in racing if ratios[name].low > 1 + 2 * margin)
    settled = all(ratios[name].low > 1 + margin or ratios[name].high < 1 + margin for name in racing)
    return Standing(best, ratios, noise, margin, ties, behind, settled)


def _over_visits(a: Samples, b: Samples, confidence: float, visits: Sequence[int]) -> Ratio:
    """Return the ratio, its interval wide enough to meet that of each visit: what a visit surely denies is not sure."""
    found, ends = quiet_ratio(a, b, confidence), list(itertools.accumulate(visits, initial=0))
    for start, end in itertools.pairwise(ends):
        if len(visits) > 1 and min(len(a), len(b)) >= end:
            one = quiet_ratio(a[start:end], b[start:end], confidence)
            found = Ratio(found.value, min(found.low, one.high), max(found.high, one.low))
    return found


def noise_of(control: Samples, samples: Samples) -> float:
    """Return by how much an implementation seems to differ from itself, run once more in each round.

    Where rounds are too few to tell, by how much it may seem to: the interval's end.
    """
    if not (control and samples):
        return 0.0
    again = quiet_ratio(control, samples)
    if min(len(control), len(samples)) < FEWEST:
        return max(again.high, 1 / again.low) - 1
    return max(again.value, 1 / again.value) - 1
