"""The look of all figures: a colour and a marker for each implementation, sizes, legends and file formats."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# The colours of Okabe and Ito, which colour-blind people can distinguish.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*")  # 8 colours and 9 markers: 72 different pairs
INK, PAPER, RULE = "#1b1b1c", "#fefefd", "#8a8f99"  # the page replaces INK and PAPER by the colours of its theme
PAGE = "../report.html"  # relative to the folder of the figures
MAX_NAME = 28  # characters of a name that a figure shows


class Style(NamedTuple):
    """The colour and the marker of an implementation."""

    colour: str
    marker: str


Styles = Mapping[str, Style]


def styles_of(names: Iterable[str]) -> dict[str, Style]:
    """Return a style for each implementation. It is the same in all figures of a report."""
    return {
        name: Style(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
        for index, name in enumerate(sorted(set(names)))
    }


@contextmanager
def drawing(salt: str = "") -> Iterator[None]:
    """Set the matplotlib parameters that all figures share. A name is never parsed as mathematics.

    Parameters
    ----------
    salt : str, optional
        Ids in an SVG file depend on it. Figures of one page need different salts.
    """
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
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font does not have
        yield


def figure_with_axes(number: int, width: float = 6.0, height: float = 4.4) -> tuple[Figure, list[Axes]]:
    """Return a figure with some axes side by side, each of this width and height in inches."""
    figure = Figure(figsize=(width * max(1, number), height), layout="constrained", dpi=110)
    return figure, list(figure.subplots(1, max(1, number), squeeze=False)[0])


def add_legend(figure: Figure, names: Iterable[str], styles: Styles, more: Sequence[Artist] = ()) -> None:
    """Add a legend of the implementations in a figure, and of other handles."""
    handles: list[Artist] = [marker(styles[name], name) for name in sorted(set(names))]
    handles += more
    columns = max(1, min(len(handles), 3 * len(figure.axes)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def marker(style: Style, name: str) -> Line2D:
    """Return the marker of an implementation for a legend."""
    label = short_name(name)
    label = f" {label}" if label.startswith("_") else label  # matplotlib leaves out labels that begin with "_"
    return Line2D([], [], marker=style.marker, color=style.colour, mec=INK, mew=0.5, ls="", label=label)


def short_name(name: str) -> str:
    """Return a name, cut to `MAX_NAME` characters."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the suffix of the path. Equal figures give equal bytes."""
    with drawing(path.stem):
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, facecolor="white", metadata=metadata)
        figure.set_layout_engine("none")  # the next file keeps this layout, which takes half of the time to compute
