"""One HTML file with everything in it: figures, tables, raw rows, and an answer for the reader's own shape.

What comes from results is escaped wherever it goes: HTML by `html.escape`, data as JSON without a "<", and the page's
script puts it in as text. A policy in the page forbids whatever would have to be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from importlib.resources import files
from string import Template

from matplotlib.figure import Figure

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_seconds
from softmax_impls.report import figures, plots
from softmax_impls.report.html import embedded, growth
from softmax_impls.report.html.markup import Safe, html_table
from softmax_impls.report.runs import CELL, Run, in_panel, in_shape, panel, query, runs
from softmax_impls.report.terminal.tables import count
from softmax_impls.results.frame import Loaded

# What keeps the file below 3 MB; a line in the page says what was left out.
MOST_ROWS = 4_000
MOST_FIGURES = 1_000_000  # characters
MOST_SIDE_BY_SIDE = 6  # runs in the table of shared cells

SECTIONS = {
    "winners": ("Winners", "The fastest of each measured shape, with its time; hatched where several tie."),
    "times": (
        "Time against size",
        "A point is a measured shape, its bar the interval of the median; lines are the means of a size's shapes.",
    ),
    "accuracy": (
        "Speed against error",
        "Down and to the left is better. The error is the worst over the kinds of input, saturated rows among them.",
    ),
    "memory": ("Memory", "What a call takes beside its three arrays."),
}


@dataclass
class Report:
    """What the page and the pictures are made of.

    Attributes
    ----------
    loaded : Loaded
    runs : list of Run
        The newest first; cells beyond `MOST_ROWS` left out.
    notes : list of str
        What was left out, rounded or found twice, a line each.
    """

    loaded: Loaded
    runs: list[Run] = field(init=False)
    notes: list[str] = field(init=False)

    def __post_init__(self) -> None:
        found, self.notes = runs(self.loaded.frame)
        self.runs, left_out = _as_many_as_fit(found)
        self.notes += left_out
        self.styles = plots.looks(str(name) for run in self.runs for name in run.rows["implementation"])

    def figures(self, run: Run, only: Sequence[tuple[str, int]]) -> dict[str, Figure]:
        """Draw what there is to draw of a run, with these panels; by the names of sections."""
        cells = [one for one in run.cells if panel(one.cell) in only]
        drawn = {
            "winners": plots.winners_map(cells, self.styles),
            "times": figures.times(run, only, self.styles),
            "accuracy": figures.accuracy(run, only, self.styles),
            "memory": figures.memory(run, only, self.styles),
        }
        return {name: figure for name, figure in drawn.items() if figure}

    def html(self) -> tuple[str, list[str]]:
        """Return the page, and the notes that are in it."""
        notes = list(self.notes)
        sections, shared = _sections(self, notes), _shared(self.runs, notes)
        data = embedded.data(self.runs, self.styles, notes)
        script = _source("page.js") + _source("samples.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        html = Template(_source("page.html")).substitute(
            cells="\n".join(_titled(self.runs, run, _cells(run)) for run in self.runs),
            data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
            growth="\n".join(
                _section(name, title, words, [_titled(self.runs, run, html) for run, html in tables])
                for name, title, words, tables in growth.sections(self.runs)
            ),
            machines=_machines(self.runs),
            notes=_list([*notes, f"Made from {', '.join(sorted(set(self.loaded.frame['file'])))}."]),
            problems=_problems(self.loaded.problems),
            script=script,
            script_hash=f"sha256-{digest}",
            sections=sections,
            shared=shared,
            style=_source("page.css"),
            summary=escape(_summary(self.runs)),
        )
        return html, notes


def _source(name: str) -> str:
    return files("softmax_impls.report").joinpath(name).read_text(encoding="utf-8")


def _as_many_as_fit(found: Sequence[Run]) -> tuple[list[Run], list[str]]:
    left, kept = MOST_ROWS, []
    for run in found:
        cells = []
        for one in run.cells:
            left -= len(one.rows)
            cells += [one] if left >= 0 else []
        if cells:
            rows = run.rows.loc[[row["row"] for one in cells for row in one.rows.values()]]
            kept.append(replace(run, cells=cells, rows=rows))
    there, shown = (sum(len(run.cells) for run in some) for some in (found, kept))
    if there == shown:
        return kept, []
    return kept, [f"{shown} of {there} cells are shown, those of the newest runs first: a page takes {MOST_ROWS} rows."]


def _summary(found: Sequence[Run]) -> str:
    rows = sum(len(run.rows) for run in found)
    names = {name for run in found for name in run.rows["implementation"]}
    cells = {one.cell for run in found for one in run.cells}
    where = found[0].title if len(found) == 1 else count(len(found), "run")
    return (
        f"{count(rows, 'measurement')} of {count(len(names), 'implementation')} in {count(len(cells), 'cell')}: {where}"
    )


def _sections(report: Report, notes: list[str]) -> str:
    drawn: dict[str, list[str]] = {name: [] for name in SECTIONS}
    size, left_out = 0, []
    for number, run in enumerate(report.runs):
        found: dict[str, list[str]] = {}
        for one in run.panels if size < MOST_FIGURES else []:
            for name, figure in report.figures(run, [one]).items():
                label = escape(f"{SECTIONS[name][0]}, {in_panel(one)}, {run.title}")
                svg = plots.inline(figure, f"{name} {number} {one}", label)
                found.setdefault(name, []).append(f"<figure>{svg}</figure>")
        size += sum(len(svg) for svgs in found.values() for svg in svgs)
        if not found or size > MOST_FIGURES:
            left_out.append(run.title)
            continue
        for name, svgs in found.items():
            drawn[name].append(_titled(report.runs, run, f'<div class="runs">{"".join(svgs)}</div>'))
    if left_out:
        notes.append(f"Figures of {count(len(left_out), 'run')} would make the page too large: {'; '.join(left_out)}.")
    leads = " A point or tile leads to its raw row."
    return "\n".join(_section(name, title, words + leads, drawn[name]) for name, (title, words) in SECTIONS.items())


def _section(name: str, title: str, words: str, parts: Sequence[str]) -> str:
    heading = f'<h2 id="{name}-title">{title}</h2><p>{words}</p>'
    return f'<section aria-labelledby="{name}-title">{heading}{"".join(parts)}</section>' if parts else ""


def _titled(all_runs: Sequence[Run], run: Run, html: str) -> str:
    return f"<h3>{escape(run.title)}</h3>{html}" if len(all_runs) > 1 else html


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"<li>{escape(line)}</li>" for line in lines)


def _problems(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    title = f"{count(len(lines), 'problem')} with the files"
    return f'<section class="notice"><h2>{title}</h2><ul>{_list(lines)}</ul></section>'


def _link(one: Ranked) -> Safe:
    return Safe(f'<a href="{escape(query(one.cell))}">{escape(in_shape(one.cell))}</a>')


def _cells(run: Run) -> str:
    def line(one: Ranked) -> list[str]:
        limit = run.rows["limit"].get(one.rows[one.winners[0]]["row"], float("nan"))
        share = "" if limit != limit else f"{100 * limit / one.seconds:.0f} %"
        margin = f"{100 * one.standing.margin:.1f} %" if one.standing else ""
        threads = str(one.cell.threads)
        return [
            _link(one),
            one.cell.dtype,
            threads,
            " = ".join(one.winners),
            format_seconds(one.seconds),
            share,
            margin,
        ]

    head = ("Shape", "Dtype", "Threads", "Fastest (= ties)", "Time", "Limit / time", "A tie is within")
    return html_table(f"All cells, {run.title}", head, map(line, run.cells), "box tall")


def _shared(all_runs: Sequence[Run], notes: list[str]) -> str:
    side_by_side = all_runs[:MOST_SIDE_BY_SIDE]
    by_run = [{one.cell: one for one in run.cells} for run in side_by_side]
    both = [one for one in side_by_side[0].cells if sum(one.cell in cells for cells in by_run) > 1]
    if len(all_runs) < 2 or not both:
        return ""
    if len(all_runs) > MOST_SIDE_BY_SIDE:
        notes.append(f"Of {len(all_runs)} runs, the {MOST_SIDE_BY_SIDE} newest are shown side by side.")

    def line(one: Ranked) -> list[str]:
        found = [cells.get(one.cell) for cells in by_run]
        told = [f"{' = '.join(its.winners)}, {format_seconds(its.seconds)}" if its else "–" for its in found]
        return [_link(one), in_panel(panel(one.cell)), *told]

    table = html_table(
        "Runs side by side", ["Shape", "", *(run.title for run in side_by_side)], map(line, both), "box tall"
    )
    return (
        f"<section><h2>Runs side by side</h2><p>Winners of the cells that the newest run shares.</p>{table}</section>"
    )


def _machines(all_runs: Sequence[Run]) -> str:
    def line(run: Run) -> list[str]:
        when = run.rows["time"].dropna()
        days = (
            "–" if when.empty else " to ".join(dict.fromkeys(f"{at:%Y-%m-%d %H:%M}" for at in (when.min(), when.max())))
        )
        told = sorted({f"{name} {version}" for one in run.rows["versions"] for name, version in embedded.versions(one)})
        cells = len(run.rows[CELL].drop_duplicates())
        return [run.machine, run.commit or "–", run.tool, days, str(cells), str(len(run.rows)), ", ".join(told)]

    head = ("Machine", "Commit", "Tool", "Measured (UTC)", "Cells", "Rows", "Versions")
    return html_table("Machines and versions", head, map(line, all_runs), "box machines")
