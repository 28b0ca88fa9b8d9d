"""The backward pass by each implementation: time over batch and dim, time on shapes of models, memory and errors.

The public call writes into a given `out`, on one thread.
"""

from __future__ import annotations

import functools
import timeit
from typing import Any

import numpy as np

from benchmarks import _accuracy
from benchmarks._cells import (
    BATCHES,
    DIMS,
    DTYPES,
    MAX_ELEMENTS,
    NAMES,
    OTHER_AXES,
    WORKLOADS,
    Call,
    Skipped,
    arrays,
    custom,
    kernel,
    named,
    verified,
)

SAMPLE_SECONDS = 0.005  # shortest sample of a track_ benchmark, which takes five samples


def prepare_grid(name: str, batch: int, dim: int, dtype: str) -> Call | None:
    """Return a verified call for a cell of the grid."""
    return verified(name, custom(batch, dim, dtype)) if batch * dim <= MAX_ELEMENTS else None


def prepare_workload(name: str, workload: str, dtype: str) -> Call | None:
    """Return a verified call for a workload."""
    return verified(name, named(workload, dtype))


def prepare_unverified(name: str, workload: str, dtype: str) -> Call | None:
    """Return a call for a workload. The result is not verified: that would take more memory."""
    run = kernel(name, named(workload, dtype))
    if run is None:
        return None
    probs, grad_output, out = arrays(named(workload, dtype))
    return functools.partial(run, probs, grad_output, out=out)


class _Calls:
    version = "3"  # asv does not compare results of two versions; 3: the public call, not the kernel, is timed
    warmup_time = 0.05
    repeat = (3, 10, 0.5)


class Grid(_Calls):
    """Time over batch and dim."""

    params = (NAMES, BATCHES, DIMS, DTYPES)
    param_names = ("implementation", "batch", "dim", "dtype")
    skip_params = Skipped(prepare_grid)

    def time_kernel(self, *combination: Any) -> None:
        """Seconds of a call."""
        self.skip_params.run()


class Workload(_Calls):
    """Time on shapes of real models."""

    params = (NAMES, WORKLOADS, DTYPES)
    param_names = ("implementation", "workload", "dtype")
    skip_params = Skipped(prepare_workload)

    def time_kernel(self, *combination: Any) -> None:
        """Seconds of a call."""
        self.skip_params.run()


class OtherAxes(_Calls):
    """Time where the classes are not on the last axis."""

    params = (NAMES, OTHER_AXES, DTYPES)
    param_names = ("implementation", "workload", "dtype")
    skip_params = Skipped(prepare_workload)

    def time_call(self, *combination: Any) -> None:
        """Seconds of a call."""
        self.skip_params.run()


class Bandwidth:
    """Memory bandwidth, for arrays that fit the caches and for arrays that do not."""

    params = (NAMES, ["imagenet", "attention"], DTYPES)
    param_names = ("implementation", "workload", "dtype")
    skip_params = Skipped(prepare_workload)
    version = "3"
    unit = "GB/s"

    def track_bandwidth(self, name: str, workload: str, dtype: str) -> float:
        """Bytes of two reads and one write of (B, D), divided by the median time of a call; in GB/s."""
        timer = timeit.Timer(self.skip_params.run)
        number, seconds = 1, timer.timeit(1)
        while seconds < SAMPLE_SECONDS:
            number *= 4
            seconds = timer.timeit(number)
        moved_bytes = named(workload, dtype).moved_bytes
        return float(moved_bytes * number / np.median(timer.repeat(5, number)) / 1e9)


class Memory:
    """Peak memory of a process that creates the arrays and makes one call."""

    params = (NAMES, ["digits", "attention"], DTYPES)
    param_names = ("implementation", "workload", "dtype")
    skip_params = Skipped(prepare_unverified)
    version = "2"

    def peakmem_kernel(self, *combination: Any) -> None:
        """Peak memory in bytes."""
        self.skip_params.run()


class Accuracy:
    """Error against the exact gradient with respect to the logits, for ordinary rows and for saturated rows."""

    params = (NAMES, list(_accuracy.FAMILIES), DTYPES)
    param_names = ("implementation", "family", "dtype")
    skip_params = Skipped(_accuracy.prepare)
    version = "1"
    unit = "units of rounding"

    def track_error(self, *combination: Any) -> float:
        """Largest relative error of a row, in units of rounding of the dtype; see `_accuracy.largest_error`."""
        return float(self.skip_params.run())
