"""How pictures look, and the map of winners.

An implementation has one colour and one marker in all pictures of a report, so that nobody has to tell colours apart.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_seconds
from softmax_impls.report.runs import in_panel, panel, query
from softmax_impls.timing.workloads import CUSTOM, GRID

# Okabe and Ito's colours, which colour-blind people tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*")  # nine: a pair of colour and marker comes again after 72
INK, PAPER, RULE = "#1b1b1c", "#fefefd", "#8a8f99"  # the page puts its theme's in place of the first two
PAGE = "../report.html"  # from the folder that pictures are in
MOST_TIED = 4  # whose markers fit into a tile

Look = tuple[str, str]  # colour and marker


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a colour and a marker for each implementation."""
    return {
        name: (COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
        for index, name in enumerate(sorted(set(names)))
    }


@contextmanager
def drawing(salt: str = "") -> Iterator[None]:
    """Set what all pictures have in common; names in them are text, whatever is in them."""
    ink = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    settings: Any = {
        **ink,
        "axes.facecolor": "none",
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "font.size": 9,
        "grid.alpha": 0.35,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "hatch.linewidth": 3.0,
        "svg.fonttype": "none",
        "svg.hashsalt": f"softmax-impls{salt}",
        "text.parse_math": False,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        yield


def panels(number: int, width: float = 6.0, height: float = 4.4) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side."""
    figure = Figure(figsize=(width * max(1, number), height), layout="constrained", dpi=110)
    return figure, list(figure.subplots(1, max(1, number), squeeze=False)[0])


def legend(figure: Figure, names: Iterable[str], styles: Mapping[str, Look], more: Sequence[Any] = ()) -> None:
    """Add the implementations that are in a figure, and what else there is to explain."""
    handles = [marker(styles[name], name) for name in sorted(set(names))] + list(more)
    columns = min(len(handles), 3 * len(figure.axes))
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, columns), frameon=False, fontsize=8)


def marker(look: Look, label: str) -> Line2D:
    """Return an implementation's mark for a legend, which leaves out labels that begin with an underscore."""
    shown = f" {label}" if label.startswith("_") else label
    return Line2D([], [], marker=look[1], color=look[0], markeredgecolor=INK, markeredgewidth=0.5, ls="", label=shown)


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that its name asks for, the same bytes for the same figure."""
    with drawing(path.stem):
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, facecolor="white", metadata=metadata)


def inline(figure: Figure, salt: str, label: str) -> str:
    """Return a figure as an SVG element that follows the theme of the page it is put in.

    Parameters
    ----------
    figure : Figure
    salt : str
        Another one for each figure of a page, whose ids are made of it.
    label : str
        What the figure shows, for those who can't see it; HTML is escaped already.
    """
    text = io.StringIO()
    with drawing(salt):
        figure.savefig(text, format="svg", facecolor="none", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", _shorter, svg)
    svg = re.sub(r">\s+<", "><", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _shorter(tag: re.Match[str]) -> str:
    """Return a tag in the theme's colours, without digits and names that nobody needs."""
    text = re.sub(r"(\.\d\d)\d+", r"\1", tag[0])
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r" font-family: [^;]*;| transform=\"rotate\(-0 [^\"]*\"", "", text)
    text = text.replace(f'xlink:href="{PAGE}#', 'href="#').replace(' target="_blank"', "")
    return text.replace(INK, "currentColor").replace(PAPER, "var(--paper)")


def winners(ranked: Sequence[Ranked], path: Path) -> None:
    """Draw the map of winners into a file."""
    figure = winners_map(ranked)
    with drawing():
        figure.suptitle("Fastest softmax backward, and the time of one call")
    save(figure, path)


def winners_map(ranked: Sequence[Ranked], styles: Mapping[str, Look] | None = None) -> Figure:
    """Draw the map of winners over batch and dim, one panel for each dtype and number of threads; ties are hatched.

    Every cell is a tile of the same size, in the order of batch and dim: named workloads stand in the map where
    they belong.
    """
    cells = [one for one in ranked if one.standing]
    styles = styles or looks(name for one in cells for name in one.rows)
    shown = sorted({panel(one.cell) for one in cells}, key=lambda one: (one[1], one[0]))
    with drawing():
        figure, axes = panels(len(shown), 6.2, 4.6)
        for axis, one in zip(axes, shown, strict=False):
            _panel(axis, [ranked for ranked in cells if panel(ranked.cell) == one], styles)
            axis.set_title(in_panel(one))
        tie = Patch(facecolor="none", edgecolor=INK, hatch="//", linewidth=0.5, label="tie: can't be told apart")
        legend(figure, {name for one in cells for name in one.winners}, styles, [tie])
    return figure


def _panel(axis: Axes, shown: Sequence[Ranked], styles: Mapping[str, Look]) -> None:
    rows = sorted({one.cell.rows for one in shown})
    classes = sorted({one.cell.classes for one in shown})
    for one in shown:
        x, y = classes.index(one.cell.classes), rows.index(one.cell.rows)
        colours = [styles[name][0] for name in one.winners]
        tie: dict[str, Any] = {"hatch": "//", "edgecolor": colours[1]} if len(colours) > 1 else {}
        axis.add_patch(Rectangle((x, y), 1, 1, facecolor=colours[0], linewidth=0, url=PAGE + query(one.cell), **tie))
        axis.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=PAPER, linewidth=1.5))
        label = format_seconds(one.seconds) + ("" if one.cell.workload in (GRID, CUSTOM) else f"\n{one.cell.workload}")
        box = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "alpha": 0.88, "linewidth": 0}
        axis.text(x + 0.5, y + 0.37, label, ha="center", va="center", fontsize=6.8, bbox=box)
        axis.add_patch(Rectangle((x + 0.02, y + 0.72), 0.96, 0.26, facecolor=PAPER, alpha=0.88, linewidth=0))
        for place, name in enumerate(one.winners[:MOST_TIED]):
            colour, shape = styles[name]
            at = x + 0.14 + 0.22 * place
            axis.plot(at, y + 0.85, marker=shape, color=colour, markersize=4.5, mec=INK, mew=0.4, ls="")
    axis.set(xlim=(0, len(classes)), ylim=(0, len(rows)), xlabel="dim (classes)", ylabel="batch (rows)")
    axis.set_xticks([i + 0.5 for i in range(len(classes))], [str(d) for d in classes])
    axis.set_yticks([i + 0.5 for i in range(len(rows))], [str(b) for b in rows])
    axis.set_facecolor(f"{RULE}22")
