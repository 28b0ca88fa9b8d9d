"""Make the report: one HTML file with figures, tables, raw results, and an answer for the reader's own shape.

Jinja2 escapes all text from results. A content security policy in the page forbids to load anything.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

from softmax_impls import implementations
from softmax_impls.choice.ranking import RankedRun, rank_run
from softmax_impls.choice.scaling import Crossover, Exponent, crossovers, exponents
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report import figures
from softmax_impls.report.html import embedded
from softmax_impls.report.html.svg import inline
from softmax_impls.report.panels import Panel, address, panels, shape_text
from softmax_impls.report.style import styles_of
from softmax_impls.results.runs import Loaded

# These bounds keep the file below 3 MB. A note in the page says what was left out.
MAX_CELLS = 2_000
MAX_RESULTS = 4_000  # results of a kernel in a cell
MAX_FIGURES = 800_000  # characters
MAX_SIDE_BY_SIDE = 6  # runs in the table of shared cells

Labelled = tuple[str, Markup]  # a label, and an SVG element


@dataclass
class Report:
    """The content of a report.

    Attributes
    ----------
    loaded : Loaded
        At least one run.
    whole_runs, runs : list of RankedRun
        All runs, newest first; and the same without the cells that do not fit into the page.
    styles : dict of str to Style
        Colour and marker of each implementation.
    notes : list of str
        What was left out, a line each.
    """

    loaded: Loaded
    whole_runs: list[RankedRun] = field(init=False)
    runs: list[RankedRun] = field(init=False)
    notes: list[str] = field(init=False)

    def __post_init__(self) -> None:
        ranked = [rank_run(run) for run in self.loaded.runs]
        self.runs, left_out = _first_cells(ranked)
        self.whole_runs = ranked[: len(self.runs)]
        self.notes = [*self.loaded.notes, *left_out]
        self.styles = styles_of(name for run in ranked for cell in run.cells for name in cell.kernels)

    def html(self) -> tuple[str, list[str]]:
        """Return the page, and its notes."""
        notes = list(self.notes)
        shown = _figures(self, notes)
        data = embedded.data(self.runs, self.whole_runs, notes)
        if len(self.runs) > MAX_SIDE_BY_SIDE:
            notes.append(f"Of {len(self.runs)} runs, the {MAX_SIDE_BY_SIDE} newest are shown side by side.")
        script = _source("page.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        page = templates().get_template("page.html.jinja").render(
            runs=self.runs,
            figures=shown,
            crossovers=[(run, found) for run in self.runs if (found := list(_crossovers(run)))],
            growth=[(run, grown) for run in self.runs if (grown := _growth(run))],
            side_by_side=self.runs[:MAX_SIDE_BY_SIDE],
            shared=_shared(self.runs[:MAX_SIDE_BY_SIDE]),
            problems=self.loaded.problems,
            notes=notes,
            files=sorted({file for run in self.runs for file in run.run.files}),
            kernels=len({name for run in self.runs for cell in run.cells for name in cell.kernels}),
            results=sum(len(cell.kernels) for run in self.runs for cell in run.cells),
            cells=len({cell.key for run in self.runs for cell in run.cells}),
            data=data,
            script=Markup(script),
            script_hash=f"sha256-{digest}",
            style=Markup(_source("page.css")),
        )  # fmt: skip
        return page, notes


@cache
def templates() -> jinja2.Environment:
    """Return the templates of this folder. They escape all text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("softmax_impls.report", "html"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {"seconds": format_seconds, "shape": shape_text, "panel": Panel.of, "address": address}
    environment.globals |= {"count": format_count, "versions": _versions, "days": _days, "Panel": Panel}
    return environment


def _source(name: str) -> str:
    return files("softmax_impls.report.html").joinpath(name).read_text(encoding="utf-8")


def _first_cells(runs: Sequence[RankedRun]) -> tuple[list[RankedRun], list[str]]:
    """Return the first runs and cells, as many as the page can show, and a note if there are more."""
    totals = list(itertools.accumulate(len(cell.kernels) for run in runs for cell in run.cells))
    left = max(1, sum(total <= MAX_RESULTS for total in totals[:MAX_CELLS]))
    notes = [f"This page shows {left} of {len(totals)} cells, newest runs first."] if left < len(totals) else []
    kept = []
    for run in runs:
        if left > 0:
            kept.append(RankedRun(run.run, run.cells[:left]))
            left -= len(run.cells)
    return kept, notes


def _figures(report: Report, notes: list[str]) -> dict[str, list[tuple[RankedRun, list[Labelled]]]]:
    """Return the figures of each kind, for each run. Runs whose figures do not fit are left out."""
    found: dict[str, list[tuple[RankedRun, list[Labelled]]]] = {}
    left, left_out = MAX_FIGURES, []
    for number, run in enumerate(report.runs):
        drawn = _figures_of_run(report, number) if left > 0 else {}
        left -= sum(len(svg) for labelled in drawn.values() for _, svg in labelled)
        if left <= 0:
            left_out.append(run.run.title)
            continue
        for kind, labelled in drawn.items():
            found.setdefault(kind, []).append((run, labelled))
    if left_out:
        runs = format_count(len(left_out), "run")
        notes.append(f"Figures of {runs} would make this page too large: {'; '.join(left_out)}.")
    return found


def _figures_of_run(report: Report, number: int) -> dict[str, list[Labelled]]:
    """Return the figures of a run by kind, with a figure for each panel."""
    run, drawn = report.runs[number], defaultdict(list)
    for panel in panels(run.cells):
        for kind in figures.KINDS:
            if figure := figures.draw(kind, run.cells, [panel], report.styles):
                svg = inline(figure, f"{kind} {number} {panel}")
                drawn[kind].append((f"{panel}, {run.run.title}", svg))
    return drawn


def _crossovers(run: RankedRun) -> Iterator[Crossover]:
    """Yield the crossovers of all pairs of kernels that are fastest in some cell."""
    names = sorted({name for cell in run.cells for name in cell.winners})
    for pair in itertools.combinations(names, 2):
        yield from crossovers(run, pair)


def _growth(run: RankedRun) -> list[Exponent]:
    """Return the exponents of time in batch and in dim."""
    return exponents(run, {name: implementation.family for name, implementation in implementations().items()})


def _shared(runs: Sequence[RankedRun]) -> list[list[object]]:
    """Return the cells of the newest run that another run has, too; of each, the ranking of every run or None."""
    by_run = [{cell.key: cell for cell in run.cells} for run in runs]
    rows = [[cells.get(cell.key) for cells in by_run] for cell in runs[0].cells]
    return [[*row] for row in rows if sum(cell is not None for cell in row) > 1]


def _versions(run: RankedRun) -> str:
    versions = {pair for cell in run.cells for pair in cell.cell.environment.versions.items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(versions))


def _days(run: RankedRun) -> str:
    """Return the times of the first and the last cell."""
    times = sorted(cell.cell.time for cell in run.cells if cell.cell.time)
    ends = dict.fromkeys(f"{time:%Y-%m-%d %H:%M}" for time in (times[0], times[-1])) if times else ["–"]
    return " to ".join(ends)
