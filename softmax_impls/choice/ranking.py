"""Rank the kernels of each measured cell. All figures, tables and pages, and `choose`, use this one ranking."""

import math
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, replace
from functools import cache, cached_property
from typing import Any

from softmax_impls.choice.sure import disturbances, is_well_ahead
from softmax_impls.formatting import KERNEL_ERRORS
from softmax_impls.implementation import Accuracy, Implementation
from softmax_impls.registry import get, is_ours
from softmax_impls.results.runs import Run, interval_of
from softmax_impls.results.store import PACKAGES
from softmax_impls.timing import statistics
from softmax_impls.timing.environment import environment, is_here
from softmax_impls.timing.records import Cell, Environment, KernelResult
from softmax_impls.timing.statistics import Comparison, Ratio
from softmax_impls.timing.workloads import GRID, CellKey

# If a predicted time is less than this multiple of the fastest time, a verdict is not sure. Predictions from small
# calls were up to 8 times too long.
PREDICTED_NEAR = 10.0
BASELINE = "column_loop"  # the loop of the original program; speed-ups are relative to it

KindKey = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Ranked:
    """A cell and the comparison of its kernels."""

    cell: Cell  # only with the samples of quiet rounds; used for times
    every_round: Cell  # with all samples; used for comparisons
    key: CellKey
    kernels: Mapping[str, KernelResult]  # all kernels by name, also those that are not ranked
    comparison: Comparison | None  # None if the cell has no verified times
    noise: float | None  # relative difference between the A/A control and its kernel; None without a control

    @property
    def winners(self) -> tuple[str, ...]:
        """The fastest kernel and the kernels that tie with it; empty if nothing is ranked."""
        return (self.comparison.best, *self.comparison.ties) if self.comparison else ()

    @cached_property
    def sure(self) -> bool:
        """Whether a single winner is well ahead of all others, on a quiet machine that ran the threads side by side."""
        if self.comparison is None or self.comparison.ties:
            return False
        best, ratios = self.comparison.best, self.comparison.ratios
        ahead = all(is_well_ahead(self.every_round, self.kernels, best, name, ratio) for name, ratio in ratios.items())
        predicted = [kernel.seconds or 0.0 for kernel in self.kernels.values() if kernel.status == "extrapolated"]
        far = all(seconds >= PREDICTED_NEAR * self.seconds for seconds in predicted)
        return ahead and far and not any(disturbances(self.every_round))

    @cached_property
    def accurate_only(self) -> "Ranked | None":
        """The same cell, with a comparison of the kernels that stay accurate on saturated rows; None if none does."""
        accurate = [name for name, kernel in self.kernels.items() if kernel.ranked and accuracy_of(kernel) == "logits"]
        return replace(self, comparison=compare_some(self, accurate)) if accurate else None

    @property
    def seconds(self) -> float:
        """Seconds of a call of the fastest kernel; NaN if nothing is ranked."""
        seconds = self.kernels[self.comparison.best].seconds if self.comparison else None
        return math.nan if seconds is None else seconds

    @property
    def gigabytes_per_second(self) -> float:
        """Bandwidth of the fastest kernel in 10⁹ bytes per second, counting two reads and one write of (B, D)."""
        return self.key.moved_bytes / self.seconds / 1e9

    @property
    def speedup(self) -> tuple[float, bool] | None:
        """Time of `BASELINE` over the fastest time, and whether the first is extrapolated; None without these times."""
        baseline = self.kernels.get(BASELINE)
        if baseline is None or baseline.seconds is None or self.comparison is None:
            return None
        return baseline.seconds / self.seconds, baseline.status == "extrapolated"

    def share_of_roofline(self, name: str) -> Ratio | None:
        """Return the roofline's time over the kernel's time, from samples of the same rounds; None if unknown."""
        samples = self.kernels[name].samples
        return statistics.paired_ratio(self.cell.roofline.samples, samples) if self.cell.roofline and samples else None

    def ratio(self, name: str) -> Ratio | None:
        """Return the time of a kernel over the time of the fastest; None for a kernel that is not ranked."""
        if self.comparison is None:
            return None
        return Ratio(1.0, 1.0, 1.0) if name == self.comparison.best else self.comparison.ratios.get(name)

    def times_best(self, name: str) -> float:
        """Return the time of a kernel over the time of the fastest as a number; inf for a kernel that is not ranked."""
        ratio = self.ratio(name)
        return ratio.value if ratio else math.inf

    def as_dict(self) -> dict[str, Any]:
        """Return the ranking as a dictionary for JSON."""
        speedup, roofline, comparison = self.speedup, self.cell.roofline, self.comparison
        return {
            **asdict(self.key),
            "winners": self.winners,
            "sure": self.sure,
            "seconds": self.seconds if comparison else None,
            "gigabytes_per_second": self.gigabytes_per_second if comparison else None,
            "speedup_over_source": speedup and speedup[0],
            "speedup_is_extrapolated": speedup and speedup[1],
            "roofline_seconds": roofline and roofline.seconds,
            "noise": self.noise,
            "margin": comparison and comparison.margin,
            "implementations": {
                name: {
                    **{field: getattr(kernel, field) for field in ("status", "note", "verified", "seconds")},
                    "interval": interval_of(kernel),
                    "rounds": len(self.every_round.by_name[name].samples),
                    "times_the_fastest": (ratio := self.ratio(name)) and astuple(ratio),
                    "share_of_roofline": (share := self.share_of_roofline(name)) and astuple(share),
                }
                for name, kernel in self.kernels.items()
            },
        }


