"""A figure as an SVG element inside an HTML page."""

from __future__ import annotations

import io
import re

from markupsafe import Markup
from matplotlib.figure import Figure

from softmax_impls.report.style import INK, PAGE, PAPER, drawing


def inline(figure: Figure, salt: str) -> Markup:
    """Return a figure as an SVG element in the colours of the page's theme.

    Matplotlib escapes all text of a figure.

    Parameters
    ----------
    figure : Figure
    salt : str
        Ids in the element depend on it. Figures of one page need different salts.
    """
    text = io.StringIO()
    with drawing(salt):
        figure.savefig(text, format="svg", facecolor="none", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", _shorten, svg)
    return Markup(re.sub(r">\s+<", "><", svg))


def _shorten(tag: re.Match[str]) -> str:
    """Return a tag with two decimals, without unused names, and with the colours of the theme."""
    text = re.sub(r"(\.\d\d)\d+", r"\1", tag[0])
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r" font-family: [^;]*;| transform=\"rotate\(-0 [^\"]*\"", "", text)
    text = text.replace(f'xlink:href="{PAGE}#', 'href="#').replace(' target="_blank"', "")
    return text.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
