"""numba_simd gives the same result at every row length, alignment, kind of store, and on every processor."""

import os

import numpy as np
import pytest

from softmax_impls import implementations, softmax, softmax_backward
from softmax_impls.backward import numba_simd
from tests.simd.problems import (
    DISABLE_JIT,
    DTYPES,
    all_paths_are_right,
    assert_right,
    compiled_only,
    problem,
    run_as_large,
    run_program,
)

DIMS = [1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100]
DIMS += [] if DISABLE_JIT else [1000, 2048, 5003]  # the interpreter takes too long for these


def misaligned(array, elements):
    """Return a copy that begins this number of elements after the beginning of 4 KiB."""
    buffer = np.empty(array.size + 1024 + elements, array.dtype)
    start = -(buffer.ctypes.data // array.itemsize) % (4096 // array.itemsize) + elements
    view = buffer[start : start + array.size].reshape(array.shape)
    view[...] = array
    return view


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", DIMS)
def test_rows_of_every_length_are_right_and_memory_around_out_is_unchanged(dim, dtype):
    probs, grad = problem(13, dim, dtype)
    memory = np.full(13 * dim + 64, 7, dtype)
    out = memory[32:-32].reshape(13, dim)
    softmax_backward(probs, grad, out=out)
    assert_right(probs, grad, out)
    assert (memory[:32] == 7).all()
    assert (memory[-32:] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [3, 17, 33, 100, 1003])
def test_every_bit_is_the_same_at_any_alignment_with_nontemporal_stores_and_in_place(dim, dtype):
    probs, grad = problem(9, dim, dtype)
    expected = np.empty_like(probs)
    numba_simd.numba_simd(probs, grad, expected)
    for nontemporal_from in (1 << 40, 0):
        for offset, of_grad, of_out in ((0, 0, 0), (1, 1, 1), (3, 3, 3), (0, 5, 70), (900, 100, 901)):
            p, g, out = misaligned(probs, offset), misaligned(grad, of_grad), misaligned(np.zeros_like(probs), of_out)
            for result in (out, g, p):
                g = misaligned(grad, of_grad) if result is p else g
                run_as_large(p, g, result, nontemporal_from)
                np.testing.assert_array_equal(result, expected)


def extreme(probs, grad):
    """Return gradients in which the shift, the sum or the last difference of some rows overflows."""
    rng, largest = np.random.default_rng(0), np.finfo(grad.dtype).max
    extreme = grad.copy()
    extreme[1::3] = rng.uniform(-0.95, 0.95, extreme[1::3].shape) * largest
    extreme[4::6] = np.copysign(0.9 * largest, grad[4::6])
    extreme[np.arange(1, len(grad), 6), probs[1::6].argmax(-1)] = 0
    extreme[-1] = largest
    return extreme


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["numba_simd", "numba_pivoted", "pivoted"])
@pytest.mark.parametrize("dim", [2, 3, 8, 15, 16, 17, 31, 33, 64, 100, 130, 300, 1003])
def test_gradients_near_the_largest_number_are_right_and_change_no_other_row(dim, name, dtype):
    probs, ordinary = problem(14, dim, dtype)
    grad = extreme(probs, ordinary)
    expected = softmax_backward(probs, grad, impl=name)
    assert np.isfinite(expected).all()
    assert_right(probs, grad, expected)
    same = (grad == ordinary).all(axis=-1)
    np.testing.assert_array_equal(expected[same], softmax_backward(probs, ordinary, impl=name)[same])
    for which in implementations()[name].in_place:
        arrays = {"probs": probs.copy(), "grad_output": grad.copy()}
        found = softmax_backward(**arrays, out=arrays[which], impl=name)
        np.testing.assert_array_equal(found, expected)
    if name == "numba_simd":
        memory = np.full(14 * dim + 64, 7, dtype)
        with np.errstate(all="ignore"):  # without the compiler, NumPy computes
            run_as_large(probs, grad, memory[32:-32].reshape(14, dim), 0)  # with non-temporal stores
        np.testing.assert_array_equal(memory[32:-32].reshape(14, dim), expected)
        assert (memory[:32] == 7).all()
        assert (memory[-32:] == 7).all()


