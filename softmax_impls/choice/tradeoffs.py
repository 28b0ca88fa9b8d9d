"""Trade-offs of an answer: time against error and memory, one shape against another, compile time against calls."""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from softmax_impls.choice.answer import Answer, Candidate, preferred


@dataclass(frozen=True)
class InMix:
    """Times of an implementation over a mix of shapes, relative to the fastest time at each shape."""

    name: str
    mean: float  # weighted geometric mean
    mean_beyond_ties: float  # weighted geometric mean with a ratio of 1 at shapes where it wins or ties
    worst: float  # largest ratio
    times: tuple[float, ...]  # the ratio at each shape
    allowed: bool  # whether it can be recommended


def front(candidates: Mapping[str, Candidate]) -> tuple[str, ...]:
    """Return the Pareto front of time, error and memory, fastest first.

    A candidate is left out if another candidate is at least as good in all three, and better in one. Errors of the same
    power of ten count as equal, since errors depend on the inputs. Candidates whose error or memory is not known are
    left out.
    """
    scores = {
        name: (c.seconds, _magnitude(c), c.temporary_bytes)
        for name, c in candidates.items()
        if not math.isnan(c.error_bound + c.temporary_bytes)
    }

    def is_dominated(score: tuple[float, ...]) -> bool:
        return any(other != score and all(map(operator.le, other, score)) for other in scores.values())

    return tuple(name for name in sorted(scores, key=scores.__getitem__) if not is_dominated(scores[name]))


def _magnitude(candidate: Candidate) -> float:
    """Return the power of ten of the worst measured error, as -8 for 3e-8; infinity if the error has no bound.

    If the error has a bound and no error was measured, return the power of ten of the bound.
    """
    error = candidate.error
    if math.isnan(error) or math.isinf(candidate.error_bound):
        error = candidate.error_bound
    return math.floor(math.log10(max(error, 1e-20))) if math.isfinite(error) else math.inf


def over_mix(answers: Sequence[tuple[float, Answer]]) -> list[InMix]:
    """Rank the implementations that are candidates at every shape of a mix. `answers` are pairs of weight and answer.

    Use the first implementation if it is `allowed`; if it is not, no implementation is. The first implementation is the
    allowed one with the smallest `mean_beyond_ties`. But the implementation of the default call comes first if it is
    allowed, and its `mean_beyond_ties` is larger by at most `MIN_MARGIN`. The others are sorted by `mean`. The list is
    empty if no candidate can be recommended at one of the shapes.
    """
    if not all(answer.comparison for _, answer in answers):
        return []  # at one of the shapes, no candidate can be recommended
    names = set.intersection(*(set(answer.candidates) for _, answer in answers))
    largest = max(weight for weight, _ in answers)
    shares = [weight / largest for weight, _ in answers]  # the sum of large weights might be infinite
    found = {}
    for name in names:
        times = tuple(answer.ratio(name).value for _, answer in answers)
        wins = [name in answer.winners for _, answer in answers]
        allowed = all(answer.allows(answer.candidates[name]) for _, answer in answers)
        found[name] = InMix(name, *averages(times, wins, shares), times, allowed)
    pick = preferred({name: in_mix.mean_beyond_ties for name, in_mix in found.items() if in_mix.allowed})
    return sorted(found.values(), key=lambda in_mix: (in_mix.name != pick, in_mix.mean, in_mix.name))


def averages(
    times: Sequence[float], wins: Sequence[bool], weights: Sequence[float] | None = None
) -> tuple[float, float, float]:
    """Return the geometric mean of times, the geometric mean with 1 in place of winning times, and the longest time.

    `times` are ratios to the fastest time. `wins` states for each time whether it is the fastest or ties with it. With
    `weights`, both means are weighted.
    """
    beyond_ties = [1.0 if win else time for time, win in zip(times, wins, strict=True)]
    mean, other_mean = (math.exp(fmean(map(math.log, of), weights)) for of in (times, beyond_ties))
    return mean, other_mean, max(times)


def calls_until_paid(first_call: float, seconds: float, without: float) -> float:
    """Return after how many calls a kernel with a slow first call has saved time over another kernel; inf if never.

    A call of the kernel takes `seconds`, and its first call takes `first_call` seconds longer. A call of the other
    kernel takes `without` seconds.
    """
    return math.ceil(first_call / (without - seconds)) if without > seconds else math.inf
