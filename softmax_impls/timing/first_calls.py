"""The time of first calls, which compile a kernel or load it from a cache."""

import gc
import os
import subprocess
import sys
import tempfile
import time
import timeit
from functools import partial
from typing import Any

import numpy as np

from softmax_impls.formatting import KERNEL_ERRORS
from softmax_impls.implementation import Implementation, invoke

# A small call, and a call that is large enough to be shared among threads: compiled kernels treat them differently.
SHAPES = ((2, 3), (200, 300))

_FIRST_CALL = """
import sys, time, numpy
from softmax_impls import softmax_backward
name, batch, dim, dtype = sys.argv[1:]
probs = numpy.full((int(batch), int(dim)), 1 / int(dim), dtype)
out = numpy.empty_like(probs)
start = time.perf_counter()
softmax_backward(probs, probs, out=out, impl=name, threads=1)
print(time.perf_counter() - start)
"""


def first_calls(name: str, batch: int, dim: int, dtype: str) -> tuple[float, float]:
    """Return the seconds of the first call in each of two new processes.

    The first process compiles the kernel; the second loads it from a cache. Raise RuntimeError if a process fails.
    """
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", _FIRST_CALL, name, str(batch), str(dim), dtype]
        seconds, variables = [], {**os.environ, "NUMBA_CACHE_DIR": cache}
        for _ in range(2):
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
            seconds.append(float(done.stdout.split()[-1]))
    return seconds[0], seconds[1]


def first_call_seconds(implementation: Implementation, dtype: np.dtype[Any]) -> float:
    """Return the seconds by which first calls in this process take longer than second calls, added over `SHAPES`.

    Only kernels of the families "numba" and "user" are called on all `SHAPES`; others are called on the first shape.
    """
    seconds = 0.0
    for shape in SHAPES if implementation.family in ("numba", "user") else SHAPES[:1]:
        probs = np.full(shape, 1 / shape[1], dtype)
        out = np.empty_like(probs)
        call = partial(invoke, implementation.kernel, probs, probs, out=out)
        try:
            first, second = timeit.repeat(call, setup=gc.enable, number=1, repeat=2)
        except KERNEL_ERRORS:
            return seconds  # the checks report the failure
        seconds += max(0.0, first - second)
    return seconds


def start_compiler() -> float:
    """Start Numba's compiler and return the seconds that it takes, so that they do not count for the first kernel."""
    start = time.perf_counter()
    if numba := sys.modules.get("numba"):
        numba.njit(lambda: None)()
    return time.perf_counter() - start
