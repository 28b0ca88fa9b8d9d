"""Which cells there are, and how one is made ready before asv's clock runs.

Where a benchmark has a `setup`, asv runs it again before every call and times calls one by one, which for a call of a
microsecond measures the clock. So none here has one. A cell is made ready (arrays, compiling, one verified call) when
asv asks whether it is to be skipped, which it does once, in the process that is going to time it, and before it does.

asv runs these files, as they are now, on old commits. So what is to be the same for all, names and shapes, is read from
this checkout; what is measured, and what it takes to verify it, is the commit's own.
"""

from __future__ import annotations

import contextlib
import functools
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from softmax_impls import implementations
from softmax_impls.checks import reference

PACKAGE = Path(__file__).parents[1] / "softmax_impls"
_workloads = runpy.run_path(str(PACKAGE / "timing" / "workloads.py"))

NAMES = sorted(file.stem for file in (PACKAGE / "backward").glob("[!_]*.py"))
WORKLOADS = {name: (one.rows, one.classes) for name, one in _workloads["WORKLOADS"].items()}
ROWS = list(_workloads["GRID_ROWS"])
CLASSES = [classes for classes in _workloads["GRID_CLASSES"] if classes <= 4096]
DTYPES = ["float32", "float64"]

LARGEST = 2**20  # elements of a cell of the grid: larger ones are among the workloads
MOST_OPERATIONS = 5e7  # B · D²: what loops and Jacobians take part in
LARGEST_TEMPORARIES = 2_000_000_000  # bytes

Call = Callable[[], Any]
Arrays = tuple[Any, Any, Any]


class Skipped:
    """The cells that can't run here, as asv's `skip_params` wants them. Asked for one, it makes it ready to be called.

    `make` takes a cell's parameters, and returns the call, or None if there is none: then it is n/a.
    """

    def __init__(self, make: Callable[..., Call | None]) -> None:
        self._make = make
        self._cell: object = None
        self.call: Call | None = None

    def __contains__(self, cell: tuple[Any, ...]) -> bool:
        if cell != self._cell:
            self._cell, self.call = cell, self._make(*cell)
        return self.call is None

    def run(self) -> Any:
        """Call what is ready."""
        assert self.call is not None  # asv does not run what it was told to skip
        return self.call()


def arrays(rows: int, classes: int, dtype: str) -> Arrays:
    """Return probabilities, gradient and an `out` to write, all of them touched; for a shape, always the same."""
    cell = _workloads["Cell"](_workloads["CUSTOM"], rows, classes, dtype, 1)
    probs, grad_output, out = _workloads["arrays"](cell, 0)
    out.fill(np.nan)
    return probs, grad_output, out


def kernel(name: str, rows: int, classes: int, dtype: str) -> Any:
    """Return an implementation's kernel, or None if this commit has not got it, or it would take too much here."""
    one = implementations().get(name)
    if one is None or one.too_large(rows, classes, np.dtype(dtype), LARGEST_TEMPORARIES):
        return None
    quadratic = one.family in ("loop", "jacobian")
    return None if quadratic and rows * classes**2 > MOST_OPERATIONS else one.kernel


def verified(name: str, rows: int, classes: int, dtype: str) -> Call | None:
    """Return a call of a kernel whose result was found right, or None; a wrong one raises, and so is reported."""
    run = kernel(name, rows, classes, dtype)
    if run is None:
        return None
    probs, grad_output, out = arrays(rows, classes, dtype)
    run(probs, grad_output, out)
    worst = reference.worst(probs, grad_output, out, reference.row_sums(probs, grad_output))
    if worst.wrong:
        raise AssertionError(f"{name} at {rows}×{classes} {dtype} is {worst.in_words()}")
    return functools.partial(run, probs, grad_output, out)


def warm_up() -> None:
    """Compile every kernel for both dtypes: asv's fork server imports this once, and cells are forked from it."""
    for name in implementations():
        for dtype in DTYPES:
            with contextlib.suppress(Exception):  # it is going to fail in cells of its own
                verified(name, 2, 3, dtype)


warm_up()
