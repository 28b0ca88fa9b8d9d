"""The cells of a run that an answer can be based on: same dtype, same number of threads, one cell for each shape."""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Mapping
from functools import cached_property

from softmax_impls.choice.answer import Source
from softmax_impls.choice.interpolation import Shape, Surface
from softmax_impls.choice.ranking import Ranked, RankedRun
from softmax_impls.timing.records import KernelResult

OLDEST = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def newness(time: datetime.datetime | None) -> datetime.datetime:
    """Return a time to sort by; an unknown time counts as the oldest."""
    return time or OLDEST


class Measurements:
    """The ranked cells of a run with one dtype and number of threads, and surfaces through them.

    If several workloads have the same shape, the newest cell counts.

    Parameters
    ----------
    run : RankedRun
    dtype : str
    threads : int

    Attributes
    ----------
    cells : dict of (int, int) to Ranked
        By batch and dim; only cells with verified times.
    """

    def __init__(self, run: RankedRun, dtype: str, threads: int) -> None:
        self.run = run.run
        self.dtype, self.threads = dtype, threads
        ranked = [c for c in run.cells if c.comparison and (c.key.dtype, c.key.threads) == (dtype, threads)]
        ranked.sort(key=lambda cell: newness(cell.cell.time))
        self.cells: Mapping[Shape, Ranked] = {(cell.key.batch, cell.key.dim): cell for cell in ranked}
        self._surfaces: dict[str, Surface] = {}
        self._ratios: dict[tuple[str, str], Surface] = {}

    @cached_property
    def kernels(self) -> Mapping[str, Mapping[Shape, KernelResult]]:
        """The verified results of each kernel, by shape."""
        found: dict[str, dict[Shape, KernelResult]] = {}
        for shape, cell in self.cells.items():
            for name, kernel in cell.kernels.items():
                if kernel.ranked:
                    found.setdefault(name, {})[shape] = kernel
        return found

    @cached_property
    def errors(self) -> Mapping[str, float]:
        """The worst error of each kernel over all shapes; NaN if unknown."""
        known = {n: [k.error for k in results.values() if k.error == k.error] for n, results in self.kernels.items()}
        return {name: max(errors, default=math.nan) for name, errors in known.items()}

    def surface(self, name: str) -> Surface:
        """Return the times of a kernel as a surface."""
        if name not in self._surfaces:
            self._surfaces[name] = Surface(self._seconds(name))
        return self._surfaces[name]

    def ratio_surface(self, name: str, best: str) -> Surface:
        """Return the time of a kernel over that of another as a surface; it varies less than times do."""
        if (name, best) not in self._ratios:
            times, best_times = self._seconds(name), self._seconds(best)
            ratios = {shape: times[shape] / best_times[shape] for shape in times if shape in best_times}
            self._ratios[name, best] = Surface(ratios)
        return self._ratios[name, best]

    def _seconds(self, name: str) -> dict[Shape, float]:
        return {shape: kernel.seconds for shape, kernel in self.kernels[name].items() if kernel.seconds is not None}

    def source(self, here: str, cells: Collection[Ranked] = ()) -> Source:
        """Describe some of the cells, or all of them; `here` is the name of this machine."""
        records = [ranked.cell for ranked in cells or self.cells.values()]
        newest = max(records, key=lambda cell: newness(cell.time))
        batches, dims = {cell.batch for cell in records}, {cell.dim for cell in records}
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
