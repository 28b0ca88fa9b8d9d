"""The answers of `choose` over a fine grid of shapes, for pages that look an answer up instead of computing it."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import NamedTuple

from softmax_impls.choice.answer import Basis, Question
from softmax_impls.choice.choose import Implementations, answer_at_measured, answer_between
from softmax_impls.choice.interpolation import Shape
from softmax_impls.choice.measurements import Measurements
from softmax_impls.choice.ranking import RankedRun

STEPS = [2 ** (exponent / 2) for exponent in range(81)]  # sizes of the grid


class PredictedCandidate(NamedTuple):
    """An implementation at a shape."""

    name: str
    seconds: float  # of a call
    ratio: float  # to the fastest, and an interval around it
    low: float
    high: float
    tied: bool  # whether it is the fastest or ties with it


class Prediction(NamedTuple):
    """The answer of `choose` at a shape."""

    batch: int
    dim: int
    basis: Basis
    pick: str  # the implementation to use
    candidates: list[PredictedCandidate]  # fastest first


def predict_grid(run: RankedRun, dtype: str, threads: int, implementations: Implementations) -> list[Prediction]:
    """Return what `choose` answers from one run at every measured shape, and between them in steps of sqrt(2)."""
    measured = Measurements(run, dtype, threads)
    predictions = []
    for batch, dim in _grid(measured.cells):
        question = Question(batch, dim, dtype, threads)
        answer = answer_at_measured(question, measured) or answer_between(question, measured, implementations)
        if answer and answer.pick:
            candidates = []
            for name, candidate in answer.candidates.items():
                ratio, tied = answer.ratio(name), name in answer.winners
                candidates.append(PredictedCandidate(name, candidate.seconds, ratio.value, ratio.low, ratio.high, tied))
            predictions.append(Prediction(batch, dim, answer.basis, answer.pick.name, candidates))
    return predictions


def _grid(measured: Collection[Shape]) -> list[Shape]:
    """Return the measured shapes and a grid over their range, sorted by batch and dim."""
    if not measured:
        return []
    batches, dims = (
        [round(step) for step in STEPS if min(sizes) <= step <= max(sizes)] for sizes in zip(*measured, strict=True)
    )
    return sorted({*measured, *itertools.product(batches, dims)})
