"""Figures of a run: time against size, speed against error, memory, and the samples of a cell.

A point is a link to its raw row in the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_bytes, format_seconds
from softmax_impls.report.plots import INK, PAGE, Look, drawing, legend, panels
from softmax_impls.report.runs import Panel, Run, in_panel, in_shape, panel, representative

SMALLEST_BYTES = 10  # of a memory axis that has a zero, the scale is linear up to here
SMALLEST_ERROR = 1e-20  # what an error of 0 is drawn as

MOST_POINTS = 1000  # of an implementation, where a picture has all samples of a cell
FEW = 5  # times the smallest: an axis that goes no further has no powers of ten worth marking

Styles = Mapping[str, Look]
Draw = Callable[[Axes, pd.DataFrame, Styles], list[Line2D]]


def times(run: Run, only: Sequence[Panel], styles: Styles) -> Figure:
    """Draw time against size: each cell with its interval, a line through each implementation, the machine's limit."""
    return _by_panel(run, only, styles, _times)


def memory(run: Run, only: Sequence[Panel], styles: Styles) -> Figure | None:
    """Draw temporary memory against size, or what the process took where only that is known; None without either."""
    known = [column for column in ("temporary_bytes", "peak_memory") if run.rows[column].notna().any()]
    if not known:
        return None

    def draw(axis: Axes, rows: pd.DataFrame, styles: Styles) -> list[Line2D]:
        return _memory(axis, rows.astype({known[0]: float}), styles, known[0])

    return _by_panel(run, only, styles, draw)


def accuracy(run: Run, only: Sequence[Panel], styles: Styles) -> Figure | None:
    """Draw time against error, at the shape of each panel that shows most; None without errors."""
    if not run.rows["error"].notna().any():
        return None

    def draw(axis: Axes, rows: pd.DataFrame, styles: Styles) -> list[Line2D]:
        one = representative([one for one in run.cells if next(iter(one.rows.values()))["row"] in rows.index])
        return _accuracy(axis, rows.loc[[row["row"] for row in one.rows.values()]], styles, in_shape(one.cell))

    return _by_panel(run, only, styles, draw)


def samples(one: Ranked, styles: Styles) -> Figure:
    """Draw the samples of a cell, the first round at the top of its row; a bar for the median's interval.

    Of more than `MOST_POINTS` of an implementation, one in so many is drawn.
    """
    rows = sorted(one.rows.items(), key=lambda item: item[1]["seconds"], reverse=True)
    with drawing():
        figure, (axis,) = panels(1, 7.0, 1.2 + 0.38 * len(rows))
        for y, (name, row) in enumerate(rows):
            colour, shape = styles[name]
            taken = row["samples"][:: math.ceil(len(row["samples"]) / MOST_POINTS)]
            ys = y + np.linspace(0.3, -0.3, len(taken)) * (len(taken) > 1)
            axis.plot(taken, ys, marker=shape, color=colour, mec=INK, mew=0.3, ms=4, ls="", alpha=0.85)
            axis.plot([row["seconds"]] * 2, [y - 0.42, y + 0.42], color=INK, lw=1.6)
            if not math.isnan(row["low"]):
                axis.fill_betweenx([y - 0.42, y + 0.42], row["low"], row["high"], color=colour, alpha=0.25, lw=0)
        axis.set_yticks(range(len(rows)), [name for name, _ in rows])
        axis.set_title(f"{in_shape(one.cell)}, {in_panel(panel(one.cell))}")
        axis.set_xscale("log")
        axis.set_xlabel("time of one call: samples, median, 95 % interval of the median")
        _format(axis, x=format_seconds)
    return figure


def _by_panel(run: Run, only: Sequence[Panel], styles: Styles, draw: Draw) -> Figure:
    with drawing():
        figure, axes = panels(len(only))
        more: dict[str, Line2D] = {}
        names: set[str] = set()
        for axis, one in zip(axes, only, strict=False):
            rows = run.rows[(run.rows["dtype"] == one[0]) & (run.rows["threads"] == one[1])]
            more |= {str(line.get_label()): line for line in draw(axis, rows, styles)}
            names |= set(rows["implementation"])
            axis.set_title(" · ".join(filter(None, (in_panel(one), axis.get_title()))))
            axis.grid(True)
            axis.set_axisbelow(True)
        legend(figure, names, styles, list(more.values()))
    return figure


