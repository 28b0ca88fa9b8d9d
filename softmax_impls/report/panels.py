"""Panels, names and addresses of cells, and the implementations to use in them, for all tables and figures."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self
from urllib.parse import urlencode

from softmax_impls.choice.answer import preferred
from softmax_impls.choice.ranking import Ranked, accuracy_of
from softmax_impls.choice.scaling import Crossover, Exponent
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report.terminal.answers import MARKS
from softmax_impls.timing.workloads import CUSTOM, GRID, CellKey

MAX_NAME = 28  # characters of a name in figures and maps
MAX_NAMES = 3  # names of implementations that tie, in a tile of a map


class Panel(NamedTuple):
    """The cells that share the axes of a figure: the cells of one dtype and one number of threads."""

    threads: int
    dtype: str

    @classmethod
    def of(cls, item: CellKey | Crossover | Exponent) -> Self:
        """Return the panel of an item, by its dtype and number of threads."""
        return cls(item.threads, item.dtype)

    def __str__(self) -> str:
        return f"{self.dtype}, {format_count(self.threads, 'thread')}"


def by_panel(cells: Iterable[Ranked]) -> dict[Panel, list[Ranked]]:
    """Return the cells of each panel, in the order of threads and dtype."""
    panels: dict[Panel, list[Ranked]] = {}
    for cell in cells:
        panels.setdefault(Panel.of(cell.key), []).append(cell)
    return dict(sorted(panels.items()))


def shape_text(key: CellKey) -> str:
    """Return a shape, and the name of its workload if it has one: "imagenet 256×1000"."""
    return f"{workload_name(key)} {key.shape_text}".strip()


def workload_name(key: CellKey) -> str:
    """Return the name of a workload, or "" if the shape is from the grid or was given by the user."""
    return "" if key.workload in (GRID, CUSTOM) else key.workload


def address(key: CellKey, kernel: str | None = None) -> str:
    """Return the part of a link from "#" on, which leads to a cell of the page, or to the raw result of `kernel` there.

    Return "" if the classes are not on the last axis, because the page answers only for shapes (batch, dim).
    """
    if key.axis != -1:
        return ""
    fields = {"batch": key.batch, "dim": key.dim, "dtype": key.dtype, "threads": key.threads}
    return "#" + urlencode(fields | ({"kernel": kernel} if kernel else {}))


def representative(cells: Sequence[Ranked]) -> Ranked:
    """Return the cell that shows the most results.

    Cells with the classes on the last axis come first. Then the number of kernels with an error above 0 decides, then
    the number of ranked kernels, then the size.
    """

    def information(cell: Ranked) -> tuple[bool, int, int, int]:
        kernels = [kernel for kernel in cell.kernels.values() if kernel.ranked]
        return cell.key.axis == -1, sum(kernel.error > 0 for kernel in kernels), len(kernels), cell.key.elements

    return max(cells, key=information)


class Best(NamedTuple):
    """The implementations to use in a cell: the fastest that is accurate on saturated rows, and all that tie with it.

    If no implementation is known to be accurate, the fastest of all takes its place.
    """

    names: tuple[str, ...]  # the recommended name first
    seconds: float  # of a call of the first
    faster: tuple[str, float] | None  # the fastest of all, and its ratio to the fastest of `names`; None if they tie


def best(cell: Ranked) -> Best | None:
    """Return the implementations to use in a cell; None if nothing is ranked.

    If no implementation is known to be accurate, all ranked implementations count.
    """
    if not cell.winners:
        return None
    tied = (cell.accurate_only or cell).winners
    first = preferred({name: cell.times_best(name) for name in tied}, margin=math.inf)
    faster = None if {*tied} & {*cell.winners} else (cell.winners[0], 1 / cell.times_best(tied[0]))
    names = sorted(tied, key=lambda name: name != first)
    return Best(tuple(names), cell.kernels[first].seconds or math.nan, faster)


def tile_text(cell: Ranked) -> str:
    """Return a tile's text: the implementations to use, the time, and a faster implementation that is not accurate."""
    if (found := best(cell)) is None:
        return ""
    shown = found.names if len(found.names) <= MAX_NAMES else found.names[: MAX_NAMES - 1]
    lines = ["= " * (number > 0) + short_name(name) for number, name in enumerate(shown)]
    lines += [f"= {len(found.names) - len(shown)} more"] * (len(shown) < len(found.names))
    lines.append(format_seconds(found.seconds))
    if found.faster:
        name, ratio = found.faster
        lines.append(f"{short_name(name)}{marks([cell])[name]}: {ratio:.2f}×")
    return "\n".join(lines)


def marks(cells: Iterable[Ranked]) -> dict[str, str]:
    """Return the mark of each implementation that is in one of the cells, by name.

    The mark is " †" if the implementation is inaccurate on saturated rows, " ‡" if its accuracy is unknown, else "".
    """
    return {name: MARKS[accuracy_of(kernel)] for cell in cells for name, kernel in cell.kernels.items()}


def short_name(name: str) -> str:
    """Return a name, cut to `MAX_NAME` characters."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
