"""Write a report: the page, and a folder of figures as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path

from softmax_impls.choice.ranking import RankedRun
from softmax_impls.report import figures
from softmax_impls.report.html.page import make_page
from softmax_impls.report.style import save, styles_of
from softmax_impls.results.runs import Loaded

PAGE = "report.html"
FIGURES = "figures"  # a folder; points in its SVG files link to the page
MAX_RUNS = 4  # runs whose figures are written: each run takes seconds


def write(loaded: Loaded, runs: Sequence[RankedRun], folder: Path) -> tuple[Path, list[Path], list[str]]:
    """Write the page, and figures of the first runs, to a folder.

    `runs` has the runs of `loaded`, ranked. Return the path of the page, the paths of the figures, and lines that say
    what the page and the figures leave out or round.
    """
    styles = styles_of(name for run in runs for cell in run.cells for name in cell.kernels)
    html, notes = make_page(loaded, runs, styles)
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    page, written = folder / PAGE, []
    page.write_bytes(html.encode("utf-8", "replace"))
    for number, run in enumerate(runs[:MAX_RUNS], start=1):
        for kind in figures.KINDS:
            if figure := figures.draw(kind, run.cells, styles):
                stem = kind if len(runs) == 1 else f"{kind}-{number}"
                for suffix in (".png", ".svg"):
                    written.append(folder / FIGURES / (stem + suffix))
                    save(figure, written[-1])
    if len(runs) > MAX_RUNS:
        notes.append(f"Figure files show the first {MAX_RUNS} of {len(runs)} runs.")
    return page, written, notes
