"""Choose an implementation for a shape, or for a grid of shapes, from measurements."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from softmax_impls import dispatch
from softmax_impls.choice.answer import MEASURED, OUTSIDE, PREDICTED, Answer, Candidate, Question
from softmax_impls.choice.candidates import Implementations, answer_from
from softmax_impls.choice.doubts import doubts
from softmax_impls.choice.measurements import Measurements
from softmax_impls.choice.ranking import RankedRun, accuracy_of, compare_some, is_from
from softmax_impls.results.runs import OLDEST, range_of
from softmax_impls.timing.statistics import MIN_MARGIN, Comparison, Ratio

STEPS = [2 ** (exponent / 2) for exponent in range(81)]  # sizes of the grid


def choose(
    question: Question,
    runs: Sequence[RankedRun],
    here: str,
    implementations: Implementations,
    others: Sequence[RankedRun] = (),
) -> Answer:
    """Answer a question from the run that fits best. `here` is the name of this machine in results files.

    The runs are ordered by three criteria: runs on this machine before others, then runs of `compare` before those of
    other tools, then newer before older. The answer is from the first run that measured the shape. If no run measured
    the shape, the answer is from the first run that can predict times at the shape. If no run can, the basis of the
    answer is `OUTSIDE`. Times of different runs are never mixed. An answer is never from the runs in `others`, but if
    they contradict a measured answer, they add to its `doubts`.
    """
    newest = sorted(runs, key=lambda run: run.run.time or OLDEST, reverse=True)
    ordered = sorted(newest, key=lambda run: (not is_from(run.run, here), run.run.tool != "compare"))
    fullest = (_fullest(run, question) for run in ordered)
    usable = [found for run in fullest if (found := Measurements(run, question.dtype, question.threads)).cells]
    for measured in usable:
        if answer := _answer_at(question, measured, implementations):
            cell = measured.cells[question.batch, question.dim]
            doubted = doubts(answer, cell, [*runs, *others])
            return replace(answer, source=measured.source(here, [cell]), doubts=tuple(doubted))
    for measured in usable:
        if answer := _answer_between(question, measured, implementations):
            return replace(answer, source=measured.source(here))
    return Answer(question, OUTSIDE, source=usable[0].source(here) if usable else None)


def _fullest(run: RankedRun, question: Question) -> RankedRun:
    """Return a copy of the run that has, of the cells of the question's shape, only the fullest.

    A cell is fullest if no other cell of the shape has more of the needed implementations. The needed implementations
    are `question.only` or, if it is empty, the implementation of the default call. If `question.only` is not empty, a
    cell of the shape without any needed implementation is left out. All cells of other shapes are kept.
    """
    needed = set(question.only or [dispatch.pick().impl])
    counts = {id(cell): len(needed & cell.kernels.keys()) for cell in run.cells if question.is_about(cell.cell)}
    most = max([bool(question.only), *counts.values()])
    return RankedRun(run.run, [cell for cell in run.cells if counts.get(id(cell), most) == most])


def predict_grid(measured: Measurements, implementations: Implementations) -> list[Answer]:
    """Return the answers at measured shapes and between them, in steps of a factor sqrt(2), sorted by batch and dim."""
    if not measured.cells:
        return []
    sizes = ([round(step) for step in STEPS if min(of) <= step <= max(of)] for of in zip(*measured.cells, strict=True))
    shapes = sorted({*measured.cells, *itertools.product(*sizes)})
    questions = (Question(batch, dim, measured.dtype, measured.threads) for batch, dim in shapes)
    about = measured, implementations
    return [answer for q in questions if (answer := _answer_at(q, *about) or _answer_between(q, *about))]


def _answer_at(question: Question, measured: Measurements, implementations: Implementations) -> Answer | None:
    """Answer from the cell with the shape of the question; None if the shape was not measured."""
    cell = measured.cells.get((question.batch, question.dim))
    if cell is None:
        return None
    found, not_timed = {}, {}
    for name, kernel in cell.kernels.items():
        if kernel.ranked and kernel.seconds is not None:
            low, high = range_of(cell.every_round.by_name[name]) or (math.nan, math.nan)
            low, high = min(low, kernel.seconds), max(high, kernel.seconds)  # `kernel.seconds` is of quiet rounds only
            memory = math.nan if kernel.temporary_bytes is None else kernel.temporary_bytes
            about = (memory, measured.errors[name], accuracy_of(kernel), kernel.spec)
            found[name] = Candidate(name, kernel.seconds, low, high, *about)
        else:
            timed = kernel.status in ("timed", "eliminated")
            why = "its result was not verified" if timed else kernel.status
            not_timed[name] = f"{kernel.status}: {kernel.note}" if kernel.note else why
    answer = answer_from(question, MEASURED, found, not_timed, partial(compare_some, cell), implementations)
    return replace(answer, rounds=len(cell.kernels[answer.comparison.best].samples) if answer.comparison else 0)


def _answer_between(question: Question, measured: Measurements, implementations: Implementations) -> Answer | None:
    """Return an answer from predicted times.

    Return None if the shape is far from all measured shapes, or if too few shapes were measured.
    """
    found, too_few = {}, {}
    for name, known in measured.kernels.items():
        seconds = measured.models[name].at((question.batch, question.dim)) if name in measured.models else math.nan
        if math.isnan(seconds):
            too_few[name] = "measured at too few shapes around this shape"
            continue
        (low, high), kernel = measured.ranges[name], next(iter(known.values()))
        about = math.nan, measured.errors[name], accuracy_of(kernel), kernel.spec  # memory depends on the shape
        found[name] = Candidate(name, seconds, seconds * low, seconds * high, *about)
    compare = partial(_compare_between, measured)
    return answer_from(question, PREDICTED, found, too_few, compare, implementations) if found else None


def _compare_between(measured: Measurements, candidates: Mapping[str, Candidate]) -> Comparison:
    """Compare candidates by ratios of predicted times. The ratios have smaller errors than the times."""
    best = min(candidates, key=lambda name: candidates[name].seconds)
    ratios = {}
    for name in (name for name in candidates if name != best):
        ratio, factor = candidates[name].seconds / candidates[best].seconds, measured.factor(name, best)
        ratios[name] = Ratio(ratio, ratio / factor, ratio * factor)
    ties = tuple(name for name, ratio in ratios.items() if ratio.low <= 1 + MIN_MARGIN)
    return Comparison(best, ratios, MIN_MARGIN, ties)
