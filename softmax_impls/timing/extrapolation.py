"""How long a call is going to take, found out from smaller ones before it is started.

The source's loop over 512×50257 would take an hour. So an implementation climbs a ladder of cells cut from the arrays
it is about to be timed on: one row of few classes, then by turns more classes and more rows, so that it shows what
grows with which. The climb ends below the rung that, by the time of the last one, would take longer than allowed; what
lies above is extrapolated.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from softmax_impls.implementation import Array, Implementation, invoke

FIRST_CLASSES = 16
STEP = 4
TRIES = 2  # calls on each rung, of which the shorter counts: one that another process got into says nothing
FLICKER = 1e-6  # seconds, by which one call may differ from the next
FEWEST = 3  # rungs, for a fit
HOPELESS = 8  # times what is allowed
SEEN = 0.1  # of a rung's time, at least once, is what a cost has to be
STEEPEST = 2.0  # time grows at most with the square of D: a Jacobian's

Rung = tuple[int, int, float]  # rows, classes, seconds


@dataclass(frozen=True)
class Prediction:
    """What a call would take, and whether that is allowed."""

    seconds: float
    allowed: bool


def predict(one: Implementation, probs: Array, grad_output: Array, out: Array, allowance: float) -> Prediction:
    """Predict the time of one call on these arrays; it is allowed if that, and finding it out, fit the allowance."""
    if not probs.size:
        return Prediction(0.0, allowed=True)
    rows, classes = probs.shape
    spent = 0.0  # not by the clock, whose time may have been another process's
    seen: list[Rung] = []
    for b, d in _rungs(rows, classes):
        if seen:
            beyond = _beyond(seen, rows, classes)
            too_long = spent + TRIES * _at_most(seen[-1], b, d) > allowance
            if too_long and spent + beyond > allowance:  # what would be started whole may be tried in part
                break
            if beyond > HOPELESS * allowance and spent > allowance / HOPELESS:  # more would not change that
                break
        seen.append((b, d, _time(one, probs[:b, :d].copy(), grad_output[:b, :d].copy(), out[:b, :d].copy())))
        spent += TRIES * seen[-1][2]
    seconds = _beyond(seen, rows, classes)
    return Prediction(seconds, allowed=spent + seconds <= allowance)


def _at_most(rung: Rung, rows: int, classes: int) -> float:
    b, d, seconds = rung
    return seconds * (rows / b) * math.pow(classes / d, STEEPEST)


def _rungs(rows: int, classes: int) -> Iterator[tuple[int, int]]:
    """Yield sizes from one short row up to less than the whole; a tiny whole has a single rung."""
    b, d = 1, min(FIRST_CLASSES, classes)
    yield b, d
    steps = itertools.cycle(((1, STEP), (STEP, 1)))
    while STEP * b * d < rows * classes and (STEP * b <= rows or STEP * d <= classes):
        more_rows, more_classes = next(steps)
        if more_rows * b <= rows and more_classes * d <= classes:
            b, d = more_rows * b, more_classes * d
            yield b, d


def _time(one: Implementation, probs: Array, grad_output: Array, out: Array) -> float:
    best = math.inf
    for _ in range(TRIES):
        start = time.perf_counter()
        invoke(one.kernel, probs, grad_output, out=out)
        best = min(best, time.perf_counter() - start)
    return best


def _beyond(seen: list[Rung], rows: int, classes: int) -> float:
    """Fit what calls, rows, classes, elements and those of Jacobians cost to the rungs, and add it up for the whole.

    The last of these grow so steeply that they would make hours of a flicker: they count if they were seen. Two rungs
    don't show what grows with which: there, and where no fit is found, time is taken to grow with rows and classes.
    """
    b, d, last = seen[-1]
    in_proportion = last * (rows / b) * (classes / d)
    if len(seen) < FEWEST:
        return in_proportion
    terms = np.array([[1, b, d, b * d, b * d**2] for b, d, _ in [*seen, (rows, classes, 0.0)]], float)
    terms /= terms[-1]  # or the fit would take the smallest for zeros
    seconds = np.array([one for _, _, one in seen])
    weights = 1 / (seconds + FLICKER)  # all rungs count alike, but for those of which little is known
    try:
        costs, _ = optimize.nnls(terms[:-1] * weights[:, None], seconds * weights)
        if (terms[:-1, -1] * costs[-1] < SEEN * seconds).all():
            costs, _ = optimize.nnls(terms[:-1, :-1] * weights[:, None], seconds * weights)
    except RuntimeError:  # it gave up
        return in_proportion
    return float(costs.sum())
