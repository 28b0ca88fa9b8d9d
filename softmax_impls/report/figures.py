"""Figures of a run: winners, time against size, speed against error, memory, and the samples of a cell.

Each figure has one panel for each dtype and number of threads. A point of a figure links to its result in the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, StrMethodFormatter

from softmax_impls.choice.ranking import Ranked, interval
from softmax_impls.report.axes import draw_line, draw_points, points_of, set_size_axis, set_ticks
from softmax_impls.report.panels import Panel, in_panel, representative, shape_text
from softmax_impls.report.style import INK, Styles, add_legend, drawing, figure_with_axes, short_name
from softmax_impls.report.winners_map import winners_map

LINEAR_BYTES = 10  # a memory axis with a zero is linear up to here
SMALLEST_ERROR = 1e-20  # an error of 0 is drawn here
MAX_SAMPLES = 200  # of an implementation, in the figure of samples
HEIGHT = 4.4  # inches of a panel
MEMORY = {
    "temporary_bytes": "temporary memory of one call",
    "peak_memory_bytes": "peak memory of the process",
}  # fields of a result that the figure of memory shows, in order of preference
TIME_LABEL = "time of one call"

Draw = Callable[[Axes, Sequence[Ranked], Styles], list[Line2D]]  # draws cells, returns more handles for the legend


def draw(kind: str, cells: Sequence[Ranked], panels: Sequence[Panel], styles: Styles) -> Figure | None:
    """Draw a figure.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
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
    if not kernels:
        return None
    return winners_map(cells, styles) if kind == "winners" else _in_panels(kind, cells, panels, styles)


def _in_panels(kind: str, cells: Sequence[Ranked], panels: Sequence[Panel], styles: Styles) -> Figure:
    """Draw each panel, and one legend for all."""
    by_panel = [in_panel(cells, panel) for panel in panels]
    rows = max(len(points_of([representative(shown)])) for shown in by_panel)
    with drawing():
        figure, axes = figure_with_axes(len(panels), height=1.2 + 0.36 * rows if kind == "samples" else HEIGHT)
        more: dict[str, Line2D] = {}
        for axis, panel, shown in zip(axes, panels, by_panel, strict=False):
            if points_of(shown):
                more |= {str(line.get_label()): line for line in DRAW[kind](axis, shown, styles)}
            axis.set_title(" · ".join(filter(None, (str(panel), axis.get_title()))))
            axis.grid(True)
            axis.set_axisbelow(True)
        if kind != "samples":  # its axis has the names
            add_legend(figure, points_of(cells), styles, list(more.values()))
    return figure


def _draw_times(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> list[Line2D]:
    """Draw time against size: each result with its interval, a line for each implementation, and the roofline."""
    set_size_axis(axis, cells)
    axis.set_yscale("log")
    for name, points in points_of(cells).items():
        known = [(point.size, *ends) for point in points if (ends := interval(point.kernel))]
        if known:
            axis.vlines(*zip(*known, strict=True), color=styles[name].colour, lw=1.2)
        draw_line(axis, [(point.size, point.seconds) for point in points], styles[name].colour)
        draw_points(axis, points, [(point.size, point.seconds) for point in points], styles[name])
    axis.set_ylabel(TIME_LABEL)
    set_ticks(axis.yaxis, EngFormatter("s"))
    rooflines = [(cell.key.elements, cell.cell.roofline.seconds) for cell in cells if cell.cell.roofline]
    if not rooflines:
        return []
    draw_line(axis, rooflines, INK, ls="--", lw=1.4, alpha=1)
    return [Line2D([], [], color=INK, ls="--", lw=1.4, label="roofline: moving the bytes")]


def _draw_memory(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> list[Line2D]:
    """Draw temporary memory against size; peak memory of the process if only that is known."""
    found = points_of(cells)
    kernels = [point.kernel for points in found.values() for point in points]
    field = next((field for field in MEMORY if any(getattr(kernel, field) is not None for kernel in kernels)), None)
    if field is None:
        return []
    zero = any(getattr(kernel, field) == 0 for kernel in kernels)
    set_size_axis(axis, cells)
    axis.set_yscale("symlog", linthresh=LINEAR_BYTES) if zero else axis.set_yscale("log")
    for name, points in found.items():
        known = [(point, getattr(point.kernel, field)) for point in points]
        known = [(point, value) for point, value in known if value is not None]
        draw_points(axis, [p for p, _ in known], [(p.size, value) for p, value in known], styles[name])
    axis.set_ylabel(MEMORY[field])
    if zero:
        axis.yaxis.set_major_formatter(EngFormatter("B"))
    else:
        set_ticks(axis.yaxis, EngFormatter("B"))
    return []


def _draw_accuracy(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> list[Line2D]:
    """Draw error against time in the representative cell."""
    shown = representative(cells)
    axis.set(xscale="log", yscale="log")
    zero = False
    for name, points in points_of([shown]).items():
        known = [point for point in points if not math.isnan(point.kernel.error)]
        zero |= any(point.kernel.error == 0 for point in known)
        errors = [(point.seconds, max(point.kernel.error, SMALLEST_ERROR)) for point in known]
        draw_points(axis, known, errors, styles[name], size=48)
    label = "worst relative error" + (f"; 0 is drawn at {SMALLEST_ERROR:g}" if zero else "")
    axis.set(xlabel=TIME_LABEL, ylabel=label, title=shape_text(shown.key))
    set_ticks(axis.xaxis, EngFormatter("s"))
    set_ticks(axis.yaxis, StrMethodFormatter("{x:.0e}"))
    return []


def _draw_samples(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> list[Line2D]:
    """Draw the samples of the representative cell.

    A row belongs to an implementation; its first round is at the top. A line marks the median, a band its confidence
    interval. Of more than `MAX_SAMPLES` samples, evenly spaced ones are drawn.
    """
    shown = representative(cells)
    rows = sorted((points[0] for points in points_of([shown]).values()), key=lambda point: -point.seconds)
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
    set_ticks(axis.xaxis, EngFormatter("s"))
    return []


DRAW: Mapping[str, Draw] = {
    "times": _draw_times,
    "accuracy": _draw_accuracy,
    "memory": _draw_memory,
    "samples": _draw_samples,
}
KINDS = ("winners", *DRAW)
