"""The answers of `choose` over a fine grid of shapes, for pages that look an answer up instead of computing it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from softmax_impls.choice.answer import Answer, Basis, Question
from softmax_impls.choice.choose import answer_at_measured, answer_between
from softmax_impls.choice.interpolation import Shape
from softmax_impls.choice.measurements import Measurements
from softmax_impls.choice.ranking import RankedRun
from softmax_impls.implementation import Implementation

STEPS_PER_OCTAVE = 2  # sizes of the grid grow by a factor of sqrt(2)


@dataclass(frozen=True, slots=True)
class PredictedCandidate:
    """An implementation at a shape."""

    name: str
    seconds: float  # of a call
    ratio: float  # to the fastest, and an interval around it
    low: float
    high: float
    tied: bool  # whether it is the fastest or ties with it


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer of `choose` at a shape."""

    batch: int
    dim: int
    basis: Basis
    pick: str  # the implementation to use
    candidates: tuple[PredictedCandidate, ...]  # fastest first


def predict_grid(
    run: RankedRun, dtype: str, threads: int, implementations: Mapping[str, Implementation]
) -> list[Prediction]:
    """Return the answers of `choose`, from one run, at a grid of shapes and at every measured shape.

    The grid has sizes in steps of sqrt(2). Shapes outside of the measured shapes are left out.

    Parameters
    ----------
    run : RankedRun
    dtype : str
    threads : int
    implementations : mapping of str to Implementation

    Returns
    -------
    list of Prediction
        Sorted by batch and dim; empty if the run has no times with this dtype and number of threads.
    """
    measured = Measurements(run, dtype, threads)
    return [
        _prediction(answer, answer.pick.name)
        for batch, dim in _shapes(measured.cells)
        if (answer := _answer(Question(batch, dim, dtype, threads), measured, implementations)) and answer.pick
    ]


def _shapes(measured: Iterable[Shape]) -> Iterator[Shape]:
    """Yield the shapes of the grid and the measured shapes, sorted."""
    known = set(measured)
    batches, dims = (_steps(size) for size in zip(*known, strict=True)) if known else ([], [])
    yield from sorted(known.union(itertools.product(batches, dims)))


def _steps(sizes: Iterable[int]) -> list[int]:
    """Return powers of sqrt(2), rounded, from the smallest to the largest size."""
    ends = [STEPS_PER_OCTAVE * math.log2(size) for size in sizes]
    return [round(2 ** (step / STEPS_PER_OCTAVE)) for step in range(math.ceil(min(ends)), math.floor(max(ends)) + 1)]


def _answer(question: Question, run: Measurements, implementations: Mapping[str, Implementation]) -> Answer | None:
    return answer_at_measured(question, run) or answer_between(question, run, implementations)


def _prediction(answer: Answer, pick: str) -> Prediction:
    candidates = []
    for name, candidate in answer.candidates.items():
        ratio = answer.ratio(name)
        tied = name in answer.winners
        candidates.append(PredictedCandidate(name, candidate.seconds, ratio.value, ratio.low, ratio.high, tied))
    return Prediction(answer.question.batch, answer.question.dim, answer.basis, pick, tuple(candidates))