def _times(axis: Axes, rows: pd.DataFrame, styles: Styles) -> list[Line2D]:
    _span(axis, rows)
    axis.set_yscale("log")
    for name, some in _each(rows):
        colour, _ = styles[name]
        known = some[some["low"].notna()]
        axis.vlines(_size(known), known["low"], known["high"], color=colour, lw=1.2)
        _line(axis, some, "median", colour)
        _points(axis, _size(some), some["median"], some, styles[name])
    axis.set(xlabel="size: batch × dim (elements)", ylabel="time of one call")
    _format(axis, x=_count, y=format_seconds)
    limit = rows[rows["limit"].notna()]
    if limit.empty:
        return []
    _line(axis, limit, "limit", INK, ls="--", lw=1.4, alpha=1)
    return [Line2D([], [], color=INK, ls="--", lw=1.4, label="the machine's limit: moving the bytes")]


def _memory(axis: Axes, rows: pd.DataFrame, styles: Styles, column: str) -> list[Line2D]:
    _span(axis, rows)
    axis.set_yscale("symlog", linthresh=SMALLEST_BYTES) if (rows[column] == 0).any() else axis.set_yscale("log")
    for name, some in _each(rows[rows[column].notna()]):
        _points(axis, _size(some), some[column], some, styles[name])
    what = "temporary memory of one call" if column == "temporary_bytes" else "peak memory of the process"
    axis.set(xlabel="size: batch × dim (elements)", ylabel=what)
    _format(axis, x=_count, y=lambda number: format_bytes(number).replace(".0 ", " "))
    return []


def _accuracy(axis: Axes, rows: pd.DataFrame, styles: Styles, shape: str) -> list[Line2D]:
    axis.set_xscale("log")
    axis.set_yscale("log")
    for name, some in _each(rows[rows["error"].notna()]):
        _points(axis, some["median"], some["error"].clip(lower=SMALLEST_ERROR), some, styles[name], 48)
    zero = f"; 0 is drawn at {SMALLEST_ERROR:g}" if (rows["error"] == 0).any() else ""
    axis.set(xlabel="time of one call", ylabel=f"worst relative error{zero}", title=shape)
    _format(axis, x=format_seconds, y=_power)
    return []


def _each(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, some in rows.groupby("implementation"):
        yield str(name), some


def _size(rows: pd.DataFrame) -> pd.Series[float]:
    return rows["batch"].astype(float) * rows["dim"].astype(float)


def _span(axis: Axes, rows: pd.DataFrame) -> None:
    """Give the sizes room before anything is drawn: one alone makes an axis of no width."""
    axis.set_xscale("log")
    axis.set_xlim(_size(rows).min() / 2, _size(rows).max() * 2)


def _line(
    axis: Axes, rows: pd.DataFrame, column: str, colour: str, ls: str = "-", lw: float = 0.9, alpha: float = 0.45
) -> None:
    """Draw a line through the sizes: at each of them, the geometric mean of its shapes."""
    means = np.exp(np.log(rows[column]).groupby(_size(rows)).mean())
    axis.plot(means.index, means, color=colour, ls=ls, lw=lw, alpha=alpha, zorder=1.5)


def _points(
    axis: Axes, x: pd.Series[float], y: pd.Series[float], rows: pd.DataFrame, look: Look, size: float = 20
) -> None:
    looks = {"marker": look[1], "color": look[0], "edgecolors": INK, "linewidths": 0.4}
    drawn = axis.scatter(x, y, s=size, zorder=3, clip_on=False, **looks)  # type: ignore[arg-type]
    drawn.set_urls([f"{PAGE}#row={number}" for number in rows.index])


def _format(axis: Axes, x: Callable[[float], str] | None = None, y: Callable[[float], str] | None = None) -> None:
    for one, words in ((axis.xaxis, x), (axis.yaxis, y)):
        if words:
            one.set_major_formatter(FuncFormatter(lambda value, _, words=words: words(value)))
            low, high = sorted(one.get_view_interval())
            few = 0 < high < 20 * low  # powers of ten, or none
            one.set_minor_formatter(_some_minor(words) if few else NullFormatter())
            if 0 < high < FEW * low:
                one.set_major_locator(MaxNLocator(4))


def _some_minor(words: Callable[[float], str]) -> FuncFormatter:
    """Return labels for 2 and 5 times a power of ten."""

    def label(value: float, _: object) -> str:
        digit = round(value / 10 ** math.floor(math.log10(value)))
        return words(value) if digit in (2, 5) else ""

    return FuncFormatter(label)


def _power(number: float) -> str:
    return "10" + str(round(math.log10(number))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _count(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:g} {unit}"
    return f"{number:g}"
