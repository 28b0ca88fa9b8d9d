"""The cells of a run that an answer can be based on: same dtype, same number of threads, one cell for each shape."""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection

import numpy as np

from softmax_impls.choice.answer import Source
from softmax_impls.choice.interpolation import Shape, Surface
from softmax_impls.choice.ranking import Ranked, RankedRun
from softmax_impls.timing.records import KernelResult


def newness(time: datetime.datetime | None) -> float:
    """Return a number to sort times by; an unknown time counts as the oldest."""
    return time.timestamp() if time else -math.inf


class Measurements:
    """The ranked cells of a run with one dtype and number of threads, and surfaces through them.

    If several workloads have the same shape, the newest cell counts.
    """

    def __init__(self, run: RankedRun, dtype: str, threads: int) -> None:
        self.run, self.dtype, self.threads = run.run, dtype, threads
        cells = [
            cell for cell in run.cells if cell.comparison and (cell.key.dtype, cell.key.threads) == (dtype, threads)
        ]
        cells.sort(key=lambda cell: newness(cell.cell.time))
        self.cells: dict[Shape, Ranked] = {(cell.key.batch, cell.key.dim): cell for cell in cells}
        self.kernels: dict[str, dict[Shape, KernelResult]] = {}  # the verified results of each kernel
        for shape, cell in self.cells.items():
            for name, kernel in cell.kernels.items():
                if kernel.ranked:
                    self.kernels.setdefault(name, {})[shape] = kernel
        self.errors: dict[str, float] = {}  # the worst error of each kernel over all shapes; NaN if unknown
        for name, results in self.kernels.items():
            self.errors[name] = float(np.fmax.reduce([kernel.error for kernel in results.values()]))
        self._surfaces: dict[tuple[str, str | None], Surface] = {}

    def surface(self, name: str, over: str | None = None) -> Surface:
        """Return the times of a kernel, or their ratios to the times of another kernel, as a surface."""
        if (name, over) not in self._surfaces:
            known = self._seconds(name)
            if over is not None:
                others = self._seconds(over)
                known = {shape: seconds / others[shape] for shape, seconds in known.items() if shape in others}
            self._surfaces[name, over] = Surface(known)
        return self._surfaces[name, over]

    def _seconds(self, name: str) -> dict[Shape, float]:
        return {shape: kernel.seconds for shape, kernel in self.kernels[name].items() if kernel.seconds is not None}

    def source(self, here: str, cells: Collection[Ranked] = ()) -> Source:
        """Describe some of the cells, or all of them; `here` is the name of this machine."""
        records = [ranked.cell for ranked in cells or self.cells.values()]
        newest = max(records, key=lambda cell: newness(cell.time))
        batches, dims = [cell.batch for cell in records], [cell.dim for cell in records]
        return Source(
            tool=self.run.tool,
            machine=self.run.machine,
            commit=self.run.commit,
            here=self.run.machine == here,
            files=tuple(sorted({cell.file for cell in records})),
            versions=newest.environment.versions,
            time=newest.time,
            cells=len(records),
            batch=(min(batches), max(batches)),
            dim=(min(dims), max(dims)),
        )
