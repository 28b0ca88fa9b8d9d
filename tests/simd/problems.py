"""Arrays for the tests of numba_simd, and programs that run in processes of their own."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from numba.core.config import DISABLE_JIT

from softmax_impls import softmax, softmax_backward
from softmax_impls.backward import numba_simd
from softmax_impls.checks import reference
from softmax_impls.simd import sizes

ROOT = Path(__file__).parents[2]
DTYPES = ["float32", "float64"]
compiled_only = pytest.mark.skipif(DISABLE_JIT, reason="without the compiler there are no threads and no cache")


def problem(batch, dim, dtype, seed=0):
    rng = np.random.default_rng([seed, batch, dim])
    logits = rng.standard_normal((batch, dim)).astype(dtype)
    return softmax(logits), rng.standard_normal((batch, dim)).astype(dtype)


def assert_right(probs, grad, out):
    assert not reference.worst(probs, grad, out, reference.row_sums(probs, grad)).wrong


def run_as_large(probs, grad, out, nontemporal_from):
    """Compute a call of any size in this thread as a large call, with non-temporal stores above a number of bytes."""
    with mock.patch.object(sizes, "NONTEMPORAL_FROM", nontemporal_from):
        numba_simd.run_large(probs, grad, out, threads=1)


def run_program(code, **environment):
    """Run a program that knows these functions, and return its output."""
    program = f"import numpy as np\nfrom tests.simd.problems import *\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def two_threads_equal_one(seed):
    probs, grad = problem(256, 1000, "float32", seed)
    return bool(np.array_equal(softmax_backward(probs, grad, threads=2), softmax_backward(probs, grad, threads=1)))


def here_and_in_child_processes(method):
    """Whether calls of two threads are right in this process, and then in two child processes."""
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        return all([two_threads_equal_one(0), *executor.map(two_threads_equal_one, range(4), timeout=120)])


def all_paths_are_right():
    """Compute calls of all row lengths, with and without non-temporal stores and threads, and check each result."""
    for dtype in DTYPES:
        for dim in (1, 10, 17, 33, 1003):
            probs, grad = problem(7, dim, dtype)
            assert_right(probs, grad, softmax_backward(probs, grad))
            out = np.empty_like(probs)
            run_as_large(probs, grad, out, 0)
            assert_right(probs, grad, out)
        probs, grad = problem(400, 500, dtype)
        assert_right(probs, grad, softmax_backward(probs, grad, threads=2))
    return True
