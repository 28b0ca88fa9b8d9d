"""What "auto" picks, and that it says so."""

import numpy as np
import pytest

from softmax_impls import api, dispatch, explain, implementations, softmax_backward


@pytest.fixture(params=[True, False])
def compiler(request, monkeypatch):
    monkeypatch.setattr(dispatch, "has_compiler", lambda: request.param)
    monkeypatch.setattr(api, "_if_small", None)
    return request.param


def test_picks_something_exact_and_explains_it(compiler):
    choice = explain((128, 1000), "float32")
    assert choice.impl == ("numba_simd" if compiler else "pivoted")
    assert implementations()[choice.impl].accurate_for == "logits"
    assert str(choice).startswith(f"{choice.impl}, for shape (128, 1000) of float32")
    assert choice.because in str(choice)


def test_auto_is_what_explain_says(compiler):
    rng = np.random.default_rng(0)
    p, g = np.full((3, 7), 1 / 7), rng.standard_normal((3, 7))
    expected = softmax_backward(p, g, impl=explain(p.shape, p.dtype).impl)
    np.testing.assert_array_equal(softmax_backward(p, g), expected)


@pytest.mark.parametrize("shape", [5, (), (0, 3), (3, 0), [2, 3], (2, 3, 4)])
def test_any_shape(shape):
    assert explain(shape).impl in implementations()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (((-1, 3),), ValueError, "shape must not have negative sizes"),
        (((1.5, 3),), TypeError, "float"),
        (((2, 3), "int64"), TypeError, "dtype must be float16, float32 or float64, got int64"),
        (((2, 3), "no such"), TypeError, "no such"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        explain(*arguments)


def test_bad_threads_and_axis():
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        explain((2, 3), threads=0)
    with pytest.raises(ValueError, match="axis 5 is out of bounds"):
        explain((2, 3), axis=5)


@pytest.mark.parametrize(("value", "expected"), [("1", False), ("0", True), ("", True)])
def test_compiler_switched_off(monkeypatch, value, expected):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", value)
    assert dispatch.has_compiler.__wrapped__() is expected


@pytest.mark.parametrize("shape", ["ab", np.array([3, 4]), (3, 4.0)])
def test_a_shape_that_is_none_is_refused_by_name(shape):
    with pytest.raises(TypeError, match="shape must be"):
        explain(shape)
