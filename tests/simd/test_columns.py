"""Classes on other axes: right, and the same bits at any alignment, in place, and in any number of threads."""

import tracemalloc

import numpy as np
import pytest

from softmax_impls import softmax_backward
from softmax_impls.simd import columns, pool, sizes
from tests.simd.problems import DISABLE_JIT, DTYPES, assert_right, compiled_only, problem

# (outer, D, inner)
SHAPES = [(1, 1, 16), (2, 3, 17), (3, 2, 80), (2, 3, 144), (1, 40, 31), (1, 67, 24), (2, 3, 18), (1, 5, 36)]
SHAPES += [] if DISABLE_JIT else [(2, 21, 1040), (1, 1000, 100), (1, 5000, 33), (70, 10, 100)]


def columns_problem(shape, dtype):
    """Return rows, and the same as (outer, D, inner) arrays."""
    outer, dim, inner = shape
    rows = problem(outer * inner, dim, dtype)
    return rows, [np.ascontiguousarray(array.reshape(outer, inner, dim).swapaxes(1, 2)) for array in rows]


def as_rows(array):
    return np.ascontiguousarray(array.swapaxes(1, 2)).reshape(-1, array.shape[1])


def place(array, offset):
    """Return a copy that begins so many bytes after a cache line, and the memory around it."""
    memory = np.full(array.nbytes // array.itemsize + 256, 7, array.dtype)
    first = (-memory.ctypes.data % 64 + offset) // array.itemsize + 64 // array.itemsize
    view = memory[first : first + array.size].reshape(array.shape)
    view[...] = array
    return view, memory


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_columns_are_right_and_the_same_at_any_alignment_in_place_and_with_nontemporal_stores(
    shape, dtype, monkeypatch
):
    rows, (probs, grad) = columns_problem(shape, dtype)
    expected = np.empty_like(probs)
    columns.backward(probs, grad, expected, threads=1)
    assert_right(*rows, as_rows(expected))
    for nontemporal_from, offset in ((0, 0), (0, 8), (0, 16), (1 << 60, 8), (1 << 60, 48)):
        monkeypatch.setattr(sizes, "NONTEMPORAL_COLUMNS", nontemporal_from)
        out, memory = place(np.zeros_like(probs), offset)
        columns.backward(probs, grad, out, threads=1)
        np.testing.assert_array_equal(out, expected)
        out[...] = 7
        assert (memory == 7).all()
        for in_place in (0, 1):
            inputs = [place(array, offset)[0] for array in (probs, grad)]
            columns.backward(*inputs, inputs[in_place], threads=1)
            np.testing.assert_array_equal(inputs[in_place], expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_columns_with_nan_or_near_the_largest_number_change_no_other_column(shape, dtype):
    _, (probs, ordinary) = columns_problem(shape, dtype)
    grad, expected, found = ordinary.copy(), np.empty_like(probs), np.empty_like(probs)
    columns.backward(probs, ordinary, expected)
    special = np.zeros(shape[::2], bool)
    special[0, [1, 5, 16 - 1]] = special[-1, -1] = True
    huge, nan = (0, slice(None), [1, 5]), (-1, slice(None), -1)
    grad[huge] = np.copysign(0.9 * np.finfo(dtype).max, ordinary[huge])
    grad[nan] = np.nan
    huge_grad = grad.copy()
    with np.errstate(all="ignore"):  # without the compiler, NumPy computes
        columns.backward(probs, grad, found)
        columns.backward(probs, grad, grad)
    np.testing.assert_array_equal(grad, found)
    assert np.isnan(found[nan]).all()
    keep = ~special
    np.testing.assert_array_equal(np.moveaxis(found, 1, 2)[keep], np.moveaxis(expected, 1, 2)[keep])
    columns_of = [np.ascontiguousarray(array[0, :, [1, 5]]) for array in (probs, huge_grad, found)]
    assert_right(*columns_of)


@compiled_only
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 100, 5000), (30, 10, 800), (1, 20000, 40)])
def test_three_threads_give_the_result_of_one(shape, dtype, monkeypatch):
    monkeypatch.setattr(pool, "_pool", pool.Pool(3))
    _, (probs, grad) = columns_problem(shape, dtype)
    expected, found = np.empty_like(probs), np.empty_like(probs)
    columns.backward(probs, grad, expected, threads=1)
    for out in (found, grad):
        columns.backward(probs, grad, out, threads=3)
        np.testing.assert_array_equal(out, expected)


@compiled_only
@pytest.mark.parametrize(
    ("order", "threads"),
    [("C", 1), ("F", 1), ("strided", 1), ("float16", 1), pytest.param("C", 10**6, id="many threads")],
)
def test_other_axes_need_no_memory_that_grows_with_the_arrays_or_the_number_of_threads(order, threads):
    dtype = "float16" if order == "float16" else "float32"
    probs, grad, out = (np.full((40, 10, 10000), 0.02, dtype, order="F" if order == "F" else "C") for _ in range(3))
    if order == "strided":
        probs, grad, out = (array[::2, :, ::2] for array in (probs, grad, out))
    for axis in (0, 1, (0, 1)):
        softmax_backward(probs, grad, axis=axis, out=out, threads=threads)
        tracemalloc.start()
        softmax_backward(probs, grad, axis=axis, out=out, threads=threads)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4_000_000  # an array has 16 MB


@pytest.mark.parametrize("shape", [(0, 3, 20), (3, 0, 20), (3, 20, 0), (0, 20), (20, 0)])
def test_empty_arrays_have_empty_results_on_every_axis(shape):
    empty = np.empty(shape)
    for axis in range(-len(shape), len(shape)):
        assert softmax_backward(empty, empty, axis=axis).shape == shape


def test_another_axis_of_out_in_another_shape_or_partly_over_an_input_is_right_or_refused():
    probs, grad = np.random.default_rng(0).random((2, 4, 3, 20))
    expected = softmax_backward(probs, grad, axis=1)
    memory = np.empty(probs.size + 20)
    memory[20:] = grad.ravel()
    shifted, out = memory[20:].reshape(grad.shape), memory[:-20].reshape(grad.shape)
    np.testing.assert_array_equal(softmax_backward(probs, shifted, axis=1, out=out), expected)
    with pytest.raises(ValueError, match="shape"):
        softmax_backward(probs, grad, axis=1, out=np.empty((4, 3, 21)))
