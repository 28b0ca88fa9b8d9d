"""Figures of cells, with one panel for each dtype and number of threads. A point links to its result in the page."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, NullFormatter, StrMethodFormatter

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_seconds
from softmax_impls.report.panels import address, by_panel, representative, shape_text, workload_name
from softmax_impls.report.style import INK, PAGE, PAPER, RULE, Style, Styles, add_legend, drawing, short_name, styles_of
from softmax_impls.results.runs import interval_of
from softmax_impls.timing.records import KernelResult
from softmax_impls.timing.workloads import CellKey

LINEAR_BYTES = 10  # a memory axis with a zero is linear up to here
SMALLEST_ERROR = 1e-20  # an error of 0 is drawn here
MAX_SAMPLES = 200  # of a kernel, in the figure of samples; of more samples, every second, third, ... is drawn
FEW_DECADES = 3  # an axis of fewer decades has ticks at 2 and 5 times the powers of ten, too
# Fields of a result that the figure of memory shows, in order of preference.
MEMORY = {"temporary_bytes": "temporary memory of one call", "peak_memory_bytes": "peak memory of the process"}
WIDTH, HEIGHT = 6.0, 4.4  # inches of a panel
MAP_WIDTH, MAP_HEIGHT = 6.2, 4.6  # inches of a panel of the map of winners, at the least
TILE_WIDTH, TILE_HEIGHT = 0.6, 0.45  # inches that the text of a tile needs
MAX_MARKERS = 4  # the markers of tied implementations that fit into a tile
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
        figure = Figure(figsize=(WIDTH * len(panels), 1.2 + 0.36 * rows if kind == "samples" else HEIGHT))
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
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
        bars = [(point.key.elements, *ends) for point in results if (ends := interval_of(point.kernel))]
        if bars:
            axis.vlines(*zip(*bars, strict=True), color=styles[name].colour, lw=1.2)
        means = _means([(point.key.elements, point.seconds) for point in results])
        axis.plot(*means, color=styles[name].colour, lw=0.9, alpha=0.45, zorder=1.5)
        _scatter(axis, [(point.key.elements, point.seconds, point) for point in results], styles[name])
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
        drawn = [(point.key.elements, getattr(point.kernel, field), point) for point in results]
        _scatter(axis, [(x, y, point) for x, y, point in drawn if y is not None], styles[name])
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


def _scatter(axis: Axes, drawn: Sequence[tuple[float, float, Point]], style: Style, size: float = 20) -> None:
    """Draw results at (x, y), each with a link to its place in the page."""
    if drawn:
        x, y, points = zip(*drawn, strict=True)
        markers = axis.scatter(x, y, s=size, zorder=3, clip_on=False, marker=style.marker, color=style.colour,
                               edgecolors=INK, linewidths=0.4)  # fmt: skip
        markers.set_urls([PAGE + address(point.key, point.kernel.name) for point in points])


def winners_map(cells: Sequence[Ranked], styles: Styles | None = None) -> Figure:
    """Draw the fastest implementation of each cell. A map without `styles` is a picture of its own, with a title.

    Cells are tiles of equal size, in the order of batch and dim. The colour of a tile is that of the fastest
    implementation. A tile is hatched where implementations tie, and empty where nothing is ranked.
    """
    panels = by_panel(cells)
    columns, rows = len({cell.key.dim for cell in cells}), len({cell.key.batch for cell in cells})
    width, height = max(MAP_WIDTH, 1 + TILE_WIDTH * columns), max(MAP_HEIGHT, 1 + TILE_HEIGHT * rows)
    with drawing():
        figure = Figure(figsize=(width * len(panels), height))
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        if styles is None:
            styles = styles_of(name for cell in cells for name in cell.kernels)
            figure.suptitle("Fastest softmax backward, and the time of one call")
        for axis, (panel, shown) in zip(axes, panels.items(), strict=True):
            _draw_tiles(axis, shown, styles)
            axis.set_title(str(panel))
        tie = Patch(fc="none", ec=INK, hatch="//", lw=0.5, label="tie: no measurable difference")
        add_legend(figure, {name for cell in cells for name in cell.winners}, styles, [tie])
    return figure


def _draw_tiles(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    """Draw the tile of each cell: its colour, its time, and the markers of the implementations that tie."""
    batches = sorted({cell.key.batch for cell in cells})
    dims = sorted({cell.key.dim for cell in cells})
    box = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "alpha": 0.88, "linewidth": 0}
    for cell in filter(lambda cell: cell.winners, cells):
        x, y = dims.index(cell.key.dim), batches.index(cell.key.batch)
        fastest, *tied = (styles[name].colour for name in cell.winners)
        tie: dict[str, Any] = {"hatch": "//", "edgecolor": tied[0]} if tied else {}
        axis.add_patch(Rectangle((x, y), 1, 1, facecolor=fastest, linewidth=0, url=PAGE + address(cell.key), **tie))
        axis.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=PAPER, linewidth=1.5))
        label = "\n".join(filter(None, (format_seconds(cell.seconds), short_name(workload_name(cell.key)))))
        axis.text(x + 0.5, y + 0.36, label, ha="center", va="center", fontsize=6.5, bbox=box)
        for index, name in enumerate(cell.winners[:MAX_MARKERS]):
            left, (colour, marker) = x + 0.14 + 0.22 * index, styles[name]  # the edge is black in both themes
            axis.plot(left, y + 0.83, marker=marker, color=colour, ms=5.5, mec="black", mew=0.7, ls="")
    axis.set(xlim=(0, len(dims)), ylim=(0, len(batches)), xlabel="dim", ylabel="batch", facecolor=f"{RULE}22")
    axis.set_xticks([i + 0.5 for i in range(len(dims))], [str(dim) for dim in dims])
    axis.set_yticks([i + 0.5 for i in range(len(batches))], [str(batch) for batch in batches])


DRAW: Mapping[str, Callable[[Axes, Sequence[Ranked], Styles], None]] = {
    "times": _draw_times, "accuracy": _draw_accuracy, "memory": _draw_memory, "samples": _draw_samples
}  # fmt: skip
KINDS = ("winners", *DRAW)
