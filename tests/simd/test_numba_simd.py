"""The vector kernel: the same at every length, alignment and number of threads, and safe wherever it is called."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from softmax_impls import softmax, softmax_backward, threads
from softmax_impls.backward import numba_simd
from softmax_impls.checks import reference
from softmax_impls.simd import pool

LENGTHS = [1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100]
LENGTHS += [] if numba_simd.DISABLE_JIT else [1000, 2048, 5003]  # interpreted, these take their time
DTYPES = ["float32", "float64"]
jit_only = pytest.mark.skipif(numba_simd.DISABLE_JIT, reason="there are no threads without the compiler")


def problem(rows, classes, dtype, seed=0, scale=1.0):
    rng = np.random.default_rng([seed, rows, classes])
    logits = (scale * rng.standard_normal((rows, classes))).astype(dtype)
    return softmax(logits), rng.standard_normal((rows, classes)).astype(dtype)


def shifted(array, elements):
    """The same values, beginning so many elements after a cache line does."""
    buffer = np.empty(array.size + 64 + elements, array.dtype)
    start = -(buffer.ctypes.data // array.itemsize) % (64 // array.itemsize) + elements
    view = buffer[start : start + array.size].reshape(array.shape)
    view[...] = array
    return view


def assert_right(probs, grad, out):
    assert not reference.worst(probs, grad, out, reference.row_sums(probs, grad)).wrong


@pytest.fixture
def streaming(monkeypatch):
    monkeypatch.setattr(numba_simd, "NONTEMPORAL_FROM", 0)
    monkeypatch.setattr(pool, "NONTEMPORAL_FROM", 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", LENGTHS)
def test_every_length_and_nothing_beside_it_is_written(classes, dtype):
    probs, grad = problem(13, classes, dtype)
    around = np.full(13 * classes + 64, 7, dtype)
    out = around[32:-32].reshape(13, classes)
    softmax_backward(probs, grad, out=out)
    assert_right(probs, grad, out)
    assert (around[:32] == 7).all()
    assert (around[-32:] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [3, 17, 33, 100, 1003])
def test_bits_do_not_depend_on_alignment_streaming_or_being_in_place(classes, dtype):
    probs, grad = problem(9, classes, dtype)
    expected = np.empty_like(probs)
    numba_simd.numba_simd(probs, grad, expected)
    for streamed_from in (1 << 40, 0):
        for offset in (0, 1, 3):
            p, g, out = (shifted(array, offset) for array in (probs, grad, np.zeros_like(probs)))
            for result in (out, g, p):
                numba_simd._alone(p, shifted(grad, offset) if result is p else g, result, streamed_from)
                np.testing.assert_array_equal(result, expected)


@jit_only
@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 300_001), (3, 40_000), (64, 1003), (5000, 10), (997, 33)])
def test_threads_give_the_same(shape, dtype, monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 3)
    probs, grad = problem(*shape, dtype)
    expected = softmax_backward(probs, grad, threads=1)
    for _ in range(5):
        found = softmax_backward(probs, grad, threads=3)
        if shape[0] >= 6:
            np.testing.assert_array_equal(found, expected)
        else:  # a long row's sum is taken by parts
            assert_right(probs, grad, found)
        np.testing.assert_array_equal(softmax_backward(probs, grad.copy(), out=grad.copy(), threads=3), found)


@pytest.mark.parametrize("threads", [1, 2])
def test_saturated_rows_are_exact_in_all_phases(threads):
    """Where the sum cancels, the second pass is taken: in one thread, and by parts of a row in several."""
    classes = 60_000
    logits = np.zeros((2, classes))
    logits[:, 12_345] = 60.0
    grad = np.zeros_like(logits)
    grad[:, 12_345] = 1.0
    rest = np.exp(-60.0) * (classes - 1)
    found = softmax_backward(softmax(logits), grad, threads=threads)
    np.testing.assert_allclose(found[:, 12_345], rest / (1 + rest) ** 2, rtol=1e-13)


@jit_only
def test_sixteen_python_threads_at_once():
    probs, grad = problem(256, 1000, "float64")
    expected = softmax_backward(probs, grad)
    start = threading.Barrier(16)

    def work(number):
        start.wait()
        return all(np.array_equal(softmax_backward(probs, grad, threads=1 + number % 2), expected) for _ in range(30))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))


def child(seed):
    probs, grad = problem(256, 1000, "float32", seed)
    return bool(np.array_equal(softmax_backward(probs, grad, threads=2), softmax_backward(probs, grad, threads=1)))


def children(method):
    """Do shared calls here, then in two child processes, and return whether all gave what one thread gives."""
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        return all([child(0), *pool.map(child, range(4), timeout=120)])


def run(code, **environment):
    program = f"import numpy as np\nfrom tests.backward.test_numba_simd import *\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@jit_only
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_inchild_processes_after_a_shared_call(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    assert run(f"print(children({method!r}))") == "True\n"


@jit_only
def test_in_joblib_workers():
    pytest.importorskip("joblib")
    code = "import joblib; print(child(0), all(joblib.Parallel(2)(joblib.delayed(child)(seed) for seed in range(4))))"
    assert run(code) == "True True\n"


EVERYTHING = """
for dtype in DTYPES:
    for classes in (1, 10, 17, 33, 1003):
        p, g = problem(7, classes, dtype)
        assert_right(p, g, softmax_backward(p, g))
        out = np.empty_like(p)
        numba_simd._alone(p, g, out, 0)
        assert_right(p, g, out)
