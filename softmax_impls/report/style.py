"""The look of all figures: a colour and a marker for each implementation, sizes, legends and file formats."""

import io
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from softmax_impls.report.panels import address, short_name
from softmax_impls.timing.workloads import CellKey

# The colour of an implementation is the same in each figure. The fastest implementations have the colours of Okabe and
# Ito, which colour-blind people can distinguish, with a lighter blue. Black text is readable on each colour.
COLOURS = {
    "numba_simd": "#1F83C4", "numba_rows": "#E69F00", "numba_pivoted": "#009E73", "closed_form": "#CC79A7",
    "closed_form_vecdot": "#56B4E9", "pivoted": "#D55E00", "column_loop": "#999999", "row_jacobian": "#C0B7A8",
    "einsum_jacobian": "#7D8CA3", "torch": "#EE3377", "torch_compile": "#B589D6", "jax": "#7FB800",
    "numexpr": "#B38B00",
}  # fmt: skip
MORE_COLOURS = ("#F0E442", "#44AA99", "#C060B0", "#9C755F", "#8CD17D", "#8F8FEF", "#CC6677", "#999933")  # for others
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*")
INK, PAPER, RULE = "#1b1b1c", "#fefefd", "#8a8f99"  # the page replaces INK and PAPER by the colours of its theme
PAGE = "../report.html"  # relative to the folder of the figures
LEGEND_WIDTH = 1.6  # inches of an entry of a legend
SETTINGS: Any = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.grid": True,
    **dict.fromkeys(("axes.spines.right", "axes.spines.top"), False),
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 9,
    "grid.alpha": 0.35,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name is never parsed as mathematics
}


class Style(NamedTuple):
    """The colour and the marker of an implementation."""

    colour: str
    marker: str


Styles = Mapping[str, Style]


def styles_of(names: Iterable[str]) -> Styles:
    """Return a style for each implementation. It depends on the name alone, unless two names have the same hash."""
    wanted = sorted(set(names))
    styles = dict(zip(COLOURS, map(Style, COLOURS.values(), cycle(MARKERS)), strict=True))
    # Each pair of colour and marker occurs once: the numbers of colours and of markers have no common divisor.
    more = list(map(Style, MORE_COLOURS * len(MARKERS), MARKERS * len(MORE_COLOURS)))
    for name in wanted:
        if name not in styles:
            first, used = zlib.crc32(name.encode()) % len(MORE_COLOURS), set(styles.values())
            free = (style for style in more[first:] + more[:first] if style not in used)
            styles[name] = next(free, Style(RULE, "o"))
    return {name: styles[name] for name in wanted}


@contextmanager
def drawing(salt: str = "") -> Iterator[None]:
    """Set the look of all figures. Ids in an SVG depend on `salt`; figures of one page need different ids."""
    with mpl.rc_context(SETTINGS | {"svg.hashsalt": f"softmax-impls{salt}"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name has characters that the font does not have
        yield


def add_legend(
    figure: Figure, names: Iterable[str], styles: Styles, more: Sequence[Artist] = (), square: bool = False
) -> None:
    """Add a legend to a figure: an entry for each implementation in `names`, and the entries `more`.

    The entry of an implementation shows its marker, or with `square` a square in its colour.
    """
    handles: list[Artist] = []
    for name in sorted(set(names)):
        label = (" " if name.startswith("_") else "") + short_name(name)  # matplotlib hides labels that begin with "_"
        look: Any = {"marker": "s", "ms": 9} if square else {"marker": styles[name].marker}
        handles.append(Line2D([], [], color=styles[name].colour, mec=INK, mew=0.5, ls="", label=label, **look))
    handles += more
    columns = min(len(handles), int(figure.get_figwidth() / LEGEND_WIDTH))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def link(key: CellKey, kernel: str | None = None) -> str | None:
    """Return the link from a figure's file to a cell of the page, or to the raw result of `kernel` in the cell.

    Return None if the page does not show the cell.
    """
    end = address(key, kernel)
    return PAGE + end if end else None


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the suffix of the path. Equal figures give equal bytes."""
    with drawing(path.stem):
        figure.savefig(path, facecolor="white", metadata={"Date": None} if path.suffix == ".svg" else {})
        figure.set_layout_engine("none")  # the next file keeps this layout, which takes half of the time to compute


def inline_svg(figure: Figure, salt: str) -> str:
    """Return a figure as an SVG element in the colours of the page's theme. Matplotlib escapes all text.

    Each figure of a page needs another `salt`, see `drawing`.
    """
    file = io.StringIO()
    with drawing(salt):
        figure.savefig(file, format="svg", facecolor="none", metadata={"Date": None})
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", _shorten, svg)
    return re.sub(r">\s+<", "><", svg)


def _shorten(tag: re.Match[str]) -> str:
    """Return an SVG tag whose numbers have two decimals, without unused attributes, in the colours of the theme."""
    text = re.sub(r"(\.\d\d)\d+", r"\1", tag[0])
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r" font-family: [^;]*;| transform=\"rotate\(-0 [^\"]*\"", "", text)
    text = text.replace(f'xlink:href="{PAGE}#', 'href="#').replace(' target="_blank"', "")
    return text.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
