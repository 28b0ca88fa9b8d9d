"""The backward pass by every implementation: time over batch and dim, on models' shapes, memory, bandwidth and error.

Kernels write into a given `out`, on one thread.
"""

from __future__ import annotations

import functools
import timeit
from typing import Any

import numpy as np

from benchmarks import _accuracy
from benchmarks._cells import (
    CLASSES,
    DTYPES,
    LARGEST,
    NAMES,
    ROWS,
    WORKLOADS,
    Call,
    Skipped,
    arrays,
    kernel,
    verified,
)

SAMPLE = 0.005  # seconds that a track_ benchmark measures at least, five times


def of_grid(name: str, rows: int, classes: int, dtype: str) -> Call | None:
    """Return the call of a cell of the grid."""
    return verified(name, rows, classes, dtype) if rows * classes <= LARGEST else None


def of_workload(name: str, workload: str, dtype: str) -> Call | None:
    """Return the call of a named cell."""
    return verified(name, *WORKLOADS[workload], dtype)


def unverified(name: str, workload: str, dtype: str) -> Call | None:
    """Return the same without a verification, which takes more memory than the call."""
    run = kernel(name, *WORKLOADS[workload], dtype)
    return run and functools.partial(run, *arrays(*WORKLOADS[workload], dtype))


class Grid:
    """Over batch and dim."""

    params = (NAMES, ROWS, CLASSES, DTYPES)
    param_names = ("implementation", "batch", "dim", "dtype")
    skip_params = Skipped(of_grid)
    version = "2"  # results stay comparable however this code is written; 2: arrays lie where `compare` has them
    warmup_time = 0.05
    repeat = (3, 10, 0.5)

    def time_kernel(self, *cell: Any) -> None:
        """Seconds of one call."""
        self.skip_params.run()


class Workload:
    """On the shapes that real models have."""

    params = (NAMES, list(WORKLOADS), DTYPES)
    param_names = ("implementation", "workload", "dtype")
    skip_params = Skipped(of_workload)
    version = "2"
    warmup_time = 0.05
    repeat = (3, 10, 0.5)

    def time_kernel(self, *cell: Any) -> None:
        """Seconds of one call."""
        self.skip_params.run()


class Bandwidth:
    """What a kernel makes of the memory, where the arrays fit the caches and where they don't."""

    params = (NAMES, ["imagenet", "attention"], DTYPES)
    param_names = ("implementation", "workload", "dtype")
    skip_params = Skipped(of_workload)
    version = "2"
    unit = "GB/s"

    def track_bandwidth(self, name: str, workload: str, dtype: str) -> float:
        """Bytes that nobody can avoid to move, two reads and a write, per nanosecond of the median call."""
        timer = timeit.Timer(self.skip_params.run)
        number, seconds = 1, timer.timeit(1)
        while seconds < SAMPLE:
            number *= 4
            seconds = timer.timeit(number)
        rows, classes = WORKLOADS[workload]
        moved = 3 * rows * classes * np.dtype(dtype).itemsize
        return float(moved * number / np.median(timer.repeat(5, number)) / 1e9)


class Memory:
    """Of a process that has made the arrays, and called once."""

    params = (NAMES, ["digits", "attention"], DTYPES)
    param_names = ("implementation", "workload", "dtype")
    skip_params = Skipped(unverified)
    version = "1"

    def peakmem_kernel(self, *cell: Any) -> None:
        """Peak memory of the process."""
        self.skip_params.run()


class Accuracy:
    """Against the logits' true gradient, where rows are ordinary and where they are saturated."""

    params = (NAMES, list(_accuracy.FAMILIES), DTYPES)
    param_names = ("implementation", "family", "dtype")
    skip_params = Skipped(_accuracy.measurement)
    version = "1"
    unit = "units of rounding"

    def track_error(self, *cell: Any) -> float:
        """The worst row's error over its largest gradient, in units of rounding of the dtype."""
        return float(self.skip_params.run())
