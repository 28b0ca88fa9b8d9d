"""The look of all figures: a colour and a marker for each implementation, sizes, legends and file formats."""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# The colours of Okabe and Ito, which colour-blind people can distinguish.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*")  # 8 colours and 9 markers: 72 different pairs
INK, PAPER, RULE = "#1b1b1c", "#fefefd", "#8a8f99"  # the page replaces INK and PAPER by the colours of its theme
PAGE = "../report.html"  # relative to the folder of the figures
MAX_NAME = 28  # characters of a name that a figure shows
SETTINGS: Any = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.facecolor": "none",
    **dict.fromkeys(("axes.spines.right", "axes.spines.top"), False),
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 9,
    "grid.alpha": 0.35,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 3.0,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name is never parsed as mathematics
}


class Style(NamedTuple):
    """The colour and the marker of an implementation."""

    colour: str
    marker: str


Styles = Mapping[str, Style]


def styles_of(names: Iterable[str]) -> Styles:
    """Return a style for each implementation."""
    return dict(zip(sorted(set(names)), map(Style, cycle(COLOURS), cycle(MARKERS)), strict=False))


@contextmanager
def drawing(salt: str = "") -> Iterator[None]:
    """Set the look of all figures. Ids in an SVG depend on `salt`; figures of one page need different ids."""
    with mpl.rc_context(SETTINGS | {"svg.hashsalt": f"softmax-impls{salt}"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font does not have
        yield


def add_legend(figure: Figure, names: Iterable[str], styles: Styles, more: Sequence[Artist] = ()) -> None:
    """Add a legend to a figure, with an entry for each implementation in it and for each other handle."""
    handles: list[Artist] = []
    for name in sorted(set(names)):
        label = (" " if name.startswith("_") else "") + short_name(name)  # matplotlib hides labels that begin with "_"
        colour, marker = styles[name]
        handles.append(Line2D([], [], marker=marker, color=colour, mec=INK, mew=0.5, ls="", label=label))
    handles += more
    columns = min(len(handles), 3 * len(figure.axes))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def short_name(name: str) -> str:
    """Return a name, cut to `MAX_NAME` characters."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the suffix of the path. Equal figures give equal bytes."""
    with drawing(path.stem):
        figure.savefig(path, facecolor="white", metadata={"Date": None} if path.suffix == ".svg" else {})
        figure.set_layout_engine("none")  # the next file keeps this layout, which takes half of the time to compute


def inline_svg(figure: Figure, salt: str) -> str:
    """Return a figure as an SVG element in the colours of the page's theme. Matplotlib escapes all text."""
    file = io.StringIO()
    with drawing(salt):
        figure.savefig(file, format="svg", facecolor="none", metadata={"Date": None})
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", _shorten, svg)
    return re.sub(r">\s+<", "><", svg)


def _shorten(tag: re.Match[str]) -> str:
    """Return a tag with two decimals, without unused names, and with the colours of the theme."""
    text = re.sub(r"(\.\d\d)\d+", r"\1", tag[0])
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r" font-family: [^;]*;| transform=\"rotate\(-0 [^\"]*\"", "", text)
    text = text.replace(f'xlink:href="{PAGE}#', 'href="#').replace(' target="_blank"', "")
    return text.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