@pytest.mark.parametrize("dim", [33, 48])
def test_medium_rows_are_accurate_where_a_probability_is_near_one(dim):
    rng = np.random.default_rng(dim)
    logits, grad = 0.5 * rng.standard_normal((20_000, dim)), rng.standard_normal((20_000, dim)).astype(np.float32)
    logits[:, 0] += 6  # its probability is near 0.9
    exact_probs = softmax(logits)
    found = softmax_backward(exact_probs.astype(np.float32), grad)
    shifted = grad - grad[:, :1].astype(np.float64)
    expected = exact_probs * (shifted - np.vecdot(exact_probs, shifted)[:, np.newaxis])
    errors = np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)
    assert errors.max() < 16 * 2.0**-24  # of Σ p g without a shift, the largest error is over 40 units of rounding


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_rows_are_accurate_wherever_the_largest_probability_is(dtype):
    dim, rows = 3001, np.arange(97)
    largest = rows * (dim - 1) // 96
    logits, grad = np.zeros((97, dim), dtype), np.zeros((97, dim), dtype)
    for step in range(3):  # three classes have a p of about 1/3 and the same g, from which Σ p g hardly differs
        logits[rows, (largest + step) % dim] = 30 if step == 0 else 29.9
        grad[rows, (largest + step) % dim] = 1 / 3
    probs, found = softmax(logits), np.empty_like(grad)
    expected = softmax_backward(probs, grad, impl="pivoted")
    run_as_large(probs, grad, found, 1 << 40)  # with plain stores
    errors = np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)
    assert errors.max() < 16 * np.finfo(dtype).eps


@pytest.mark.parametrize("threads", [1, 2])
def test_saturated_rows_are_accurate_in_one_thread_and_where_threads_share_a_row(threads):
    dim = 60_000
    logits = np.zeros((3, dim))
    logits[:, 12_345] = 60.0
    grad = np.zeros_like(logits)
    grad[:, 12_345] = 1.0
    rest = np.exp(-60.0) * (dim - 1)
    found = softmax_backward(softmax(logits), grad, threads=threads)
    np.testing.assert_allclose(found[:, 12_345], rest / (1 + rest) ** 2, rtol=1e-13)


@compiled_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_from_softmax_take_the_fast_path(dtype, monkeypatch):
    probs = softmax(np.zeros((2, 3), dtype))
    monkeypatch.setattr("softmax_impls.api.general_path", None)
    for grad in (np.ones_like(probs), np.ones_like(probs).astype(np.dtype(dtype).newbyteorder("="))):
        assert softmax_backward(probs, grad, axis=1).dtype is np.dtype(dtype)


@pytest.mark.skipif(not DISABLE_JIT, reason="runs where NUMBA_DISABLE_JIT is set")
def test_results_are_right_without_the_compiler():
    assert all_paths_are_right()


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
    ],
    ids=["generic", "AVX2"],
)
def test_results_are_right_for_any_processor(environment, tmp_path):
    if os.uname().machine != "x86_64":
        pytest.skip("these are processors of the x86 family")
    assert run_program("print(all_paths_are_right())", NUMBA_CACHE_DIR=str(tmp_path), **environment) == "True\n"


def test_the_words_of_arrays_are_found_where_freed_memory_is_overwritten():
    assert run_program("print(all_paths_are_right())", PYTHONMALLOC="debug") == "True\n"


def test_arrays_that_the_compiled_code_cannot_take_are_refused():
    probs, kernel = np.full((32, 16), 0.25, "float32"), numba_simd.numba_simd
    unaligned = np.zeros(probs.nbytes + 1, np.uint8)[1:].view("float32").reshape(probs.shape)
    for other in (probs.astype("f8"), probs.astype(">f4"), np.asfortranarray(probs), probs[:3], probs[0], unaligned):
        for arrays in ((probs, other, probs.copy()), (probs, probs, other)):
            with pytest.raises(ValueError, match="the arrays do not fit"):
                kernel(*arrays)
    read_only = probs.copy()
    read_only.setflags(write=False)
    kernel(read_only, read_only, probs.copy())
    with pytest.raises(ValueError, match="the arrays do not fit"):
        kernel(probs, probs, read_only)
