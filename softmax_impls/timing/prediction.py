"""How long a call is going to take, found out from smaller ones before it is started.

The source's loop over 512×50257 would take an hour. So an implementation climbs a ladder of cells cut from the arrays
it is about to be timed on: one row, at first of few classes, then of more, then more rows. It stops before the rung
that, by the time of the last one, would take longer than allowed; what lies above is extrapolated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from softmax_impls.contract import Array, Implementation, invoke

FIRST_CLASSES = 64
STEP = 4
TRIES = 2  # calls on each rung, of which the shorter counts: one that another process got into says nothing
STEEPEST = 2.0  # time grows at most with the square of D: a Jacobian's


@dataclass(frozen=True)
class Prediction:
    """Seconds that a call of the whole size takes, and whether that is short enough to start it."""

    seconds: float
    allowed: bool


def predict(one: Implementation, probs: Array, grad_output: Array, out: Array, allowance: float) -> Prediction:
    """Climb the ladder; `allowance` is in seconds, for all of it and the call that comes after."""
    if one.bind is not None:  # a peer, which would compile for every rung; its time is linear, and it may be called
        return Prediction(0.0, allowed=True)
    rows, classes = probs.shape
    spent = 0.0  # not by the clock, whose time may have been another process's
    seen: list[tuple[int, int, float]] = []
    for b, d in _rungs(rows, classes):
        if seen and spent + TRIES * _ahead(seen[-1], b, d, STEEPEST) > allowance:
            break
        seen.append((b, d, _time(one, probs[:b, :d].copy(), grad_output[:b, :d].copy(), out[:b, :d].copy())))
        spent += TRIES * seen[-1][2]
    seconds = _ahead(seen[-1], rows, classes, _exponent(seen))
    return Prediction(seconds, allowed=spent + seconds <= allowance)


def _rungs(rows: int, classes: int) -> Iterator[tuple[int, int]]:
    """Yield sizes from one short row up to less than the whole; a tiny whole has a single rung."""
    d = min(FIRST_CLASSES, classes)
    while d < classes:
        yield 1, d
        d *= STEP
    b = 1
    while b < rows or b == 1:
        yield b, classes
        b *= STEP


def _time(one: Implementation, probs: Array, grad_output: Array, out: Array) -> float:
    best = math.inf
    for _ in range(TRIES):
        start = time.perf_counter()
        invoke(one.kernel, probs, grad_output, out=out)
        best = min(best, time.perf_counter() - start)
    return best


def _ahead(rung: tuple[int, int, float], rows: int, classes: int, exponent: float) -> float:
    b, d, seconds = rung
    return seconds * (rows / b) * math.pow(classes / d, exponent)


def _exponent(seen: list[tuple[int, int, float]]) -> float:
    """How steeply time grew with D on the last two rungs that differ in it; at least linearly."""
    by_classes = {d: seconds for b, d, seconds in seen if b == 1}
    if len(by_classes) < 2:
        return 1.0
    (d0, t0), (d1, t1) = list(by_classes.items())[-2:]
    return min(max(math.log(t1 / t0) / math.log(d1 / d0), 1.0), STEEPEST)
