"""The forward pass is right at every row length, alignment and number of threads."""

import mpmath
import numpy as np
import pytest

from softmax_impls import softmax
from softmax_impls.checks import bounds
from softmax_impls.simd import exponential, forward, pool
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import task
from tests.simd.problems import DISABLE_JIT, DTYPES, compiled_only
from tests.simd.test_numba_simd import DIMS, misaligned


def logits_of(batch, dim, dtype, scale=3.0):
    return (scale * np.random.default_rng([batch, dim]).standard_normal((batch, dim))).astype(dtype)


def assert_right(x, probs):
    exact = np.exp(x.astype(np.longdouble) - x.max(axis=-1, keepdims=True))
    exact /= exact.sum(axis=-1, keepdims=True)
    assert (np.abs(probs - exact) <= bounds.forward(x, exact.astype(np.float64))).all()


@task()
def exponentials_of(call, x, _, out, start, stop):
    for k in range(start, stop, vec.lanes(x)):
        vec.store(out, k, exponential.exp(x, vec.load(x, k)))
    return stop


@np.errstate(all="ignore")  # without the compiler, NumPy computes
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_exponential_is_accurate_to_a_unit_in_the_last_place(dtype):
    lowest = {"float32": -104.0, "float64": -745.2}[dtype]
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(lowest, 0, 1000), -(10.0 ** rng.uniform(-20, 1, 1000)), np.zeros(48)]).astype(dtype)
    x[-4:] = np.nextafter(x.dtype.type(lowest), -np.inf), -1e30, -np.inf, np.nan
    found = np.empty_like(x)
    pool.run(exponentials_of, x, x, found, pool.ALONE, {pool.ITEMS: x.size})
    np.testing.assert_array_equal(found[-4:], [0, 0, 0, np.nan])
    with mpmath.workdps(40):
        exact = [mpmath.ldexp(mpmath.exp(mpmath.mpf(float(value))), exponential.SCALE) for value in x[:-4]]
        errors = [abs(mpmath.mpf(float(value)) - e) for value, e in zip(found, exact, strict=False)]
    units = np.array([float(error) for error in errors]) / np.spacing(found[:-4]).astype(np.float64)
    assert units.max() <= 1
    assert found[-5] == 2.0**exponential.SCALE  # exp(0) is exact


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_probabilities_are_rounded_once(dtype):
    depth = {"float32": [88.0, 95.5, 103.2, 104.5], "float64": [709.0, 730.25, 744.5, 745.5]}[dtype]
    x = np.array([[0.0, -d] for d in depth], dtype)
    with mpmath.workdps(40):
        exact = np.array([float(mpmath.exp(-d)) for d in depth])
    np.testing.assert_array_equal(softmax(x)[:, 1], exact.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", DIMS)
def test_rows_of_every_length_are_right_and_memory_around_out_is_unchanged(dim, dtype):
    x = logits_of(13, dim, dtype)
    memory = np.full(13 * dim + 64, 7, dtype)
    out = memory[32:-32].reshape(13, dim)
    assert softmax(x, out=out) is out
    assert_right(x, out)
    assert (memory[:32] == 7).all()
    assert (memory[-32:] == 7).all()


@np.errstate(all="ignore")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [3, 16, 17, 33, 100, 1003])
def test_every_bit_is_the_same_at_any_alignment_and_in_place(dim, dtype):
    x = logits_of(9, dim, dtype)
    expected = np.empty_like(x)
    forward.run(x, expected)
    for offset in (0, 1, 3):
        same = misaligned(x, offset)
        memory = np.full(9 * dim + 64, 7, dtype)
        for out in (memory[32:-32].reshape(9, dim), same):
            forward.run(same, out)
            np.testing.assert_array_equal(out, expected)
        assert (memory[:32] == 7).all()
        assert (memory[-32:] == 7).all()


@np.errstate(all="ignore")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [2, 16, 19, 100])
def test_rows_with_nan_and_inf_become_nan_and_change_no_other_row(dim, dtype):
    x = logits_of(14, dim, dtype)
    expected, largest = np.empty_like(x), np.finfo(dtype).max
    forward.run(x, expected)
    special = x.copy()
    special[1, 0], special[3, -1], special[5, dim // 2] = np.nan, np.nan, np.inf
    special[7], special[9], special[9, -1] = -np.inf, -np.inf, 3
    special[11], special[11, 0] = -largest, largest
    found = np.empty_like(x)
    forward.run(special, found)
    assert np.isnan(found[[1, 3, 5, 7]]).all()
    for row, top in ((9, -1), (11, 0)):
        assert found[row, top] == 1
        assert np.count_nonzero(found[row]) == 1
    np.testing.assert_array_equal(found[::2], expected[::2])


@compiled_only
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 300_001), (2, 300_001), (3, 40_000), (64, 1003), (9000, 10), (2000, 33)])
def test_three_threads_give_the_result_of_one_thread(shape, dtype, monkeypatch):
    monkeypatch.setattr(pool, "_pool", pool.Pool(3))
    x = logits_of(*shape, dtype)
    x[-1, 5:] = -np.inf
    expected = np.empty_like(x)
    forward.run(x, expected, threads=1)
    for _ in range(5):
        found, in_place = np.empty_like(x), x.copy()
        forward.run(x, found, threads=3)
        forward.run(in_place, in_place, threads=3)
        np.testing.assert_array_equal(in_place, found)
        if shape[0] >= 3:
            np.testing.assert_array_equal(found, expected)
        else:  # threads share a row, and its sum is added up in another order
            assert_right(x, found)


@compiled_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_arrays_take_the_fast_path(dtype, monkeypatch):
    x = logits_of(2, 3, dtype)
    expected = softmax(x.tolist()).astype(dtype)
    monkeypatch.setattr("softmax_impls.api.run_arrays", None)  # the general path
    for axis in (-1, 1):
        np.testing.assert_allclose(softmax(x, axis=axis), expected, rtol=1e-6)
    assert softmax(np.empty((0, 3), dtype)).shape == (0, 3)


@pytest.mark.skipif(DISABLE_JIT, reason="compiles")
def test_half_precision_is_computed_in_single_precision():
    x = logits_of(5, 30, "float16")
    np.testing.assert_array_equal(softmax(x), softmax(x.astype("float32")).astype("float16"))