for dtype in DTYPES:
    p, g = problem(400, 500, dtype)
    assert_right(p, g, softmax_backward(p, g, threads=2))
print("right")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
        {"NUMBA_DISABLE_JIT": "1"},
    ],
    ids=["generic", "AVX2", "interpreted"],
)
def test_any_processor(environment, tmp_path):
    if "CPU_NAME" in "".join(environment) and os.uname().machine != "x86_64":
        pytest.skip("these are x86's")
    assert run(EVERYTHING, NUMBA_CACHE_DIR=str(tmp_path), **environment) == "right\n"


@jit_only
@pytest.mark.slow
def test_two_processes_may_compile_at_once(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda _: run(EVERYTHING, NUMBA_CACHE_DIR=str(tmp_path)), range(2)))
    assert outputs == ["right\n"] * 2


@jit_only
@pytest.mark.slow
def test_a_cache_that_can_not_be_written_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run(EVERYTHING, NUMBA_CACHE_DIR=str(blocked)) == "right\n"


@jit_only
def test_threads_are_as_many_as_numba_may_use():
    code = """
from softmax_impls import explain
from softmax_impls import threads
print(threads.threads(), explain((400, 5000)).threads)
"""
    assert run(code, NUMBA_NUM_THREADS="1") == "1 1\n"


def test_threads_of_one_thread_are_not_another_ones():
    seen = []
    with threads.limited(1):
        thread = threading.Thread(target=lambda: seen.append(threads.threads()))
        thread.start()
        thread.join()
        assert threads.threads() == 1
    assert seen == [threads.threads()]


@pytest.mark.parametrize(
    ("threads", "error", "match"),
    [
        (0, ValueError, "threads must be at least 1, got 0"),
        (1.5, TypeError, "threads must be an int or None, got 1.5"),
        (True, TypeError, "threads must be an int or None, got True"),
    ],
)
def test_bad_threads(threads, error, match):
    with pytest.raises(error, match=match):
        softmax_backward([0.5, 0.5], [1.0, 0.0], threads=threads)


@jit_only
def test_interrupts_neither_hang_nor_lose_thepool():
    code = """
import signal, time
from softmax_impls.simd import pool
class Interrupt(KeyboardInterrupt): pass
def interrupt(*_): raise Interrupt
p, g = problem(300, 500, "float32")
softmax_backward(p, g)
signal.signal(signal.SIGALRM, interrupt)
seen, end = 0, time.perf_counter() + 3
while time.perf_counter() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-4 + seen % 7 * 1e-4)
        while True:
            softmax_backward(p, g)
    except Interrupt:
        seen += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert_right(p, g, softmax_backward(p, g))
print(seen > 100, pool.pool._words[pool.BUSY])
"""
    assert run(code) == "True 0\n"


@jit_only
def test_helpers_never_compile():
    code = """
import time
from softmax_impls.simd import pool
p, g = problem(300, 500, "float32")
for _ in range(20):
    softmax_backward(p, g, threads=2)
    time.sleep(0.02)
print(len(pool._help.signatures))
"""
    assert run(code) == "1\n"


@jit_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_softmax_returns_takes_the_short_way(dtype, monkeypatch):
    probs = softmax(np.zeros((2, 3), dtype))
    monkeypatch.setattr("softmax_impls.api.Layout", None)  # what the long way needs
    for grad in (np.ones_like(probs), np.ones_like(probs).astype(np.dtype(dtype).newbyteorder("="))):
        assert softmax_backward(probs, grad, axis=1).dtype is np.dtype(dtype)
