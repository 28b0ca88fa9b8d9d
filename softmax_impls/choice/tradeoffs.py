"""Trade-offs of an answer: time against error and memory, one shape against another, compile time against calls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from softmax_impls.choice.answer import Answer, Candidate, magnitude


@dataclass(frozen=True)
class InMix:
    """Times of an implementation over a mix of shapes, relative to the fastest at each shape."""

    name: str
    mean: float  # weighted geometric mean
    worst: float
    times: tuple[float, ...]  # for each shape


def front(candidates: Mapping[str, Candidate]) -> tuple[str, ...]:
    """Return the Pareto front of time, error and memory, fastest first.

    A candidate is left out if another is at least as good in all three and better in one. Errors of the same power of
    ten count as equal, since they depend on the inputs. An unknown error or memory counts as infinite.
    """
    scores = {
        name: (c.seconds, magnitude(c.error), math.inf if math.isnan(c.temporary_bytes) else c.temporary_bytes)
        for name, c in candidates.items()
    }

    def is_dominated(score: tuple[float, ...]) -> bool:
        better = (other for other in scores.values() if other != score)
        return any(all(a <= b for a, b in zip(other, score, strict=True)) for other in better)

    return tuple(name for name in sorted(scores, key=lambda name: scores[name]) if not is_dominated(scores[name]))


def over_mix(answers: Sequence[tuple[float, Answer]]) -> list[InMix]:
    """Rank the implementations that are candidates at every shape of a mix; each answer comes after its weight."""
    names = set.intersection(*(set(answer.candidates) for _, answer in answers))
    largest = max(weight for weight, _ in answers)
    shares = np.array([weight / largest for weight, _ in answers])  # the sum of large weights might be infinite
    found = []
    for name in names:
        times = tuple(answer.ratio(name).value for _, answer in answers)
        mean = math.exp(np.average(np.log(times), weights=shares))
        found.append(InMix(name, mean, max(times), times))
    return sorted(found, key=lambda in_mix: (in_mix.mean, in_mix.name))


def calls_until_paid(first_call: float, seconds: float, without: float) -> float:
    """Return after how many calls a kernel with a slow first call has saved time; inf if it never does.

    Its first call takes `first_call` seconds more than a later call. Another kernel takes `without` seconds a call.
    """
    return math.ceil(first_call / (without - seconds)) if without > seconds else math.inf
