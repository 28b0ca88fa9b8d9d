"""Several threads give the result of one thread, wherever a call comes from: threads, child processes, interrupts."""

import concurrent.futures
import multiprocessing
import sys
import threading
import weakref
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from softmax_impls import dispatch, explain, softmax_backward
from softmax_impls.backward import numba_simd
from softmax_impls.simd import columns, forward, pool, sizes, tasks
from softmax_impls.simd.sizes import DONE
from softmax_impls.threads import limit_threads, num_threads
from tests.simd.problems import DTYPES, assert_right, compiled_only, problem, run_program


@compiled_only
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 300_001), (2, 300_001), (3, 40_000), (64, 1003), (9000, 10), (2000, 33)])
def test_three_threads_with_nontemporal_stores_give_the_result_of_one_thread(shape, dtype, monkeypatch):
    monkeypatch.setattr(sizes, "NONTEMPORAL_FROM", 0)
    monkeypatch.setattr(pool, "_pool", pool.Pool(3))
    probs, grad = problem(*shape, dtype)
    expected = softmax_backward(probs, grad, threads=1)
    for _ in range(5):
        found = softmax_backward(probs, grad, threads=3)
        if shape[0] >= 3:
            np.testing.assert_array_equal(found, expected)
        else:  # threads share a row, and its sum is added up in another order
            assert_right(probs, grad, found)
        np.testing.assert_array_equal(softmax_backward(probs, grad.copy(), out=grad.copy(), threads=3), found)


@compiled_only
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 300_001), (3, 300_001), (64, 1003)])
def test_gradients_near_the_largest_number_are_right_in_rows_that_threads_share(shape, dtype, monkeypatch):
    monkeypatch.setattr(pool, "_pool", pool.Pool(3))
    probs, grad = problem(*shape, dtype)
    expected = softmax_backward(probs, grad, threads=3)
    largest = np.finfo(dtype).max
    huge = grad.copy()
    huge[1] = np.copysign(0.9 * largest, grad[1])
    in_place = huge.copy()
    for found in (softmax_backward(probs, huge, threads=3), softmax_backward(probs, in_place, out=in_place, threads=3)):
        assert_right(probs, huge, found)
        np.testing.assert_array_equal(np.delete(found, 1, axis=0), np.delete(expected, 1, axis=0))


@compiled_only
@pytest.mark.parametrize("in_place", [False, True])
def test_a_call_with_nan_is_computed_if_its_tasks_are_not_loaded(in_place):
    probs, grad = problem(50, 10, "float32")
    probs[3] = np.nan
    expected, out = softmax_backward(probs, grad), grad if in_place else np.zeros_like(grad)
    numba_simd.TASKS._addresses[:] = 0
    numba_simd.run_large(probs, grad, out, threads=1)
    np.testing.assert_array_equal(out, expected)


@compiled_only
def test_sixteen_python_threads_may_call_at_once():
    probs, grad = problem(256, 1000, "float64")
    expected = softmax_backward(probs, grad)
    start = threading.Barrier(16)

    def calls_are_right(number):
        start.wait()
        return all(np.array_equal(softmax_backward(probs, grad, threads=1 + number % 2), expected) for _ in range(30))

    with concurrent.futures.ThreadPoolExecutor(16) as executor:
        assert all(executor.map(calls_are_right, range(16)))


@compiled_only
@pytest.mark.parametrize("shape", [(256, 1000), (3, 300_001)])
def test_a_second_caller_computes_alone_while_the_pool_is_in_use(shape, monkeypatch):
    busy = pool.Pool(2)
    monkeypatch.setattr(pool, "_pool", busy)
    probs, grad = problem(*shape, "float64")
    expected = softmax_backward(probs, grad, threads=2)
    busy._words[pool.BUSY], ticket = 1, busy._words[pool.TICKET]
    np.testing.assert_array_equal(softmax_backward(probs, grad, threads=2), expected)
    assert busy._words[pool.TICKET] == ticket


