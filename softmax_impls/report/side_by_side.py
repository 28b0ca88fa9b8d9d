"""Several runs side by side: for each cell, the implementations to use, and times relative to the first run."""

from collections.abc import Sequence
from typing import NamedTuple

from softmax_impls import dispatch
from softmax_impls.choice.fleet import at_cells, summary
from softmax_impls.choice.ranking import Ranked, RankedRun
from softmax_impls.formatting import format_seconds
from softmax_impls.report.panels import best
from softmax_impls.report.terminal.tables import format_ratio
from softmax_impls.timing.workloads import CellKey

LETTERS = "ABCD"  # names of the runs; further runs are not shown
TEXT = (
    "Each cell has the implementation to use and its time. B÷A is the time of run B over the time of run A: of these "
    "implementations, of the default call's implementation, and of all implementations, the least and the greatest."
)


class Row(NamedTuple):
    """A row of the comparison: a cell, and texts that state its results in each run."""

    key: CellKey
    bests: list[str]  # for each run, the implementations to use and the time
    ratios: list[str]  # for each later run, its times over the times of the first run
    for_all: str  # which implementation serves all kinds of machines; empty if there is one kind


class SideBySide(NamedTuple):
    """The cells that the first run has in common with another run, in the order of the first run."""

    titles: dict[str, str]  # of the runs, by letter
    heads: list[str]  # headings of the ratios, and of `for_all` if there are several kinds of machines
    rows: list[Row]
    summary: list[str]  # sentences about all kinds of machines


def side_by_side(runs: Sequence[RankedRun]) -> SideBySide:
    """Return a comparison of the first run with each later run. `LETTERS` limits how many runs are shown."""
    shown = dict(zip(LETTERS, runs, strict=False))
    cells = [{cell.key: cell for cell in run.cells} for run in shown.values()]
    kinds = ("", f" {dispatch.pick().impl}", " of all") if len(shown) == 2 else ("",)
    fleet, rows = at_cells(runs), []
    for first in runs[0].cells:
        found = [of_run.get(first.key) for of_run in cells]
        if any(found[1:]):
            ratios = [text for cell in found[1:] for text in _ratios(first, cell)[: len(kinds)]]
            for_all = str(fleet[first.key]) if first.key in fleet else ""
            rows.append(Row(first.key, [_best(cell) for cell in found], ratios, for_all))
    heads = [f"{letter}÷A{kind}" for letter in list(shown)[1:] for kind in kinds]
    heads += ["for all kinds"] * any(row.for_all for row in rows)
    return SideBySide({letter: run.run.title for letter, run in shown.items()}, heads, rows, list(summary(fleet)))


def _best(cell: Ranked | None) -> str:
    found = best(cell) if cell else None
    return f"{' = '.join(found.names)} {format_seconds(found.seconds)}" if found else "–"


def _ratios(first: Ranked, later: Ranked | None) -> list[str]:
    """Return three texts about the same cell in two runs: ratios of the times in `later` to the times in `first`.

    Each run recommends an implementation: the first text is the ratio of the times of these two. The second is the
    ratio for the implementation that `softmax_backward` uses by default. The third has the smallest and the largest
    ratio of all implementations. A text is "–" if a time is missing.
    """
    a, b = best(first), best(later) if later else None
    if not (a and b and later):
        return ["–"] * 3
    ratios = {
        name: then.seconds / now.seconds
        for name, now in first.kernels.items()
        if (then := later.kernels.get(name)) and now.ranked and then.ranked and now.seconds and then.seconds
    }
    default, ordered = ratios.get(dispatch.pick().impl), sorted(ratios.values())
    texts = [format_ratio(b.seconds / a.seconds), format_ratio(default) if default else "–"]
    return [*texts, " to ".join(map(format_ratio, ordered[:1] + ordered[1:][-1:])) or "–"]