@dataclass(frozen=True)
class RankedRun:
    """A run, and its cells with the ranking of each cell. The cells are in the order in which they are shown."""

    run: Run
    cells: list[Ranked]


def is_from(run: Run, machine: str) -> bool:
    """Whether a run is from `machine`.

    If `machine` is the name of the machine that runs this process, its host must also be the run's host, if known.
    """
    return run.machine == machine and (machine != environment().machine or is_here(machine, run.host))


def kind_of(about: Environment) -> KindKey:
    """Return the key of a machine's kind: processor, cores, system, and the versions that all times depend on."""
    return about.machine, tuple(sorted(pair for pair in about.versions.items() if pair[0] in PACKAGES))


@cache
def ours(name: str) -> Implementation | None:
    """Return this package's implementation with this name; None if there is none, or if it can't be used here."""
    with suppress(*KERNEL_ERRORS):  # importing another library can fail in any way
        record = get(name)
        return record if is_ours(record) else None
    return None


def accuracy_of(kernel: KernelResult) -> Accuracy | None:
    """Return what a kernel is accurate for: as its result states or, if it does not, as our kernel of this name is."""
    record = ours(kernel.name) if kernel.accurate_for is None else None
    return record.accurate_for if record else kernel.accurate_for


def rank(cell: Cell) -> Ranked:
    """Rank the verified and timed kernels of a cell; the A/A control decides which differences are noise."""
    kernels = {name: kernel for name, kernel in cell.by_name.items() if kernel.ranked}
    control, ratio = cell.control, None
    if control and control.samples and control.name in kernels:
        ratio = statistics.control_ratio(control.samples, kernels[control.name].samples, _blocks(cell))
    noise = max(ratio.value, 1 / ratio.value) - 1 if ratio else None
    comparison = _compare(cell, kernels, statistics.margin_from(ratio)) if kernels else None
    quiet = cell.undisturbed()
    return Ranked(quiet, cell, cell.key, quiet.by_name, comparison, noise)


def rank_all(cells: Iterable[Cell]) -> list[Ranked]:
    """Rank cells, and sort them: named workloads before the grid, then by threads, size and dtype."""
    ordered = sorted(
        cells, key=lambda cell: (cell.workload == GRID, cell.threads, cell.batch * cell.dim, cell.batch, cell.dtype)
    )
    return [rank(cell) for cell in ordered]


def rank_run(run: Run) -> RankedRun:
    """Rank all cells of a run."""
    return RankedRun(run, rank_all(run.cells))


def compare_some(ranked: Ranked, names: Collection[str]) -> Comparison:
    """Compare only the ranked kernels in `names`.

    If the fastest kernel of the cell is not in `names`, eliminated kernels may tie with the fastest of `names`: they
    were slower than the fastest kernel of the cell, but perhaps not slower than the others.
    """
    assert ranked.comparison is not None
    if set(names) == {ranked.comparison.best, *ranked.comparison.ratios}:
        return ranked.comparison
    return _compare(ranked.every_round, names, ranked.comparison.margin, with_fastest=ranked.comparison.best in names)


def _compare(cell: Cell, names: Collection[str], margin: float, with_fastest: bool = True) -> Comparison:
    """Compare the kernels in `names`. A kernel is slower if the interval of its ratio lies above 1 + `margin`.

    If `with_fastest` is false, eliminated kernels may tie. In results of `compare`, a kernel with fewer samples than
    others was eliminated. In results of other tools, or if all kernels in `names` were eliminated, the number of
    samples says nothing about speed. Then each kernel counts with as many samples as the kernel with the fewest.
    """
    kernels = [kernel for name, kernel in cell.by_name.items() if name in names]
    lengths = [len(kernel.samples) for kernel in kernels]
    paired = cell.tool == "compare" and max(lengths) == _rounds(cell)
    samples = {kernel.name: kernel.samples[: None if paired else min(lengths)] for kernel in kernels}
    eliminated = [kernel.name for kernel in kernels if with_fastest and kernel.status == "eliminated"]
    return statistics.compare_samples(samples, margin, eliminated, _blocks(cell), cell.disturbed)


def _rounds(cell: Cell) -> int:
    return max((len(kernel.samples) for kernel in cell.kernels if kernel.ranked), default=0)


def _blocks(cell: Cell) -> tuple[int, ...]:
    """Return the number of rounds of each block; no blocks if their sum is not the number of rounds of the cell."""
    return cell.blocks if sum(cell.blocks) == _rounds(cell) else ()
