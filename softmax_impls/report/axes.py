"""Axes of sizes, times, bytes and errors, and the points on them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, NullFormatter

from softmax_impls.choice.ranking import Ranked
from softmax_impls.report.panels import address
from softmax_impls.report.style import INK, PAGE, Style
from softmax_impls.timing.records import KernelResult

FEW_DECADES = 3  # an axis of fewer decades has ticks at 2 and 5 times the powers of ten, too


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


def points_of(cells: Sequence[Ranked]) -> dict[str, list[Point]]:
    """Return the ranked results by the name of the implementation."""
    found: dict[str, list[Point]] = defaultdict(list)
    for cell in cells:
        for kernel in cell.kernels.values():
            if kernel.ranked:
                found[kernel.name].append(Point(cell, kernel))
    return dict(sorted(found.items()))


def set_size_axis(axis: Axes, cells: Sequence[Ranked]) -> None:
    """Scale the axis of sizes before anything is drawn: with a single size, matplotlib makes it too narrow."""
    sizes = [cell.key.elements for cell in cells]
    axis.set(xscale="log", xlim=(min(sizes) / 2, max(sizes) * 2), xlabel="size: batch × dim (elements)")
    set_ticks(axis.xaxis, EngFormatter())


def draw_line(
    axis: Axes, points: Sequence[tuple[int, float]], colour: str, ls: str = "-", lw: float = 0.9, alpha: float = 0.45
) -> None:
    """Draw a line through the sizes, at the geometric mean of the shapes of each size."""
    logs: Mapping[int, list[float]] = defaultdict(list)
    for size, value in points:
        logs[size].append(math.log(value))
    sizes = sorted(logs)
    axis.plot(sizes, [math.exp(np.mean(logs[s])) for s in sizes], color=colour, ls=ls, lw=lw, alpha=alpha, zorder=1.5)


def draw_points(
    axis: Axes, points: Sequence[Point], at: Sequence[tuple[float, float]], style: Style, size: float = 20
) -> None:
    """Draw points at (x, y), each with a link to its result in the page."""
    if points:
        x, y = zip(*at, strict=True)
        drawn = axis.scatter(x, y, s=size, zorder=3, clip_on=False, marker=style.marker, color=style.colour,
                             edgecolors=INK, linewidths=0.4)  # fmt: skip
        drawn.set_urls([PAGE + address(point.cell.key, point.kernel.name) for point in points])


def set_ticks(axis: Axis, formatter: Formatter) -> None:
    """Label powers of ten; on a short logarithmic axis also 2 and 5 times the powers of ten."""
    low, high = sorted(axis.get_view_interval())
    few = high < 10**FEW_DECADES * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())
