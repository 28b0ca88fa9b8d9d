"""What samples say, and what they don't: paired ratios with intervals, a noise floor, and ties.

Samples come in rounds: sample i of every implementation was taken in the same round, within moments of the others. What
slows the machine down slows a whole round, so ratios are formed within rounds, and it is their median that counts.
"""

from __future__ import annotations

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
UNKNOWN = 2.0  # a factor either way: how far off a single ratio may be

Samples = Sequence[float]


@dataclass(frozen=True)
class Ratio:
    """How many times as long one takes as another: the median over rounds, and an interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """Where the implementations of a cell stand to each other.

    Attributes
    ----------
    best : str
        The one with the smallest median.
    ratios : dict of str to Ratio
        Time of each other one over the best one's.
    noise : float
        By how much the control, the same implementation under another name, may seem to differ from it.
    margin : float
        What an interval has to clear: the noise, or 2 %.
    ties : tuple of str
        Those that the best one does not beat by more than the margin.
    settled : bool
        Whether more samples could not change much: each of the others is clearly beyond the margin or within it.
    """

    best: str
    ratios: dict[str, Ratio]
    noise: float
    margin: float
    ties: tuple[str, ...]
    settled: bool


def paired_ratio(a: Samples, b: Samples, confidence: float = CONFIDENCE) -> Ratio:
    """Return the median of a/b over the rounds that both were in, with an interval.

    The interval is the median's by bootstrap (percentile method); for few rounds, of which that makes too much, it is
    Student's of the mean logarithm, at least as wide as what was seen.
    """
    rounds = min(len(a), len(b))
    logs = np.log(np.asarray(a[:rounds]) / np.asarray(b[:rounds]))
    if rounds < FEWEST:
        half = _students_half_width(logs, confidence)
        low, high = min(logs.mean() - half, logs.min()), max(logs.mean() + half, logs.max())
    else:
        found = stats.bootstrap(
            (logs,), np.median, confidence_level=confidence, n_resamples=RESAMPLES, method="percentile", rng=rounds
        )
        low, high = (float(end) for end in found.confidence_interval)
    return Ratio(math.exp(np.median(logs)), math.exp(low), math.exp(high))


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


def stand(samples: Mapping[str, Samples], noise: float = 0.0, dropped: Collection[str] = ()) -> Standing:
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
    """
    best = min(samples, key=lambda name: float(np.median(samples[name])))
    rivals = [name for name in samples if name != best]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(rivals))  # for all of them at once (Bonferroni)
    ratios = {name: paired_ratio(samples[name], samples[best], confidence) for name in rivals}
    margin = max(SMALLEST_MARGIN, noise)
    racing = [name for name in rivals if name not in dropped]
    ties = tuple(name for name in racing if ratios[name].low <= 1 + margin)
    settled = all(ratios[name].low > 1 + margin or ratios[name].high < 1 + margin for name in racing)
    return Standing(best, ratios, noise, margin, ties, settled)


def noise_of(control: Samples, samples: Samples) -> float:
    """Return by how much an implementation may seem to differ from itself, run once more in each round."""
    if not (control and samples):
        return 0.0
    again = paired_ratio(control, samples)
    return max(again.high, 1 / again.low) - 1
