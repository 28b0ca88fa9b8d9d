"""What an answer trades: speed against error and memory, one shape of a mix against another, compiling for calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from softmax_impls.choice.answer import Answer, Contender, magnitude


def front(contenders: Mapping[str, Contender]) -> tuple[str, ...]:
    """Return those that no other one beats in time, error and memory alike (the Pareto front), the fastest first.

    Errors count by their power of ten, since within it they differ by the inputs they were found on; what is not known
    counts as the worst.
    """
    scores = {
        name: (one.seconds, magnitude(one.error), math.inf if math.isnan(one.temporary_bytes) else one.temporary_bytes)
        for name, one in contenders.items()
    }

    def is_beaten(name: str) -> bool:
        mine = scores[name]
        return any(
            other != mine and all(theirs <= here for theirs, here in zip(other, mine, strict=True))
            for other in scores.values()
        )

    return tuple(name for name in sorted(scores, key=lambda name: scores[name]) if not is_beaten(name))


@dataclass(frozen=True)
class InMix:
    """How one implementation does over a mix of shapes: its time over that of each shape's fastest."""

    name: str
    mean: float  # geometric, weighted
    worst: float
    times: tuple[float, ...]  # shape by shape


def over_mix(answers: Sequence[tuple[float, Answer]]) -> list[InMix]:
    """Rank those that may be used at every shape of a mix, best first.

    Parameters
    ----------
    answers : sequence of (float, Answer)
        A weight, and what is known about a shape.
    """
    names = set.intersection(*(set(answer.contenders) for _, answer in answers))
    largest = max(weight for weight, _ in answers)
    shares = np.array([weight / largest for weight, _ in answers])  # or a sum of large ones would be infinite
    found = []
    for name in names:
        times = tuple(_times_best(answer, name) for _, answer in answers)
        mean = math.exp(np.average(np.log(times), weights=shares))
        found.append(InMix(name, mean, max(times), times))
    return sorted(found, key=lambda one: one.mean)


def _times_best(answer: Answer, name: str) -> float:
    ratio = answer.standing.ratios.get(name) if answer.standing else None
    return ratio.value if ratio else 1.0


def calls_until_paid(first_call: float, seconds: float, without: float) -> float:
    """Return after how many calls a first call that takes longer has paid; inf if it never does.

    Parameters
    ----------
    first_call : float
        Seconds that the first call takes beyond the others.
    seconds, without : float
        A call of it, and of what is used otherwise.
    """
    return math.ceil(first_call / (without - seconds)) if without > seconds else math.inf
