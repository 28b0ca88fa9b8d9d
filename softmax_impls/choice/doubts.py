"""Reasons not to be sure of a single winner: a short lead, a busy machine, or measurements with another winner."""

import itertools
from collections.abc import Iterable, Iterator

from softmax_impls.choice.answer import Answer, Question
from softmax_impls.choice.ranking import Ranked, RankedRun, compare_some, kind_of, rank
from softmax_impls.choice.sure import SURE_ROUNDS, disturbances, is_well_ahead, sure_lead
from softmax_impls.formatting import format_count
from softmax_impls.results.runs import OLDEST
from softmax_impls.timing.records import Cell


def doubts(answer: Answer, ranked: Ranked, runs: Iterable[RankedRun]) -> Iterator[str]:
    """Yield the reasons to doubt a single winner; none if the answer does not have a single winner.

    The answer is based on the cell `ranked`. One reason is a comparable measurement in `runs` that had another single
    winner. Of such measurements, only the newest is named.
    """
    if len(answer.winners) != 1:
        return
    others = [name for name, c in answer.candidates.items() if answer.allows(c) and c is not answer.pick]
    measured = ranked.every_round, ranked.kernels
    near = (name for name in others if not is_well_ahead(*measured, answer.winners[0], name, answer.ratio(name)))
    for name in itertools.islice(near, 1):
        rounds = len(ranked.every_round.by_name[name].samples)
        few = f" in {format_count(rounds, 'round')}" if rounds < SURE_ROUNDS else ""
        yield f"{name} takes less than {sure_lead(rounds):.0%} longer{few}: another run may see the opposite."
    yield from disturbances(ranked.every_round)
    newest_first = sorted(_of_shape(answer.question, runs), key=lambda other: other.time or OLDEST, reverse=True)
    contradictions = (_contradiction(answer, ranked.cell, other) for other in newest_first)
    yield from itertools.islice(filter(None, contradictions), 1)


def _of_shape(question: Question, runs: Iterable[RankedRun]) -> Iterator[Cell]:
    """Yield all cells with the question's shape that `compare` or `choose` measured, older cells of a run included."""
    for run in runs:
        if run.run.tool == "compare":
            cells = itertools.chain((ranked.every_round for ranked in run.cells), *run.run.earlier.values())
            yield from filter(question.is_about, cells)


def _contradiction(answer: Answer, cell: Cell, other: Cell) -> str:
    """Return a sentence if `other` had another kernel as its single winner; "" if not, or if it is not comparable.

    Comparable measurements are of the same kind of machine, the same host, and the same source of both kernels.
    """
    here, there = cell.environment, other.environment
    winner, ranked = answer.winners[0], rank(other)
    allowed = [name for name, c in answer.candidates.items() if answer.allows(c) and ranked.ratio(name)]
    if winner not in allowed or (kind_of(here), here.host) != (kind_of(there), there.host):
        return ""
    comparison = compare_some(ranked, allowed)
    before = comparison.best
    edited = any(cell.by_name[name].source != other.by_name[name].source for name in (winner, before))
    if comparison.ties or before == winner or edited:
        return ""
    when = f" of {other.time:%Y-%m-%d %H:%M}" if other.time else ""
    return f"Another measurement{when} had {before} ahead of {winner} by {comparison.ratios[winner].value:.2g}x."
