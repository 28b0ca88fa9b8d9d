"""Make the report: one HTML file with figures, tables, raw results, and an answer for the reader's own shape.

Jinja2 escapes all text from results. The content security policy of the page forbids the browser to load anything.
"""

import base64
import hashlib
import itertools
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

from softmax_impls import implementations
from softmax_impls.choice.answer import HOW_COMPARED
from softmax_impls.choice.ranking import RankedRun
from softmax_impls.choice.scaling import crossovers, exponents
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report import figures
from softmax_impls.report.html import embedded
from softmax_impls.report.maps import winners_maps
from softmax_impls.report.panels import Panel, address, best, by_panel, marks, shape_text
from softmax_impls.report.side_by_side import LETTERS, TEXT, side_by_side
from softmax_impls.report.style import Styles, inline_svg
from softmax_impls.report.terminal.cells import EXPLANATIONS, explanations, times_by_panel
from softmax_impls.results.runs import Loaded

# These bounds keep the file below 3 MB. A note in the page says what was left out.
MAX_CELLS = 1_500
MAX_RESULTS = 4_000  # a result is the record of a kernel in a cell
MAX_FIGURES = 900_000  # characters

Figures = dict[str, list[tuple[str, Markup]]]  # by kind of figure: a label and an SVG element for each panel


def make_page(loaded: Loaded, ranked: Sequence[RankedRun], styles: Styles) -> tuple[str, list[str]]:
    """Return the page, and notes that say what it leaves out or rounds. There must be at least one run."""
    notes = list(loaded.notes)
    runs = _first_cells(ranked, notes)
    shared = side_by_side(runs)
    maps = _maps(runs[: len(shared.titles)], styles) if shared.summary else []
    with_figures = _figures(runs, styles, notes, [kind for kind in figures.KINDS if not (maps and kind == "winners")])
    data = embedded.data(runs, ranked[: len(runs)], notes)
    if len(runs) > len(shared.titles):
        notes.append(f"Of {len(runs)} runs, the first {len(shared.titles)} are shown side by side.")
    bests = [(run, sorted({name for cell in run.cells if (b := best(cell)) for name in b.names})) for run in runs]
    families = {name: implementation.family for name, implementation in implementations().items()}
    script = files("softmax_impls.report.html").joinpath("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = templates().get_template("page.html.jinja").render(
        runs=runs,
        with_figures=with_figures,
        crossovers=[(run, found) for run, names in bests if (found := list(crossovers(run, names)))],
        growth=[(run, grown) for run in runs if (grown := exponents(run, families))],
        shared=shared,
        maps=maps,
        problems=loaded.problems,
        notes=notes,
        files=sorted({cell.file for run in runs for cell in run.run.cells}),
        kernels=len({name for run in runs for cell in run.cells for name in cell.kernels}),
        results=sum(len(cell.kernels) for run in runs for cell in run.cells),
        cells=len({cell.key for run in runs for cell in run.cells}),
        data=data,
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )  # fmt: skip
    return page, notes


@cache
def templates() -> jinja2.Environment:
    """Return what renders the templates of this folder. It escapes all text that is filled in."""
    loader = jinja2.PackageLoader("softmax_impls.report", "html")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {"seconds": format_seconds, "shape": shape_text, "panel": Panel.of, "address": address}
    environment.filters |= {"best": best}
    environment.globals |= {"count": format_count, "versions": _versions, "days": _days, "shared_text": TEXT}
    environment.globals |= {"times_by_panel": times_by_panel, "explanations": explanations, "marks": marks}
    environment.globals |= {"how_compared": HOW_COMPARED, "explained": EXPLANATIONS}
    return environment


def _first_cells(runs: Sequence[RankedRun], notes: list[str]) -> list[RankedRun]:
    """Return the first runs and cells, as many as the page can show, and add a note if there are more."""
    totals = list(itertools.accumulate(len(cell.kernels) for run in runs for cell in run.cells))
    left = max(1, sum(total <= MAX_RESULTS for total in totals[:MAX_CELLS]))
    if left < len(totals):
        notes.append(f"This page shows {left} of {len(totals)} cells, those of the first runs.")
    starts = itertools.accumulate((len(run.cells) for run in runs), initial=0)
    shown = [(run, left - start) for run, start in zip(runs, starts, strict=False) if start < left]
    return [RankedRun(run.run, run.cells[:count]) for run, count in shown]


def _maps(runs: Sequence[RankedRun], styles: Styles) -> list[tuple[str, Markup]]:
    """Return a label and an SVG element for each panel, which is a dtype and a number of threads.

    The element has the panel's maps of all machines, side by side.
    """
    cells = {f"{letter}: {run.run.place}": by_panel(run.cells) for letter, run in zip(LETTERS, runs, strict=False)}
    panels = sorted({panel for panels in cells.values() for panel in panels})
    drawn = ((p, winners_maps({name: of[p] for name, of in cells.items() if p in of}, styles)) for p in panels)
    return [(str(panel), Markup(inline_svg(figure, f"maps {panel}"))) for panel, figure in drawn]


def _figures(
    runs: Sequence[RankedRun], styles: Styles, notes: list[str], kinds: Sequence[str]
) -> list[tuple[RankedRun, Figures]]:
    """Return the first runs with their figures, as many as fit into the page.

    `kinds` are the figures to draw, named as in `figures.KINDS`. If runs are left out, a line with their titles is
    added to `notes`.
    """
    shown: list[tuple[RankedRun, Figures]] = []
    left = MAX_FIGURES
    for number, run in enumerate(runs):
        drawn: Figures = {}
        for (panel, cells), kind in itertools.product(by_panel(run.cells).items(), kinds):
            if figure := figures.draw(kind, cells, styles):
                svg = Markup(inline_svg(figure, f"{kind} {number} {panel}"))
                drawn.setdefault(kind, []).append((f"{panel}, {run.run.title}", svg))
                left -= len(svg)
        if left <= 0:
            break
        shown.append((run, drawn))
    if left_out := [run.run.title for run in runs[len(shown) :]]:
        count = format_count(len(left_out), "run")
        notes.append(f"Figures of {count} would make this page too large: {'; '.join(left_out)}.")
    return shown


def _versions(run: RankedRun) -> str:
    versions = {pair for cell in run.cells for pair in cell.cell.environment.versions.items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(versions))


def _days(run: RankedRun) -> str:
    """Return when the oldest and the newest cell of a run were measured, as text; "–" if that is not known."""
    times = [f"{cell.cell.time:%Y-%m-%d %H:%M}" for cell in run.cells if cell.cell.time]
    return " to ".join(sorted({min(times), max(times)})) if times else "–"
