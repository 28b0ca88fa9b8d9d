"""Figures of cells, with one panel for each dtype and number of threads. A point links to its result in the page."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, NullFormatter, StrMethodFormatter

from softmax_impls.choice.ranking import Ranked, interval
from softmax_impls.report.panels import address, by_panel, representative, shape_text
from softmax_impls.report.style import INK, PAGE, Style, Styles, add_legend, drawing, figure_with_axes, short_name
from softmax_impls.report.winners_map import winners_map
from softmax_impls.timing.records import KernelResult
from softmax_impls.timing.workloads import CellKey

LINEAR_BYTES = 10  # a memory axis with a zero is linear up to here
SMALLEST_ERROR = 1e-20  # an error of 0 is drawn here
MAX_SAMPLES = 200  # of a kernel, in the figure of samples; of more samples, every second, third, ... is drawn
FEW_DECADES = 3  # an axis of fewer decades has ticks at 2 and 5 times the powers of ten, too
# Fields of a result that the figure of memory shows, in order of preference.
MEMORY = {"temporary_bytes": "temporary memory of one call", "peak_memory_bytes": "peak memory of the process"}
WIDTH, HEIGHT = 6.0, 4.4  # inches of a panel
TIME_LABEL = "time of one call"


class Point(NamedTuple):
    """The result of a kernel in a cell."""

    key: CellKey
    kernel: KernelResult
    seconds: float


def draw(kind: str, cells: Sequence[Ranked], styles: Styles) -> Figure | None:
    """Draw a figure of one of the `KINDS`; return None if the cells have no data for it."""
    if not any(cell.winners for cell in cells):
        return None
    if kind == "winners":
        return winners_map(cells, styles)
    panels = by_panel(cells)
    rows = max(len(_points([representative(shown)])) for shown in panels.values())
    with drawing():
        figure, axes = figure_with_axes(len(panels), WIDTH, 1.2 + 0.36 * rows if kind == "samples" else HEIGHT)
        for axis, (panel, shown) in zip(axes, panels.items(), strict=True):
            if _points(shown):
                DRAW[kind](axis, shown, styles)
            axis.set_title(" · ".join(filter(None, (str(panel), axis.get_title()))))
            axis.grid(True)
            axis.set_axisbelow(True)
        if kind != "samples":  # its axis has the names
            lines = {line.get_label(): line for axis in axes for line in axis.get_legend_handles_labels()[0]}
            add_legend(figure, _points(cells), styles, list(lines.values()))
    return figure if any(axis.has_data() for axis in axes) else None


def _points(cells: Sequence[Ranked]) -> dict[str, list[Point]]:
    """Return the ranked results by the name of the implementation."""
    points = defaultdict(list)
    for cell in cells:
        for kernel in cell.kernels.values():
            if kernel.ranked and kernel.seconds is not None:
                points[kernel.name].append(Point(cell.key, kernel, kernel.seconds))
    return dict(sorted(points.items()))


def _draw_times(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    """Draw time against size: each result with its interval, a line for each implementation, and the roofline."""
    _set_size_axis(axis, cells)
    axis.set_yscale("log")
    for name, results in _points(cells).items():
        bars = [(point.key.elements, *ends) for point in results if (ends := interval(point.kernel))]
        if bars:
            axis.vlines(*zip(*bars, strict=True), color=styles[name].colour, lw=1.2)
        times = [(point.key.elements, point.seconds) for point in results]
        axis.plot(*_means(times), color=styles[name].colour, lw=0.9, alpha=0.45, zorder=1.5)
        _scatter(axis, results, times, styles[name])
    axis.set_ylabel(TIME_LABEL)
    _set_ticks(axis.yaxis, EngFormatter("s"))
    if rooflines := [(cell.key.elements, cell.cell.roofline.seconds) for cell in cells if cell.cell.roofline]:
        axis.plot(*_means(rooflines), color=INK, ls="--", lw=1.4, zorder=1.5, label="roofline: moving the bytes")


def _draw_memory(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    """Draw temporary memory against size; peak memory of the process if only that is known."""
    points = _points(cells)
    kernels = [point.kernel for results in points.values() for point in results]
    field = next((field for field in MEMORY if any(getattr(kernel, field) is not None for kernel in kernels)), None)
    if field is None:
        return
    _set_size_axis(axis, cells)
    for name, results in points.items():
        known = [point for point in results if getattr(point.kernel, field) is not None]
        _scatter(axis, known, [(point.key.elements, getattr(point.kernel, field)) for point in known], styles[name])
    axis.set_ylabel(MEMORY[field])
    if any(getattr(kernel, field) == 0 for kernel in kernels):
        axis.set_yscale("symlog", linthresh=LINEAR_BYTES)
        axis.yaxis.set_major_formatter(EngFormatter("B"))
    else:
        axis.set_yscale("log")
        _set_ticks(axis.yaxis, EngFormatter("B"))


def _draw_accuracy(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    """Draw error against time in the representative cell."""
    shown = representative(cells)
    axis.set(xscale="log", yscale="log", xlabel=TIME_LABEL, ylabel="worst relative error", title=shape_text(shown.key))
    for name, (point,) in _points([shown]).items():
        error = point.kernel.error
        if not math.isnan(error):
            _scatter(axis, [point], [(point.seconds, max(error, SMALLEST_ERROR))], styles[name], size=48)
        if error == 0:
            axis.set_ylabel(f"worst relative error; 0 is drawn at {SMALLEST_ERROR:g}")
    _set_ticks(axis.xaxis, EngFormatter("s"))
    _set_ticks(axis.yaxis, StrMethodFormatter("{x:.0e}"))


def _draw_samples(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    """Draw a row of samples for each kernel of the representative cell, with their median and its interval."""
    shown = representative(cells)
    rows = sorted((point for (point,) in _points([shown]).values()), key=lambda point: -point.seconds)
    axis.set_xscale("log")
    for y, point in enumerate(rows):
        colour, marker = styles[point.kernel.name]
        samples = point.kernel.samples[:: math.ceil(len(point.kernel.samples) / MAX_SAMPLES)]
        ys = y + np.linspace(0.3, -0.3, len(samples)) * (len(samples) > 1)  # the first round is at the top
        axis.plot(samples, ys, marker=marker, color=colour, mec=INK, mew=0.3, ms=4, ls="", alpha=0.85)
        axis.plot([point.seconds] * 2, [y - 0.42, y + 0.42], color=INK, lw=1.6)
        if ends := interval(point.kernel):
            axis.fill_betweenx([y - 0.42, y + 0.42], *ends, color=colour, alpha=0.25, lw=0)
    axis.set_yticks(range(len(rows)), [short_name(point.kernel.name) for point in rows])
    axis.set(xlabel="time of one call: samples, median, 95 % interval of the median", title=shape_text(shown.key))
    _set_ticks(axis.xaxis, EngFormatter("s"))


def _set_size_axis(axis: Axes, cells: Sequence[Ranked]) -> None:
    """Scale the axis of sizes before anything is drawn: with a single size, matplotlib makes it too narrow."""
    sizes = [cell.key.elements for cell in cells]
    axis.set(xscale="log", xlim=(min(sizes) / 2, max(sizes) * 2), xlabel="size: batch × dim (elements)")
    _set_ticks(axis.xaxis, EngFormatter())


def _set_ticks(axis: Axis, formatter: Formatter) -> None:
    """Label powers of ten; on a short logarithmic axis also 2 and 5 times the powers of ten."""
    low, high = sorted(axis.get_view_interval())
    few = high < 10**FEW_DECADES * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


def _means(times: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Return the sizes, and of each size the geometric mean of the times of its shapes."""
    logs = defaultdict(list)
    for size, seconds in sorted(times):
        logs[size].append(math.log(seconds))
    return list(logs), [math.exp(np.mean(of_size)) for of_size in logs.values()]


def _scatter(
    axis: Axes, points: Sequence[Point], at: Sequence[tuple[float, float]], style: Style, size: float = 20
) -> None:
    """Draw points at (x, y), each with a link to its result in the page."""
    if points:
        x, y = zip(*at, strict=True)
        drawn = axis.scatter(x, y, s=size, zorder=3, clip_on=False, marker=style.marker, color=style.colour,
                             edgecolors=INK, linewidths=0.4)  # fmt: skip
        drawn.set_urls([PAGE + address(point.key, point.kernel.name) for point in points])


DRAW: Mapping[str, Callable[[Axes, Sequence[Ranked], Styles], None]] = {
    "times": _draw_times, "accuracy": _draw_accuracy, "memory": _draw_memory, "samples": _draw_samples
}  # fmt: skip
KINDS = ("winners", *DRAW)
