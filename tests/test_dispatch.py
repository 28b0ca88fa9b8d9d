"""The rule of impl="auto", and explain."""

from dataclasses import replace

import numpy as np
import pytest

from softmax_impls import api, dispatch, explain, implementations, registry, softmax_backward


@pytest.fixture(params=[True, False])
def compiler(request, monkeypatch):
    rules = tuple(replace(r, holds=lambda: request.param) if r.impl == "numba_simd" else r for r in dispatch.RULES)
    monkeypatch.setattr(dispatch, "RULES", rules)
    monkeypatch.setattr(api, "_fast_path", api._FastPath())
    monkeypatch.setattr(registry, "resolved", {})
    return request.param


def test_auto_picks_an_implementation_that_is_accurate_on_saturated_rows(compiler):
    choice = explain((128, 1000), "float32")
    assert choice.impl == ("numba_simd" if compiler else "pivoted")
    assert implementations()[choice.impl].accurate_for == "logits"
    assert str(choice).startswith(f"{choice.impl}, for shape (128, 1000) of float32")
    assert choice.because in str(choice)


def test_auto_runs_the_implementation_that_explain_names(compiler):
    rng = np.random.default_rng(0)
    p, g = np.full((3, 7), 1 / 7), rng.standard_normal((3, 7))
    expected = softmax_backward(p, g, impl=explain(p.shape, p.dtype).impl)
    np.testing.assert_array_equal(softmax_backward(p, g), expected)


@pytest.mark.parametrize("shape", [5, (), (0, 3), (3, 0), [2, 3], (2, 3, 4)])
def test_explain_accepts_any_shape(shape):
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
def test_explain_refuses_bad_shapes_and_dtypes_by_name(arguments, error, match):
    with pytest.raises(error, match=match):
        explain(*arguments)


def test_explain_refuses_bad_threads_and_axes_by_name():
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        explain((2, 3), threads=0)
    with pytest.raises(ValueError, match="axis 5 is out of bounds"):
        explain((2, 3), axis=5)


@pytest.mark.parametrize(("value", "expected"), [("1", False), ("0", True), ("", True)])
def test_numba_disable_jit_switches_the_compiler_off(monkeypatch, value, expected):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", value)
    assert dispatch.has_compiler.__wrapped__() is expected


@pytest.mark.parametrize("shape", ["ab", np.array([3, 4]), (3, 4.0)])
def test_a_shape_that_is_not_made_of_integers_is_refused(shape):
    with pytest.raises(TypeError, match="shape must be"):
        explain(shape)
