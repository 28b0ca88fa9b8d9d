"""Figures of cells. A point or a tile links to its result in the page."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, NullLocator, StrMethodFormatter

from softmax_impls.choice.ranking import Ranked
from softmax_impls.report.maps import winners_maps
from softmax_impls.report.panels import by_panel, representative, shape_text, short_name
from softmax_impls.report.style import INK, Style, Styles, add_legend, drawing, link
from softmax_impls.results.runs import interval_of
from softmax_impls.timing.records import KernelResult
from softmax_impls.timing.workloads import CellKey

LINEAR_BYTES = 10  # if a kernel takes 0 bytes, the axis of memory is linear up to here
SMALLEST_ERROR = 1e-20  # an error of 0 is drawn here
MAX_SAMPLES = 200  # of a kernel, in the figure of samples; of more, only every second (third, …) is drawn
MAX_BATCHES = 12  # in the figure of times
MAX_TICKS = 12  # of an axis
FEW_DECADES = 3  # an axis of fewer decades has ticks at 2 and 5 times the powers of ten, too
# Fields of a result that the figure of memory shows, in order of preference.
MEMORY = {"temporary_bytes": "temporary memory of one call", "peak_memory_bytes": "peak memory of the process"}
WIDTH, HEIGHT, COLUMNS = 5.9, 4.4, 2  # inches of a panel, and panels side by side; two fit into the page
TIMES_WIDTH, TIMES_HEIGHT, TIMES_COLUMNS = 2.95, 2.6, 5  # the same for a batch in the figure of times, at the most
TIME_LABEL, ROOFLINE = "time of one call", "roofline: moving the bytes"


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
        return winners_maps({"": cells}, styles)
    if kind == "times":
        on_last_axis = [cell for cell in cells if cell.key.axis == -1]  # times on other axes are not comparable
        return _times(on_last_axis, styles) if on_last_axis else None
    panels = by_panel(cells)
    height = 1.2 + 0.36 * max(len(_points([representative(shown)])) for shown in panels.values())
    rows = math.ceil(len(panels) / COLUMNS)
    columns = min(COLUMNS, len(panels))
    with drawing():
        figure = Figure(figsize=(WIDTH * columns, (height if kind == "samples" else HEIGHT) * rows))
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axis, (panel, shown) in zip(axes, panels.items(), strict=False):
            if _points(shown):
                DRAW[kind](axis, shown, styles)
            axis.set_title(" · ".join(filter(None, (str(panel), axis.get_title()))))
        for axis in axes[len(panels) :]:
            axis.remove()
        if kind != "samples":  # the axis of the samples has the names
            add_legend(figure, _points(cells), styles)
    return figure if any(axis.has_data() for axis in figure.axes) else None


def _times(cells: Sequence[Ranked], styles: Styles) -> Figure:
    """Draw time against dim, in a plot for each batch. Each dtype and number of threads has its own rows of plots."""
    batches = {panel: _batches(shown) for panel, shown in by_panel(cells).items()}
    columns = min(TIMES_COLUMNS, max(map(len, batches.values())))
    rows = [math.ceil(len(of_panel) / columns) for of_panel in batches.values()]
    width = min(TIMES_WIDTH, COLUMNS * WIDTH / columns)
    limits = min(cell.key.dim for cell in cells) / 2, max(cell.key.dim for cell in cells) * 2
    with drawing():
        figure = Figure(figsize=(max(WIDTH, width * columns), TIMES_HEIGHT * sum(rows)))
        grid = figure.add_gridspec(sum(rows), columns)
        for (panel, of_panel), first in zip(batches.items(), itertools.accumulate(rows, initial=0), strict=False):
            for number, (batch, shown) in enumerate(of_panel.items()):
                if _points(shown):
                    axis = figure.add_subplot(grid[first + number // columns, number % columns])
                    axis.set(xscale="log", xlim=limits, title=f"{panel}\nbatch {batch}", xlabel="dim")
                    axis.set_ylabel("" if number % columns else TIME_LABEL)
                    _draw_times(axis, shown, styles)
        lines = {line.get_label(): line for axis in figure.axes for line in axis.get_legend_handles_labels()[0]}
        add_legend(figure, _points(cells), styles, list(lines.values()))
    return figure


def _batches(cells: Sequence[Ranked]) -> dict[int, list[Ranked]]:
    """Return the cells by batch, for the batches that were measured with several dims; for all if there is none.

    If these are more than `MAX_BATCHES` batches, only every second (or third, and so on) is returned.
    """
    found: dict[int, list[Ranked]] = defaultdict(list)
    for cell in sorted(cells, key=lambda cell: cell.key.batch):
        found[cell.key.batch].append(cell)
    several = {batch: shown for batch, shown in found.items() if len({cell.key.dim for cell in shown}) > 1} or found
    return {batch: several[batch] for batch in list(several)[:: math.ceil(len(several) / MAX_BATCHES)]}


def _points(cells: Sequence[Ranked]) -> dict[str, list[Point]]:
    """Return the points to draw for each implementation, by its name: a point for each cell that ranks it."""
    points = defaultdict(list)
    for cell in cells:
        for kernel in cell.kernels.values():
            if kernel.ranked and kernel.seconds is not None:
                points[kernel.name].append(Point(cell.key, kernel, kernel.seconds))
    return dict(sorted(points.items()))


def _draw_times(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    """Draw time against dim: each result with its interval, a line for each implementation, and the roofline."""
    axis.set_yscale("log")
    for name, results in _points(cells).items():
        bars = [(point.key.dim, *ends) for point in results if (ends := interval_of(point.kernel))]
        if bars:
            axis.vlines(*zip(*bars, strict=True), color=styles[name].colour, lw=1.2)
        line = _line([(point.key.dim, point.seconds) for point in results])
        axis.plot(*line, color=styles[name].colour, lw=1.1, alpha=0.7, zorder=1.5)
        _scatter(axis, [(point.key.dim, point.seconds, point) for point in results], styles[name])
    if rooflines := [(cell.key.dim, cell.cell.roofline.seconds) for cell in cells if cell.cell.roofline]:
        marker = "_" if len(rooflines) == 1 else None
        axis.plot(*_line(rooflines), color=INK, ls="--", lw=1.4, marker=marker, ms=12, zorder=1.5, label=ROOFLINE)
    _set_ticks(axis.xaxis, EngFormatter(sep=""))
    _set_ticks(axis.yaxis, EngFormatter("s"))


def _draw_memory(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    """Draw temporary memory against size, or the peak memory of the process if no temporary memory is known."""
    points = _points(cells)
    kernels = [point.kernel for results in points.values() for point in results]
    field = next((field for field in MEMORY if any(getattr(kernel, field) is not None for kernel in kernels)), None)
    if field is None:
        return
    sizes = [float(cell.key.elements) for cell in cells]  # with a single size, matplotlib makes the axis too narrow
    axis.set(xscale="log", xlim=(min(sizes) / 2, max(sizes) * 2), xlabel="size: batch × dim (elements)")
    _set_ticks(axis.xaxis, EngFormatter())
    for name, results in points.items():
        drawn = [(float(point.key.elements), getattr(point.kernel, field), point) for point in results]
        _scatter(axis, [(x, y, point) for x, y, point in drawn if y is not None], styles[name])
    axis.set_ylabel(MEMORY[field])
    if any(getattr(kernel, field) == 0 for kernel in kernels):
        axis.set_yscale("symlog", linthresh=LINEAR_BYTES)
        axis.yaxis.set_major_formatter(EngFormatter("B"))
    else:
        axis.set_yscale("log")
        _set_ticks(axis.yaxis, EngFormatter("B"))


def _draw_accuracy(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    """Draw the error of each ranked kernel against its time, in the cell that shows the most results.

    A kernel whose error is not known is left out. An error of 0 is drawn at `SMALLEST_ERROR`.
    """
    shown = representative(cells)
    axis.set(xscale="log", yscale="log", xlabel=TIME_LABEL, ylabel="worst relative error", title=shape_text(shown.key))
    for name, (point,) in _points([shown]).items():
        error = point.kernel.error
        if not math.isnan(error):
            _scatter(axis, [(point.seconds, max(error, SMALLEST_ERROR), point)], styles[name], size=48)
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
        if ends := interval_of(point.kernel):
            axis.fill_betweenx([y - 0.42, y + 0.42], *ends, color=colour, alpha=0.25, lw=0)
    axis.set_yticks(range(len(rows)), [short_name(point.kernel.name) for point in rows])
    axis.set(xlabel="time of one call: samples, median, 95 % interval of the median", title=shape_text(shown.key))
    _set_ticks(axis.xaxis, EngFormatter("s"))


def _set_ticks(axis: Axis, formatter: Formatter) -> None:
    """Label powers of ten; on a short logarithmic axis also 2 and 5 times the powers of ten."""
    low, high = sorted(axis.get_view_interval())
    few = high < 10**FEW_DECADES * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=MAX_TICKS))
    axis.set_major_formatter(formatter)
    axis.set_minor_locator(NullLocator())


def _line(times: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Return the dims in ascending order, and for each dim the geometric mean of its times.

    `times` has pairs (dim, seconds). A dim has several times if two workloads have the same shape.
    """
    logs = defaultdict(list)
    for dim, seconds in sorted(times):
        logs[dim].append(math.log(seconds))
    return list(logs), [math.exp(np.mean(of_dim)) for of_dim in logs.values()]


def _scatter(axis: Axes, drawn: Sequence[tuple[float, float, Point]], style: Style, size: float = 20) -> None:
    """Draw results at (x, y), each with a link to its raw result in the page."""
    if drawn:
        x, y, points = zip(*drawn, strict=True)
        markers = axis.scatter(x, y, s=size, zorder=3, clip_on=False, marker=style.marker, color=style.colour,
                               edgecolors=INK, linewidths=0.4)  # fmt: skip
        markers.set_urls([link(point.key, point.kernel.name) for point in points])


DRAW: Mapping[str, Callable[[Axes, Sequence[Ranked], Styles], None]] = {
    "accuracy": _draw_accuracy, "memory": _draw_memory, "samples": _draw_samples
}  # fmt: skip
KINDS = ("winners", "times", *DRAW)
