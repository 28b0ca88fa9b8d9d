"""The cells of the asv suite, and how a cell is prepared before asv measures it.

No benchmark has a `setup`. With a `setup`, asv times single calls, and a call of a microsecond is too short for the
clock. Instead, a cell is prepared (arrays, compiling, one verified call) when asv asks whether to skip the cell. asv
asks once, before it measures, in the process that measures.

asv runs the current version of these files on old commits, too. The names and shapes are read from this checkout. The
public call and its verification are imported from the commit that is measured. So every name that these files import
from `softmax_impls` must exist in all commits.
"""

from __future__ import annotations

import contextlib
import functools
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
WORKLOADS = list(_workloads["WORKLOADS"])
OTHER_AXES = list(_workloads["OTHER_AXES"])  # workloads whose classes are not on the last axis
BATCHES = list(_workloads["GRID_BATCHES"])
DIMS = [dim for dim in _workloads["GRID_DIMS"] if dim <= 4096]
DTYPES = ["float32", "float64"]

MAX_ELEMENTS = 2**20  # of an array in a cell of the grid; workloads may have more
MAX_OPERATIONS = 5e7  # largest B · D² for loops and Jacobians, which are slow
MAX_TEMPORARIES = 2_000_000_000  # bytes of temporary memory of a call

Call = Callable[[], Any]
Arrays = tuple[Any, Any, Any]


class Skipped:
    """The combinations of parameters that cannot run here, for `skip_params` of asv.

    ``combination in skipped`` prepares the call that `run` makes.

    Parameters
    ----------
    prepare : callable
        Takes the parameters of a benchmark and returns a call. If there is nothing to measure, it returns None, and
        asv shows n/a.
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
        assert self.call is not None  # asv does not run skipped combinations
        return self.call()


def custom(batch: int, dim: int, dtype: str) -> Any:
    """Return the `CellKey` of a shape on one thread."""
    return _workloads["CellKey"](_workloads["CUSTOM"], batch, dim, dtype, 1)


def named(workload: str, dtype: str) -> Any:
    """Return the `CellKey` of a workload on one thread."""
    return _workloads["CellKey"](workload, *_workloads["sizes"](workload), dtype, 1)


def arrays(key: Any) -> Arrays:
    """Return probabilities, gradient and `out` of a cell; the same values each time."""
    placed: Arrays = _workloads["arrays"](key, 0)
    return placed


def kernel(name: str, key: Any) -> Any:
    """Return the public call with an implementation, as ``call(probs, grad_output, out=out)``.

    Return None if this commit does not have the implementation, or if the implementation needs too much memory or time
    on this cell.
    """
    implementation, shape = implementations().get(name), (key.batch, key.dim)
    if implementation is None or implementation.temporary_bytes(*shape, np.dtype(key.dtype)) > MAX_TEMPORARIES:
        return None
    if implementation.family in ("loop", "jacobian") and key.batch * key.dim**2 > MAX_OPERATIONS:
        return None
    options = {} if key.axis == -1 else {"axis": key.axis}
    if explain(shape, key.dtype).impl != name:
        options["impl"] = name
    return functools.partial(softmax_backward, **options) if options else softmax_backward


def verified(name: str, key: Any) -> Call | None:
    """Return a call of an implementation, after its result was verified on the same arrays.

    Return None where `kernel` returns None.

    Raises
    ------
    AssertionError
        If the result is wrong. asv reports the benchmark as failed.
    """
    run = kernel(name, key)
    if run is None:
        return None
    probs, grad_output, out = placed = arrays(key)
    out.fill(np.nan)
    call: Call = functools.partial(run, probs, grad_output, out=out)
    call()
    moved = (np.ascontiguousarray(np.moveaxis(array, key.axis, -1)) for array in placed)
    p, g, result = (array.reshape(key.batch, key.dim) for array in moved)
    worst = reference.worst(p, g, result, reference.row_sums(p, g))
    if worst.wrong:
        raise AssertionError(f"{name} is wrong at {key.shape_text} {key.dtype}: {worst}")
    return call


def warm_up() -> None:
    """Compile every kernel for both dtypes. asv imports this file once, and forks the processes that measure."""
    for name in implementations():
        for dtype in DTYPES:
            with contextlib.suppress(Exception):  # the kernel's own benchmarks report the failure
                verified(name, custom(2, 3, dtype))


warm_up()
