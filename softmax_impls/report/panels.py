"""Panels: the cells of one dtype and number of threads. Names and addresses of cells."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self
from urllib.parse import urlencode

from softmax_impls.choice.ranking import Ranked
from softmax_impls.choice.scaling import Crossover, Exponent
from softmax_impls.formatting import format_count
from softmax_impls.timing.workloads import CUSTOM, GRID, CellKey


class Panel(NamedTuple):
    """The cells that share the axes of a figure: the cells of one dtype and one number of threads."""

    threads: int
    dtype: str

    @classmethod
    def of(cls, item: CellKey | Crossover | Exponent) -> Self:
        """Return the panel that the key of a cell, a crossover or an exponent belongs to."""
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
    return f"{workload_name(key)} {key.batch}×{key.dim}".strip()


def workload_name(key: CellKey) -> str:
    """Return the name of a workload, or "" if the shape is from the grid or was given by the user."""
    return "" if key.workload in (GRID, CUSTOM) else key.workload


def address(key: CellKey, kernel: str | None = None) -> str:
    """Return the part of the page's address that shows a cell, and opens the raw result of a kernel."""
    fields = {"batch": key.batch, "dim": key.dim, "dtype": key.dtype, "threads": key.threads}
    return "#" + urlencode(fields | ({"kernel": kernel} if kernel else {}))


def representative(cells: Sequence[Ranked]) -> Ranked:
    """Return the cell with errors and times of the most kernels; of several, the largest."""

    def information(cell: Ranked) -> tuple[int, int, int]:
        kernels = [kernel for kernel in cell.kernels.values() if kernel.ranked]
        return sum(kernel.error > 0 for kernel in kernels), len(kernels), cell.key.elements

    return max(cells, key=information)
