"""Group the cells of a run by dtype and number of threads, and name cells in text and in addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_count
from softmax_impls.timing.workloads import CUSTOM, GRID, CellKey


@dataclass(frozen=True, order=True)
class Panel:
    """The cells of a figure that share axes: the cells of one dtype and one number of threads."""

    threads: int
    dtype: str

    @classmethod
    def of(cls, key: CellKey) -> Panel:
        """Return the panel of a cell."""
        return cls(key.threads, key.dtype)

    def __str__(self) -> str:
        return f"{self.dtype}, {format_count(self.threads, 'thread')}"


def panels(cells: Sequence[Ranked]) -> list[Panel]:
    """Return the panels of some cells, in the order of threads and dtype."""
    return sorted({Panel.of(cell.key) for cell in cells})


def in_panel(cells: Sequence[Ranked], panel: Panel) -> list[Ranked]:
    """Return the cells of a panel."""
    return [cell for cell in cells if Panel.of(cell.key) == panel]


def shape_text(key: CellKey) -> str:
    """Return a shape, and the name of its workload if it has one: "imagenet 256×1000"."""
    return f"{workload_name(key)} {key.batch}×{key.dim}".strip()


def workload_name(key: CellKey) -> str:
    """Return the name of a workload; empty for a cell of the grid and for a requested shape."""
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
