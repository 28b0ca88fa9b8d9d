"""Time and peak memory of every implementation, for asv: found by name, verified once per cell, compiled before."""

import time

import numpy as np

from softmax_impls import implementations, softmax
from softmax_impls.backward import names
from softmax_impls.checks import reference
from softmax_impls.contract import Array

SHAPES = {"1x10": (1, 10), "128x10": (128, 10), "128x1000": (128, 1000), "4096x512": (4096, 512)}
DTYPES = ["float32", "float64"]
SAMPLE = 1e-3  # seconds that a sample lasts at least; a longer call is a sample of its own
MOST_OPERATIONS = 2e8  # B · D²: what loops and Jacobians take part in


class Backward:
    """The kernel alone, into a given `out`."""

    params = (names(), list(SHAPES), DTYPES)
    param_names = ("implementation", "shape", "dtype")

    def setup(self, name: str, shape: str, dtype: str) -> None:
        """Make the arrays, compile, and verify; a cell that can't run is n/a."""
        rows, classes = SHAPES[shape]
        known = implementations()
        if name not in known:  # asv asks an old commit for the implementations of a newer one
            raise NotImplementedError(f"there is no {name} in this commit")
        one = known[name]
        quadratic = one.family in ("loop", "jacobian") and rows * classes**2 > MOST_OPERATIONS
        if quadratic or one.too_large(rows, classes, np.dtype(dtype)):
            raise NotImplementedError(f"{name} at {shape} would take too long or too much memory")
        rng = np.random.default_rng(0)
        self.probs: Array = softmax(rng.standard_normal((rows, classes)).astype(dtype))
        self.grad_output: Array = rng.standard_normal((rows, classes)).astype(dtype)
        self.out = np.zeros_like(self.probs)
        self.kernel = one.kernel
        self.kernel(self.probs, self.grad_output, self.out)
        worst = reference.worst(
            self.probs, self.grad_output, self.out, reference.row_sums(self.probs, self.grad_output)
        )
        if worst.wrong:
            raise AssertionError(f"{name} is {worst.in_words()}")
        # asv would time single calls where there is a setup: say how many make a sample.
        start = time.perf_counter()
        self.kernel(self.probs, self.grad_output, self.out)
        self.number = max(1, round(SAMPLE / (time.perf_counter() - start)))

    def time_kernel(self, name: str, shape: str, dtype: str) -> None:
        """Seconds of one call."""
        self.kernel(self.probs, self.grad_output, self.out)

    def peakmem_kernel(self, name: str, shape: str, dtype: str) -> None:
        """Peak memory of the process."""
        self.kernel(self.probs, self.grad_output, self.out)
