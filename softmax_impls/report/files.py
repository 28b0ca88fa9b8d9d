"""A report on disk: the page, and a folder of figures as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

from softmax_impls.report import figures, plots
from softmax_impls.report.html.page import Report
from softmax_impls.report.runs import representative
from softmax_impls.results.frame import Loaded

PAGE = "report.html"
FIGURES = "figures"  # the folder; the points of its SVGs are links to the page beside it
MOST_RUNS = 4  # whose figures are drawn: each takes seconds


def write(loaded: Loaded, folder: Path) -> tuple[Path, list[Path], list[str]]:
    """Write all of it.

    Parameters
    ----------
    loaded : Loaded
        With at least one row.
    folder : Path
        Is made if it isn't there.

    Returns
    -------
    Path
        The page.
    list of Path
        The figures.
    list of str
        What was left out, a line each.

    Raises
    ------
    OSError
        If it can't be written.
    """
    report = Report(loaded)
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    html, notes = report.html()
    page.write_bytes(html.encode("utf-8", "replace"))
    written = []
    for number, run in enumerate(report.runs[:MOST_RUNS], start=1):
        drawn = report.figures(run, run.panels)
        drawn["samples"] = figures.samples(representative(run.cells), report.styles)
        for name, figure in drawn.items():
            stem = name if len(report.runs) == 1 else f"{name}-{number}"
            for suffix in (".png", ".svg"):
                written.append(folder / FIGURES / (stem + suffix))
                plots.save(figure, written[-1])
    if len(report.runs) > MOST_RUNS:
        notes.append(f"Figures as files are of the {MOST_RUNS} newest of {len(report.runs)} runs.")
    return page, written, notes
