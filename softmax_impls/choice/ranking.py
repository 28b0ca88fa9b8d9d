"""Rank the kernels of each measured cell.

A cell is ranked once. Figures, tables, pages and `choose` all take the result: a `Ranked` for each cell, or a
`RankedRun` for all cells of a run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from softmax_impls.results.runs import Run
from softmax_impls.timing.records import Cell, KernelResult
from softmax_impls.timing.statistics import (
    Comparison,
    Ratio,
    compare_samples,
    margin_from,
    median_interval,
    paired_ratio,
    quiet_ratio,
)
from softmax_impls.timing.workloads import GRID, CellKey

BASELINE = "column_loop"  # the loop of the original program; speed-ups are relative to it


@dataclass(frozen=True)
class Ranked:
    """A cell and the comparison of its kernels.

    Attributes
    ----------
    cell : Cell
    comparison : Comparison or None
        None if the cell has no verified times.
    control_ratio : Ratio or None
        Time of the A/A control over the time of the same kernel.
    """

    cell: Cell
    comparison: Comparison | None
    control_ratio: Ratio | None = None

    @property
    def key(self) -> CellKey:
        """Workload, shape, dtype and threads."""
        return self.cell.key

    @cached_property
    def kernels(self) -> Mapping[str, KernelResult]:
        """The results of all kernels by their names, also of kernels that are not ranked."""
        return self.cell.by_name

    @property
    def winners(self) -> tuple[str, ...]:
        """The fastest kernel and the kernels that tie with it; empty if nothing is ranked."""
        return (self.comparison.best, *self.comparison.ties) if self.comparison else ()

    @property
    def seconds(self) -> float:
        """Time of a call of the fastest kernel; NaN if nothing is ranked."""
        seconds = self.kernels[self.comparison.best].seconds if self.comparison else None
        return math.nan if seconds is None else seconds

    @property
    def gigabytes_per_second(self) -> float:
        """Bandwidth of the fastest kernel in 10⁹ bytes per second, counting two reads and one write of (B, D)."""
        return self.key.moved_bytes / self.seconds / 1e9

    @property
    def noise(self) -> float | None:
        """Relative difference between the A/A control and its kernel; None without a control."""
        ratio = self.control_ratio
        return max(ratio.value, 1 / ratio.value) - 1 if ratio else None

    @property
    def speedup(self) -> tuple[float, bool] | None:
        """Time of `BASELINE` over the fastest time, and whether the former is extrapolated; None if unknown."""
        baseline = self.kernels.get(BASELINE)
        if baseline is None or baseline.seconds is None or self.comparison is None:
            return None
        return baseline.seconds / self.seconds, baseline.status == "extrapolated"

    def share_of_roofline(self, name: str) -> Ratio | None:
        """Return the time of the roofline over the time of a kernel, by paired samples; None if either is unknown."""
        samples = self.kernels[name].samples if name in self.kernels else ()
        return paired_ratio(self.cell.roofline.samples, samples) if self.cell.roofline and samples else None

    def ratio(self, name: str) -> Ratio | None:
        """Return the time of a kernel over the time of the fastest; None for a kernel that is not ranked."""
        if self.comparison is None:
            return None
        return Ratio(1.0, 1.0, 1.0) if name == self.comparison.best else self.comparison.ratios.get(name)

    def times_best(self, name: str) -> float:
        """Return the value of `ratio`; inf for a kernel that is not ranked."""
        ratio = self.ratio(name)
        return ratio.value if ratio else math.inf

    def as_dict(self) -> dict[str, Any]:
        """Return the ranking with types that JSON has."""
        speedup, known = self.speedup, self.comparison is not None
        return {
            "workload": self.key.workload,
            "batch": self.key.batch,
            "dim": self.key.dim,
            "dtype": self.key.dtype,
            "threads": self.key.threads,
            "winners": list(self.winners),
            "seconds": self.seconds if known else None,
            "gigabytes_per_second": self.gigabytes_per_second if known else None,
            "speedup_over_source": speedup and speedup[0],
            "speedup_is_extrapolated": speedup and speedup[1],
            "roofline_seconds": self.cell.roofline and self.cell.roofline.seconds,
            "noise": self.noise,
            "margin": self.comparison and self.comparison.margin,
            "implementations": {name: self._kernel_as_dict(name) for name in self.kernels},
        }

    def _kernel_as_dict(self, name: str) -> dict[str, Any]:
        kernel, ratio, share = self.kernels[name], self.ratio(name), self.share_of_roofline(name)
        return {
            "status": kernel.status,
            "note": kernel.note,
            "verified": kernel.verified,
            "seconds": kernel.seconds,
            "interval": interval(kernel),
            "rounds": len(kernel.samples),
            "times_the_fastest": ratio and [ratio.value, ratio.low, ratio.high],
            "share_of_roofline": share and [share.value, share.low, share.high],
        }


@dataclass(frozen=True)
class RankedRun:
    """A run and its cells, ranked, in the order in which they are shown."""

    run: Run
    cells: list[Ranked]

    @property
    def panels(self) -> list[tuple[str, int]]:
        """Pairs of dtype and number of threads that were measured, by threads and dtype."""
        pairs = {(ranked.key.dtype, ranked.key.threads) for ranked in self.cells}
        return sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def rank(cell: Cell) -> Ranked:
    """Rank the verified and timed kernels of a cell; the A/A control decides which differences are noise."""
    names = [kernel.name for kernel in cell.kernels if kernel.ranked]
    control_ratio = _control_ratio(cell)
    return Ranked(cell, _compare(cell, names, margin_from(control_ratio)) if names else None, control_ratio)


def rank_all(cells: Iterable[Cell]) -> list[Ranked]:
    """Rank cells, and sort them: named workloads before the grid, then by threads, size and dtype."""
    return [rank(cell) for cell in sorted(cells, key=_display_order)]


def rank_run(run: Run) -> RankedRun:
    """Rank all cells of a run."""
    return RankedRun(run, rank_all(run.cells))


def compare_some(ranked: Ranked, names: Collection[str]) -> Comparison:
    """Compare some of the ranked kernels of a cell, at least one of them.

    A kernel is eliminated because it is far behind the fastest. If the fastest is left out, eliminated kernels may tie
    with others.
    """
    assert ranked.comparison is not None
    if set(names) == {ranked.comparison.best, *ranked.comparison.ratios}:
        return ranked.comparison
    return _compare(ranked.cell, names, ranked.comparison.margin, with_fastest=ranked.comparison.best in names)


def interval(kernel: KernelResult) -> tuple[float, float] | None:
    """Return a confidence interval of the median time in seconds; None if there are too few samples."""
    return kernel.interval or (median_interval(kernel.samples) if len(kernel.samples) > 1 else None)


def _compare(cell: Cell, names: Collection[str], margin: float, with_fastest: bool = True) -> Comparison:
    """Compare kernels by their samples.

    In `compare`, a kernel with fewer samples was eliminated. With other tools, and among kernels that were all
    eliminated, the number of samples says nothing about speed. Then each kernel counts with as many samples as the
    kernel with the fewest has.
    """
    kernels = {name: result for name, result in cell.by_name.items() if name in names}
    samples = {name: kernel.samples for name, kernel in kernels.items()}
    if cell.tool != "compare" or max(map(len, samples.values())) < _rounds(cell):
        fewest = min(map(len, samples.values()))
        samples = {name: taken[:fewest] for name, taken in samples.items()}
    eliminated = [name for name, kernel in kernels.items() if kernel.status == "eliminated"] if with_fastest else []
    return compare_samples(samples, margin, eliminated, _blocks(cell))


def _control_ratio(cell: Cell) -> Ratio | None:
    """Return the time of the A/A control over the time of its kernel; None if either has no samples."""
    kernel = cell.control and cell.by_name.get(cell.control.name)
    if not (cell.control and cell.control.samples and kernel and kernel.ranked):
        return None
    return quiet_ratio(cell.control.samples, kernel.samples, blocks=_blocks(cell))


def _rounds(cell: Cell) -> int:
    return max((len(kernel.samples) for kernel in cell.kernels if kernel.ranked), default=0)


def _blocks(cell: Cell) -> tuple[int, ...]:
    """Return the rounds of each block; nothing if they are not all rounds of the cell."""
    return cell.blocks if sum(cell.blocks) == _rounds(cell) else ()


def _display_order(cell: Cell) -> tuple[Any, ...]:
    return (cell.workload == GRID, cell.threads, cell.batch * cell.dim, cell.batch, cell.dtype)
