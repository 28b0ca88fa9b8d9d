"""Figures of a run: winners, time against size, speed against error, memory, and the samples of a cell.

Each figure has one panel for each dtype and number of threads. A point of a figure links to its result in the page.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, NullFormatter, StrMethodFormatter

from softmax_impls.choice.ranking import Ranked, interval
from softmax_impls.report.panels import Panel, address, in_panel, representative, shape_text
from softmax_impls.report.style import INK, PAGE, Style, Styles, add_legend, drawing, figure_with_axes, short_name
from softmax_impls.report.winners_map import winners_map
from softmax_impls.timing.records import KernelResult

LINEAR_BYTES = 10  # a memory axis with a zero is linear up to here
SMALLEST_ERROR = 1e-20  # an error of 0 is drawn here
MAX_SAMPLES = 200  # of an implementation, in the figure of samples
FEW_DECADES = 3  # an axis of fewer decades has ticks at 2 and 5 times the powers of ten, too
MEMORY = {
    "temporary_bytes": "temporary memory of one call",
    "peak_memory_bytes": "peak memory of the process",
}  # fields of a result that the figure of memory shows, in order of preference
SIZE_LABEL = "size: batch × dim (elements)"
TIME_LABEL = "time of one call"

Draw = Callable[[Axes, Sequence[Ranked], Styles], list[Line2D]]  # draws cells, returns more handles for the legend


@dataclass(frozen=True)
class Point:
    """The result of a kernel in a cell, as a figure draws it."""

    cell: Ranked
    kernel: KernelResult

    @property
    def size(self) -> int:
        """Number of elements of an array."""
        return self.cell.key.elements

    @property
    def seconds(self) -> float:
        """Median time of a call."""
        return self.kernel.seconds or math.nan


def draw(kind: str, cells: Sequence[Ranked], panels: Sequence[Panel], styles: Styles) -> Figure | None:
    """Draw a figure.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    cells : sequence of Ranked
        At least one cell in each panel.
    panels : sequence of Panel
        The panels to draw, side by side.
    styles : mapping of str to Style

    Returns
    -------
    Figure or None
        None if the cells have no data for it.
    """
    cells = [cell for panel in panels for cell in in_panel(cells, panel)]
    kernels = [kernel for cell in cells for kernel in cell.kernels.values() if kernel.ranked]
    if kind == "accuracy":
        kernels = [kernel for kernel in kernels if not math.isnan(kernel.error)]
    if kind == "memory":
        kernels = [kernel for kernel in kernels if any(getattr(kernel, field) is not None for field in MEMORY)]
    return KINDS[kind](cells, panels, styles) if kernels else None


def winners(cells: Sequence[Ranked], panels: Sequence[Panel], styles: Styles) -> Figure:
    """Draw the map of winners."""
    return winners_map(cells, styles)


def times(cells: Sequence[Ranked], panels: Sequence[Panel], styles: Styles) -> Figure:
    """Draw time against size: each result with its interval, a line for each implementation, and the roofline."""
    return _in_panels(cells, panels, styles, _draw_times)


def memory(cells: Sequence[Ranked], panels: Sequence[Panel], styles: Styles) -> Figure:
    """Draw temporary memory against size; peak memory of the process if only that is known."""
    return _in_panels(cells, panels, styles, _draw_memory)


def accuracy(cells: Sequence[Ranked], panels: Sequence[Panel], styles: Styles) -> Figure:
    """Draw error against time, in the representative cell of each panel."""
    return _in_panels(cells, panels, styles, _draw_accuracy)


def samples(cells: Sequence[Ranked], panels: Sequence[Panel], styles: Styles) -> Figure:
    """Draw the samples of the representative cell of each panel.

    A row belongs to an implementation; its first round is at the top. A line marks the median, a band its confidence
    interval. Of more than `MAX_SAMPLES` samples, evenly spaced ones are drawn.
    """
    rows = max(len(_points([representative(in_panel(cells, panel))])) for panel in panels)
    return _in_panels(cells, panels, styles, _draw_samples, height=1.2 + 0.36 * rows, legend=False)


def _in_panels(
    cells: Sequence[Ranked],
    panels: Sequence[Panel],
    styles: Styles,
    draw_panel: Draw,
    height: float = 4.4,
    legend: bool = True,
) -> Figure:
    """Draw each panel, and one legend for all."""
    with drawing():
        figure, axes = figure_with_axes(len(panels), height=height)
        more: dict[str, Line2D] = {}
        names: set[str] = set()
        for axis, panel in zip(axes, panels, strict=False):
            shown = in_panel(cells, panel)
            more |= {str(line.get_label()): line for line in draw_panel(axis, shown, styles)}
            names |= _points(shown).keys()
            axis.set_title(" · ".join(filter(None, (str(panel), axis.get_title()))))
            axis.grid(True)
            axis.set_axisbelow(True)
        if legend:
            add_legend(figure, names, styles, list(more.values()))
    return figure


def _points(cells: Sequence[Ranked]) -> dict[str, list[Point]]:
    """Return the ranked results by the name of the implementation."""
    found: dict[str, list[Point]] = defaultdict(list)
    for cell in cells:
        for kernel in cell.kernels.values():
            if kernel.ranked:
                found[kernel.name].append(Point(cell, kernel))
    return dict(sorted(found.items()))


def _draw_times(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> list[Line2D]:
    _set_size_axis(axis, cells)
    axis.set_yscale("log")
    for name, points in _points(cells).items():
        known = [(point.size, *ends) for point in points if (ends := interval(point.kernel))]
        if known:
            axis.vlines(*zip(*known, strict=True), color=styles[name].colour, lw=1.2)
        _draw_line(axis, [(point.size, point.seconds) for point in points], styles[name].colour)
        _draw_points(axis, points, [(point.size, point.seconds) for point in points], styles[name])
    axis.set_ylabel(TIME_LABEL)
    _set_ticks(axis.yaxis, EngFormatter("s"))
    rooflines = [(cell.key.elements, cell.cell.roofline.seconds) for cell in cells if cell.cell.roofline]
    if not rooflines:
        return []
    _draw_line(axis, rooflines, INK, ls="--", lw=1.4, alpha=1)
    return [Line2D([], [], color=INK, ls="--", lw=1.4, label="roofline: moving the bytes")]


def _draw_memory(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> list[Line2D]:
    found = _points(cells)
    kernels = [point.kernel for points in found.values() for point in points]
    field = next((field for field in MEMORY if any(getattr(kernel, field) is not None for kernel in kernels)), "")
    zero = any(getattr(kernel, field) == 0 for kernel in kernels)
    _set_size_axis(axis, cells)
    axis.set_yscale("symlog", linthresh=LINEAR_BYTES) if zero else axis.set_yscale("log")
    for name, points in found.items():
        known = [(point, getattr(point.kernel, field)) for point in points]
        known = [(point, value) for point, value in known if value is not None]
        _draw_points(axis, [p for p, _ in known], [(p.size, value) for p, value in known], styles[name])
    axis.set_ylabel(MEMORY[field])
    if zero:
        axis.yaxis.set_major_formatter(EngFormatter("B"))
    else:
        _set_ticks(axis.yaxis, EngFormatter("B"))
    return []


def _draw_accuracy(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> list[Line2D]:
    shown = representative(cells)
    axis.set(xscale="log", yscale="log")
    zero = False
    for name, points in _points([shown]).items():
        known = [point for point in points if not math.isnan(point.kernel.error)]
        zero |= any(point.kernel.error == 0 for point in known)
        errors = [(point.seconds, max(point.kernel.error, SMALLEST_ERROR)) for point in known]
        _draw_points(axis, known, errors, styles[name], size=48)
    label = "worst relative error" + (f"; 0 is drawn at {SMALLEST_ERROR:g}" if zero else "")
    axis.set(xlabel=TIME_LABEL, ylabel=label, title=shape_text(shown.key))
    _set_ticks(axis.xaxis, EngFormatter("s"))
    _set_ticks(axis.yaxis, StrMethodFormatter("{x:.0e}"))
    return []


def _draw_samples(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> list[Line2D]:
    shown = representative(cells)
    rows = sorted((points[0] for points in _points([shown]).values()), key=lambda point: -point.seconds)
    axis.set_xscale("log")
    for y, point in enumerate(rows):
        colour, marker = styles[point.kernel.name]
        taken = point.kernel.samples[:: math.ceil(len(point.kernel.samples) / MAX_SAMPLES)]
        ys = y + np.linspace(0.3, -0.3, len(taken)) * (len(taken) > 1)
        axis.plot(taken, ys, marker=marker, color=colour, mec=INK, mew=0.3, ms=4, ls="", alpha=0.85)
        axis.plot([point.seconds] * 2, [y - 0.42, y + 0.42], color=INK, lw=1.6)
        if ends := interval(point.kernel):
            axis.fill_betweenx([y - 0.42, y + 0.42], *ends, color=colour, alpha=0.25, lw=0)
    axis.set_yticks(range(len(rows)), [short_name(point.kernel.name) for point in rows])
    axis.set(xlabel="time of one call: samples, median, 95 % interval of the median", title=shape_text(shown.key))
    _set_ticks(axis.xaxis, EngFormatter("s"))
    return []


def _set_size_axis(axis: Axes, cells: Sequence[Ranked]) -> None:
    """Scale the axis of sizes before anything is drawn: with a single size, matplotlib makes it too narrow."""
    sizes = [cell.key.elements for cell in cells]
    axis.set(xscale="log", xlim=(min(sizes) / 2, max(sizes) * 2), xlabel=SIZE_LABEL)
    _set_ticks(axis.xaxis, EngFormatter())


def _draw_line(
    axis: Axes, points: Sequence[tuple[int, float]], colour: str, ls: str = "-", lw: float = 0.9, alpha: float = 0.45
) -> None:
    """Draw a line through the sizes, at the geometric mean of the shapes of each size."""
    logs: Mapping[int, list[float]] = defaultdict(list)
    for size, value in points:
        logs[size].append(math.log(value))
    sizes = sorted(logs)
    axis.plot(sizes, [math.exp(np.mean(logs[s])) for s in sizes], color=colour, ls=ls, lw=lw, alpha=alpha, zorder=1.5)


def _draw_points(
    axis: Axes, points: Sequence[Point], at: Sequence[tuple[float, float]], style: Style, size: float = 20
) -> None:
    """Draw points at (x, y), each with a link to its result in the page."""
    if points:
        x, y = zip(*at, strict=True)
        drawn = axis.scatter(x, y, s=size, zorder=3, clip_on=False, marker=style.marker, color=style.colour,
                             edgecolors=INK, linewidths=0.4)  # fmt: skip
        drawn.set_urls([PAGE + address(point.cell.key, point.kernel.name) for point in points])


def _set_ticks(axis: Axis, formatter: Formatter) -> None:
    """Label powers of ten; on a short logarithmic axis also 2 and 5 times the powers of ten."""
    low, high = sorted(axis.get_view_interval())
    few = high < 10**FEW_DECADES * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


KINDS: Mapping[str, Callable[[Sequence[Ranked], Sequence[Panel], Styles], Figure]] = {
    "winners": winners,
    "times": times,
    "accuracy": accuracy,
    "memory": memory,
    "samples": samples,
}
