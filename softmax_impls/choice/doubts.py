"""Reasons not to be sure of a single winner: a short lead, a busy machine, and other measurements."""

import itertools
from collections.abc import Iterable, Iterator

from softmax_impls.choice.answer import Answer, Question
from softmax_impls.choice.ranking import RankedRun, compare_some, is_well_ahead, ran_side_by_side, rank
from softmax_impls.results.runs import OLDEST
from softmax_impls.results.store import PACKAGES
from softmax_impls.timing.records import Cell
from softmax_impls.timing.statistics import SURE_LEAD


def doubts(answer: Answer, cell: Cell, runs: Iterable[RankedRun]) -> tuple[str, ...]:
    """Return the reasons why the single winner of an answer is not sure; `cell` is what the answer is based on."""
    if len(answer.winners) != 1:
        return ()
    newest_first = sorted(_of_shape(answer.question, runs), key=lambda other: other.time or OLDEST, reverse=True)
    against = (line for other in newest_first if (line := _contradiction(answer, cell, other)))
    busy = "Other programs used the processor in most rounds of the measurement." if cell.is_busy else ""
    return tuple(filter(None, (_short_lead(answer, cell), busy, _not_side_by_side(cell), next(against, ""))))


def _short_lead(answer: Answer, cell: Cell) -> str:
    if answer.runner_up is None:
        return ""
    name = answer.runner_up.name
    if is_well_ahead(cell, answer.winners[0], name, answer.ratio(name)):
        return ""
    return f"{name} takes less than {SURE_LEAD:.0%} longer: another run may see the opposite."


def _not_side_by_side(cell: Cell) -> str:
    if ran_side_by_side(cell):
        return ""
    if cell.concurrency is None:
        return f"It is not known whether this machine ran {cell.threads} threads side by side during the measurement."
    seen = f"{cell.concurrency:.1f} of {cell.threads}"
    return (
        f"The machine did not run {cell.threads} threads side by side during the measurement ({seen}): "
        "another implementation may be the fastest when it does."
    )


def _of_shape(question: Question, runs: Iterable[RankedRun]) -> Iterator[Cell]:
    """Yield every measurement of the shape by `compare` and `choose`, not only the newest in each file."""
    for run in runs:
        if run.run.tool == "compare":
            cells = itertools.chain((ranked.every_round for ranked in run.cells), *run.run.earlier.values())
            yield from filter(question.is_about, cells)


def _contradiction(answer: Answer, cell: Cell, other: Cell) -> str:
    """Return a sentence if another kernel was the single winner of a comparable measurement; else ""."""
    winner, ranked = answer.winners[0], rank(other)
    allowed = [
        n for n, c in answer.candidates.items() if answer.allows(c) and n in other.by_name and other.by_name[n].ranked
    ]
    if winner not in allowed or not _comparable(cell, other):
        return ""
    comparison = compare_some(ranked, allowed)
    before = comparison.best
    if comparison.ties or before == winner:
        return ""
    if any(cell.by_name[name].source != other.by_name[name].source for name in (winner, before)):
        return ""
    when = f" of {other.time:%Y-%m-%d %H:%M}" if other.time else ""
    return f"Another measurement{when} had {before} ahead of {winner} by {comparison.ratios[winner].value:.2g}x."


def _comparable(cell: Cell, other: Cell) -> bool:
    """Whether two cells are of one machine and of the same versions."""
    a, b = cell.environment, other.environment
    same_versions = all(a.versions.get(package) == b.versions.get(package) for package in PACKAGES)
    return (a.machine, a.host) == (b.machine, b.host) and same_versions
