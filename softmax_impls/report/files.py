"""Write a report: the page, and a folder of figures as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

from softmax_impls.report import figures
from softmax_impls.report.html.page import Report
from softmax_impls.report.panels import panels
from softmax_impls.report.style import save
from softmax_impls.results.runs import Loaded

PAGE = "report.html"
FIGURES = "figures"  # a folder; points in its SVG files link to the page beside it
MAX_RUNS = 4  # runs whose figures are written: each takes seconds


def write(loaded: Loaded, folder: Path) -> tuple[Path, list[Path], list[str]]:
    """Write the page and the figures.

    Parameters
    ----------
    loaded : Loaded
        At least one run.
    folder : Path
        It is created if it does not exist.

    Returns
    -------
    page : Path
    figures : list of Path
    notes : list of str
        What was left out, a line each.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    report = Report(loaded)
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    html, notes = report.html()
    page.write_bytes(html.encode("utf-8", "replace"))
    written = []
    for number, run in enumerate(report.runs[:MAX_RUNS], start=1):
        for kind in figures.KINDS:
            figure = figures.draw(kind, run.cells, panels(run.cells), report.styles)
            if figure is None:
                continue
            stem = kind if len(report.runs) == 1 else f"{kind}-{number}"
            for suffix in (".png", ".svg"):
                written.append(folder / FIGURES / (stem + suffix))
                save(figure, written[-1])
    if len(report.runs) > MAX_RUNS:
        notes.append(f"Figure files show the {MAX_RUNS} newest of {len(report.runs)} runs.")
    return page, written, notes