@compiled_only
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes_may_call_after_their_parent_has_used_the_pool(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    assert run_program(f"print(here_and_in_child_processes({method!r}))") == "True\n"


@compiled_only
def test_joblib_workers_may_call():
    pytest.importorskip("joblib")
    code = """
import joblib
worker = joblib.delayed(two_threads_equal_one)
print(two_threads_equal_one(0), all(joblib.Parallel(2)(worker(seed) for seed in range(4))))
"""
    assert run_program(code) == "True True\n"


@compiled_only
def test_interrupted_calls_neither_hang_nor_leave_the_pool_in_use():
    code = """
import signal, time
from softmax_impls.simd import pool
class Interrupt(KeyboardInterrupt): pass
def interrupt(*_): raise Interrupt
p, g = problem(300, 500, "float32")
softmax_backward(p, g)
signal.signal(signal.SIGALRM, interrupt)
interrupts, end = 0, time.perf_counter() + 2
while time.perf_counter() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-4 + interrupts % 7 * 1e-4)
        while True:
            softmax_backward(p, g)
    except Interrupt:
        interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert_right(p, g, softmax_backward(p, g))
print(interrupts > 0, pool._pool._words[pool.BUSY])
"""
    assert run_program(code) == "True 0\n"


@compiled_only
def test_helper_threads_never_compile():
    code = """
import threading, time
from softmax_impls.simd import jit
compiling, threads = jit.Task._load, set()
jit.Task._load = lambda *arguments: threads.add(threading.current_thread().name) or compiling(*arguments)
p, g = problem(300, 500, "float32")
for _ in range(20):
    softmax_backward(p, g, threads=2)
    time.sleep(0.02)
print(threads)
"""
    assert run_program(code) == "{'MainThread'}\n"


@compiled_only
@pytest.mark.parametrize(("batch", "threads"), [(33, 1), (34, 2), (62, 2), (63, 3), (84, 4), (10_000, 4)])
def test_smaller_calls_use_fewer_threads(batch, threads, monkeypatch):
    monkeypatch.setattr(pool, "_pool", pool.Pool(4))
    monkeypatch.setattr(dispatch, "available_cores", lambda: 4)
    assert pool.team_for(3 * 4 * batch * 1000, 9)[0] == threads
    assert explain((batch, 1000), "float32", threads=9).threads == threads


@compiled_only
def test_calls_use_as_many_threads_as_numba_may():
    code = """
from softmax_impls import explain
from softmax_impls.threads import num_threads
print(num_threads(), explain((400, 5000)).threads)
"""
    assert run_program(code, NUMBA_NUM_THREADS="1") == "1 1\n"


def test_the_number_of_threads_is_known_while_another_thread_imports_numba(monkeypatch):
    expected = num_threads()
    for name in ("numba", "numba.core.config"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))  # without attributes yet
    assert num_threads() == expected


def test_limit_threads_affects_only_the_thread_that_calls_it():
    seen = []
    with limit_threads(1):
        thread = threading.Thread(target=lambda: seen.append(num_threads()))
        thread.start()
        thread.join()
        assert num_threads() == 1
    assert seen == [num_threads()]


@pytest.mark.parametrize(
    ("threads", "error", "match"),
    [
        (0, ValueError, "threads must be at least 1, got 0"),
        (1.5, TypeError, "threads must be an int or None, got 1.5"),
        (True, TypeError, "threads must be an int or None, got True"),
        (np.array([1, 2]), TypeError, r"threads must be an int or None, got array\(\[1, 2\]\)"),
    ],
)
def test_a_bad_number_of_threads_is_refused(threads, error, match):
    with pytest.raises(error, match=match):
        softmax_backward([0.5, 0.5], [1.0, 0.0], threads=threads)


@compiled_only
@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        (tasks, "_words", lambda p, g, out: forward.run(p, out)),
        (tasks, "_words", numba_simd.run_large),
        (columns, "_direct_words", lambda p, g, out: columns.direct_call(p, g, out, 1)),
    ],
)
def test_the_words_of_a_call_live_until_its_end_even_if_no_cache_holds_them(module, name, call, monkeypatch):
    uncached, kept, alive = getattr(module, name).__wrapped__, [], []

    def words(*arguments):
        packed, place = uncached(*arguments)
        kept.append(weakref.ref(packed))
        return packed, place

    def enter(*arguments):
        alive.append(kept[-1]() is not None)
        return DONE

    monkeypatch.setattr(module, name, words)
    monkeypatch.setattr(pool, "enter", SimpleNamespace(compiled=enter))
    shape = (2, 3, 40) if module is columns else (300, 500)
    call(*(np.ones(shape, np.float32) for _ in range(3)))
    assert alive == [True]
