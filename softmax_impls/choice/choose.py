"""Choose an implementation for a shape, or for a grid of shapes, from measurements."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from softmax_impls.choice.answer import INTERPOLATED, MEASURED, OUTSIDE, Answer, Candidate, Question
from softmax_impls.choice.measurements import Measurements, Shape
from softmax_impls.choice.ranking import RankedRun, compare_some
from softmax_impls.formatting import format_bytes
from softmax_impls.implementation import Implementation
from softmax_impls.results.runs import OLDEST, interval_of
from softmax_impls.timing.statistics import MIN_MARGIN, Comparison, Ratio

STEPS = [2 ** (exponent / 2) for exponent in range(81)]  # sizes of the grid

Implementations = Mapping[str, Implementation]
Compare = Callable[[Mapping[str, Candidate]], Comparison]


def choose(question: Question, runs: Sequence[RankedRun], here: str, implementations: Implementations) -> Answer:
    """Answer from the run that fits best; `here` is the name of this machine, as results have it.

    Runs on this machine come first, then runs of `compare`, then newer runs. The first run that measured the shape
    answers. If no run did, the first run that can be interpolated answers. Times of different runs are never mixed.
    """
    newest = sorted(runs, key=lambda run: run.run.time or OLDEST, reverse=True)
    ordered = sorted(newest, key=lambda run: (run.run.machine != here, run.run.tool != "compare"))
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
    answer = _answer(question, MEASURED, found, not_ranked, partial(compare_some, cell))
    return replace(answer, rounds=len(cell.kernels[answer.comparison.best].samples) if answer.comparison else 0)


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
    compare = partial(_compare_between, measured, shape)
    return _answer(question, INTERPOLATED, found, too_few, compare) if found else None


def _compare_between(measured: Measurements, shape: Shape, candidates: Mapping[str, Candidate]) -> Comparison:
    """Compare candidates by interpolated ratios, which vary less than times."""
    best = min(candidates, key=lambda name: candidates[name].seconds)
    ratios = {}
    for name, candidate in candidates.items():
        if name != best:
            surface = measured.surface(name, over=best)
            ratio, factor = surface.at(shape), surface.likely_error
            ratio = candidate.seconds / candidates[best].seconds if math.isnan(ratio) else ratio
            ratios[name] = Ratio(ratio, ratio / factor, ratio * factor)
    ties = tuple(name for name, ratio in ratios.items() if ratio.low <= 1 + MIN_MARGIN)
    return Comparison(best, ratios, MIN_MARGIN, ties)


def _answer(
    question: Question, basis: str, found: Mapping[str, Candidate], ruled_out: dict[str, str], compare: Compare
) -> Answer:
    """Answer with the candidates that meet the requirements, sorted by their ratios: these decide ties, not medians."""
    too_much = {}
    for name, candidate in found.items():
        memory, error = candidate.temporary_bytes, candidate.error
        if question.max_memory < math.inf and not memory <= question.max_memory:
            more = f"{format_bytes(memory)}, more than {format_bytes(question.max_memory)}"
            too_much[name] = f"its temporary memory is {'unknown' if math.isnan(memory) else more}"
        elif question.max_error < math.inf and not error <= question.max_error:
            more = f"{error:.0e}, more than {question.max_error:g}"
            too_much[name] = f"its worst error is {'unknown' if math.isnan(error) else more}"
    allowed = {name: candidate for name, candidate in found.items() if name not in too_much}
    comparison = compare(allowed) if allowed else None
    ratios = comparison.ratios if comparison else {}
    order = sorted(allowed, key=lambda name: (name in ratios, name in ratios and ratios[name].value))
    return Answer(question, basis, {name: allowed[name] for name in order}, comparison, too_much | ruled_out)
