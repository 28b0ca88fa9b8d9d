"""Choose an implementation for a shape, or for a grid of shapes, from measurements."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from softmax_impls.choice.answer import INTERPOLATED, MEASURED, OUTSIDE, Answer, Candidate, Question
from softmax_impls.choice.measurements import Measurements, newness
from softmax_impls.choice.ranking import RankedRun, compare_some
from softmax_impls.formatting import format_bytes
from softmax_impls.implementation import Implementation
from softmax_impls.results.runs import interval_of
from softmax_impls.timing.statistics import MIN_MARGIN, Comparison, Ratio

STEPS = [2 ** (exponent / 2) for exponent in range(81)]  # sizes of the grid

Implementations = Mapping[str, Implementation]


def choose(question: Question, runs: Sequence[RankedRun], here: str, implementations: Implementations) -> Answer:
    """Answer from the run that fits best; `here` is the name of this machine, as results have it.

    Runs on this machine come first, then runs of `compare`, then newer runs. The first run that measured the shape
    answers. If no run did, the first run that can be interpolated answers. Times of different runs are never mixed.
    """
    ordered = sorted(runs, key=lambda run: (run.run.machine != here, run.run.tool != "compare", -newness(run.run.time)))
    usable = [found for run in ordered if (found := Measurements(run, question.dtype, question.threads)).cells]
    for measured in usable:
        if answer := _answer_at_measured(question, measured):
            return replace(answer, source=measured.source(here, [measured.cells[question.batch, question.dim]]))
    for measured in usable:
        if answer := _answer_between(question, measured, implementations):
            return replace(answer, source=measured.source(here))
    return Answer(question, OUTSIDE, source=usable[0].source(here) if usable else None)


def predict_grid(measured: Measurements, implementations: Implementations) -> list[Answer]:
    """Return the answers at all measured shapes, and between them in steps of sqrt(2), sorted by batch and dim."""
    if not measured.cells:
        return []
    sizes = ([round(step) for step in STEPS if min(of) <= step <= max(of)] for of in zip(*measured.cells, strict=True))
    shapes = sorted({*measured.cells, *itertools.product(*sizes)})
    questions = [Question(batch, dim, measured.dtype, measured.threads) for batch, dim in shapes]
    answers = (_answer_at_measured(q, measured) or _answer_between(q, measured, implementations) for q in questions)
    return [answer for answer in answers if answer]


def _answer_at_measured(question: Question, measured: Measurements) -> Answer | None:
    """Answer from the cell with the shape of the question; None if the shape was not measured."""
    cell = measured.cells.get((question.batch, question.dim))
    if cell is None:
        return None
    found, not_ranked = {}, {}
    for name, kernel in cell.kernels.items():
        if kernel.ranked and kernel.seconds is not None:
            low, high = interval_of(kernel) or (math.nan, math.nan)
            memory = math.nan if kernel.temporary_bytes is None else kernel.temporary_bytes
            found[name] = Candidate(name, kernel.seconds, low, high, memory, measured.errors[name])
        elif kernel.note:
            not_ranked[name] = f"{kernel.status}: {kernel.note}"
        else:
            timed = kernel.status in ("timed", "eliminated")
            not_ranked[name] = "its result was not verified" if timed else kernel.status
    allowed, ruled_out = _allow(question, found)
    comparison = compare_some(cell, allowed) if allowed else None
    rounds = len(cell.kernels[comparison.best].samples) if comparison else 0
    return Answer(question, MEASURED, _fastest_first(allowed, comparison), comparison, ruled_out | not_ranked, rounds)


def _answer_between(question: Question, measured: Measurements, implementations: Implementations) -> Answer | None:
    """Answer by interpolation between measured shapes; None if the shape lies outside of them.

    The records of `implementations` state their temporary memory at this shape.
    """
    shape, dtype = (question.batch, question.dim), np.dtype(question.dtype)
    found, too_few = {}, {}
    for name in measured.kernels:
        surface = measured.surface(name)
        seconds = surface.at(shape)
        if math.isnan(seconds):
            too_few[name] = "measured at too few shapes around this shape"
            continue
        factor = surface.likely_error
        memory = implementations[name].temporary_bytes(*shape, dtype) if name in implementations else math.nan
        found[name] = Candidate(name, seconds, seconds / factor, seconds * factor, memory, measured.errors[name])
    if not found:
        return None
    allowed, ruled_out = _allow(question, found)
    comparison = _compare_between(question, allowed, measured) if allowed else None
    return Answer(question, INTERPOLATED, _fastest_first(allowed, comparison), comparison, ruled_out | too_few)


def _compare_between(question: Question, candidates: Mapping[str, Candidate], measured: Measurements) -> Comparison:
    """Compare candidates by interpolated ratios, which vary less than times."""
    best = min(candidates, key=lambda name: candidates[name].seconds)
    ratios = {}
    for name, candidate in candidates.items():
        if name != best:
            surface = measured.surface(name, over=best)
            ratio, factor = surface.at((question.batch, question.dim)), surface.likely_error
            ratio = candidate.seconds / candidates[best].seconds if math.isnan(ratio) else ratio
            ratios[name] = Ratio(ratio, ratio / factor, ratio * factor)
    ties = tuple(name for name, ratio in ratios.items() if ratio.low <= 1 + MIN_MARGIN)
    return Comparison(best, ratios, MIN_MARGIN, ties, behind=(), settled=not ties)


def _fastest_first(candidates: Mapping[str, Candidate], comparison: Comparison | None) -> dict[str, Candidate]:
    """Sort candidates by their ratios to the fastest, not by their medians: ties are decided by ratios."""
    ratios = comparison.ratios if comparison else {}
    order = sorted(candidates, key=lambda name: (name in ratios, name in ratios and ratios[name].value))
    return {name: candidates[name] for name in order}


def _allow(question: Question, found: Mapping[str, Candidate]) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Return the candidates that meet the requirements, and the reasons why the others do not."""
    ruled_out = {}
    for name, candidate in found.items():
        memory, error = candidate.temporary_bytes, candidate.error
        if question.max_memory < math.inf and not memory <= question.max_memory:
            more = f"{format_bytes(memory)}, more than {format_bytes(question.max_memory)}"
            ruled_out[name] = f"its temporary memory is {'unknown' if math.isnan(memory) else more}"
        elif question.max_error < math.inf and not error <= question.max_error:
            more = f"{error:.0e}, more than {question.max_error:g}"
            ruled_out[name] = f"its worst error is {'unknown' if math.isnan(error) else more}"
    return {name: candidate for name, candidate in found.items() if name not in ruled_out}, ruled_out
