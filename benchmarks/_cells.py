"""The cells of the asv suite, and how a cell is prepared before asv measures it.

No benchmark has a `setup`. With a `setup`, asv times single calls, and for a call of a microsecond that measures the
clock. Instead, a cell is prepared (arrays, compiling, one verified call) when asv asks whether to skip it. asv asks
once, before it measures, in the process that measures.

asv runs these files, as they are now, on old commits. So names and shapes are read from this checkout; the public call
and its verification are those of the commit. What is imported from `softmax_impls` must exist in all of its editions.
"""

from __future__ import annotations

import contextlib
import functools
import math
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from softmax_impls import explain, implementations, softmax_backward
from softmax_impls.checks import reference

PACKAGE = Path(__file__).parents[1] / "softmax_impls"
_workloads = runpy.run_path(str(PACKAGE / "timing" / "workloads.py"))

NAMES = sorted(file.stem for file in (PACKAGE / "backward").glob("[!_]*.py"))
WORKLOADS: dict[str, tuple[int, int]] = _workloads["WORKLOADS"]  # batch and dim
OTHER_AXES: dict[str, tuple[tuple[int, ...], int]] = _workloads["OTHER_AXES"]  # shape, and axis of the classes
BATCHES = list(_workloads["GRID_BATCHES"])
DIMS = [dim for dim in _workloads["GRID_DIMS"] if dim <= 4096]
DTYPES = ["float32", "float64"]

MAX_ELEMENTS = 2**20  # of a cell of the grid; the workloads have larger arrays
MAX_OPERATIONS = 5e7  # B · D² of loops and Jacobians, which are slow
MAX_TEMPORARIES = 2_000_000_000  # bytes

Call = Callable[[], Any]
Arrays = tuple[Any, Any, Any]


class Skipped:
    """The combinations of parameters that cannot run here, for `skip_params` of asv.

    ``combination in skipped`` prepares the call that `run` makes.

    Parameters
    ----------
    prepare : callable
        Takes the parameters, and returns a call; or None if there is nothing to measure, which asv shows as n/a.
    """

    def __init__(self, prepare: Callable[..., Call | None]) -> None:
        self._prepare = prepare
        self._combination: object = None
        self.call: Call | None = None

    def __contains__(self, combination: tuple[Any, ...]) -> bool:
        if combination != self._combination:
            self._combination, self.call = combination, self._prepare(*combination)
        return self.call is None

    def run(self) -> Any:
        """Make the call that was prepared last."""
        assert self.call is not None  # asv does not run what is skipped
        return self.call()


def arrays(batch: int, dim: int, dtype: str) -> Arrays:
    """Return probabilities, gradient and `out`, (B, D) each; the same values each time."""
    key = _workloads["CellKey"](_workloads["CUSTOM"], batch, dim, dtype, 1)
    placed: Arrays = _workloads["arrays"](key, 0)
    return placed


def kernel(name: str, batch: int, dim: int, dtype: str) -> Any:
    """Return the public call with an implementation, as ``call(probs, grad_output, out=out)``.

    Return None if this commit does not have it, or if it needs too much memory or time for the shape.
    """
    implementation = implementations().get(name)
    if implementation is None or implementation.too_large(batch, dim, np.dtype(dtype), MAX_TEMPORARIES):
        return None
    if implementation.family in ("loop", "jacobian") and batch * dim**2 > MAX_OPERATIONS:
        return None
    is_default = explain((batch, dim), dtype).impl == name
    return softmax_backward if is_default else functools.partial(softmax_backward, impl=name)


def verified(name: str, batch: int, dim: int, dtype: str) -> Call | None:
    """Return a call of an implementation, after its result was verified on the same arrays; None as `kernel`.

    Raises
    ------
    AssertionError
        If the result is wrong. asv reports the benchmark as failed.
    """
    run = kernel(name, batch, dim, dtype)
    return run and _verified(run, arrays(batch, dim, dtype), -1, f"{name} is wrong at {batch}×{dim} {dtype}")


def verified_on_axis(name: str, workload: str, dtype: str) -> Call | None:
    """As `verified`, for a workload of OTHER_AXES."""
    shape, axis = OTHER_AXES[workload]
    run = kernel(name, math.prod(shape) // shape[axis], shape[axis], dtype)
    if run is None:
        return None
    placed = _workloads["arrays_on_axis"](shape, axis, dtype, 0)
    return _verified(functools.partial(run, axis=axis), placed, axis, f"{name} is wrong for {workload} {dtype}")


def _verified(run: Callable[..., Any], placed: Arrays, axis: int, problem: str) -> Call:
    """Return the call on these arrays, with the classes on an axis; AssertionError if its result is wrong."""
    probs, grad_output, out = placed
    out.fill(np.nan)
    call = functools.partial(run, probs, grad_output, out=out)
    call()
    moved = (np.ascontiguousarray(np.moveaxis(array, axis, -1)) for array in placed)
    p, g, result = (array.reshape(-1, array.shape[-1]) for array in moved)
    worst = reference.worst(p, g, result, reference.row_sums(p, g))
    if worst.wrong:
        raise AssertionError(f"{problem}: {worst}")
    return call


def warm_up() -> None:
    """Compile every kernel for both dtypes. asv imports this file once, and forks the processes that measure."""
    for name in implementations():
        for dtype in DTYPES:
            with contextlib.suppress(Exception):  # it fails again in its own benchmarks, which report it
                verified(name, 2, 3, dtype)


warm_up()
