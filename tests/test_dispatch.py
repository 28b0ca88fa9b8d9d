"""The rule of impl="auto", and explain."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from softmax_impls import api, calls, dispatch, explain, implementations, registry, softmax, softmax_backward


@pytest.fixture
def unloaded(monkeypatch):
    fresh = calls.FastPath()
    for module in (api, calls):
        monkeypatch.setattr(module, "fast_path", fresh)
    monkeypatch.setattr(registry, "resolved", {})
    monkeypatch.setattr(dispatch, "_failures", set())


@pytest.fixture(params=[True, False])
def compiler(request, monkeypatch, unloaded):
    monkeypatch.setattr(dispatch, "has_compiler", lambda: request.param)
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


BREAK_AN_INTRINSIC = """
import importlib, sys, warnings
import numpy as np
from numba.extending import intrinsic
from softmax_impls import explain, softmax, softmax_backward
from softmax_impls.simd import lowering, operators

def broken(*arguments):
    raise NotImplementedError("no such instruction")

for place in sys.argv[1].split():
    module, _, name = place.rpartition(".")
    module = importlib.import_module(f"softmax_impls.{module}")
    function = getattr(module, name)
    if function in operators.OPERATIONS:
        operators.OPERATIONS[function] = broken
    else:
        setattr(module, name, intrinsic(broken))
powers, grad = np.exp(np.arange(6.0).reshape(2, 3)), np.eye(2, 3)
probs = powers / powers.sum(axis=-1, keepdims=True)
if sys.argv[2] == "general":
    grad = grad.astype(grad.dtype.newbyteorder())
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    results = [softmax_backward(probs, grad) for _ in range(3)]
    np.testing.assert_allclose(softmax(np.log(powers)), probs, rtol=1e-14)
np.testing.assert_allclose(results, [softmax_backward(probs, grad, impl="pivoted")] * 3, rtol=1e-14)
(warning,) = caught
print(warning.category.__name__, explain(3).impl, "|", warning.message)
"""


@pytest.mark.skipif(not dispatch.has_compiler(), reason="runs where Numba compiles")
@pytest.mark.slow  # it compiles with an empty cache
@pytest.mark.parametrize("path", ["fast", "general"])
@pytest.mark.parametrize(
    ("places", "impl"),
    [
        ("simd.vectors.argmax", "numba_pivoted"),
        ("simd.vectors.argmax backward.numba_pivoted.scaled_row", "pivoted"),
    ],
)
def test_auto_falls_back_with_one_warning_where_an_intrinsic_cannot_be_compiled(places, impl, path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BREAK_AN_INTRINSIC, places, path],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith(f"RuntimeWarning {impl} | numba_simd can't be compiled here"), done.stderr
    assert "no such instruction" in done.stdout


@pytest.mark.parametrize("path", ["fast", "general"])
def test_auto_raises_the_error_of_its_last_rule(path, monkeypatch, unloaded):
    def fails(*arguments):
        raise ArithmeticError("of the last rule")

    monkeypatch.setattr(dispatch, "has_compiler", lambda: False)
    failing = replace(registry.get("pivoted"), kernel=fails)
    monkeypatch.setattr(registry, "get", lambda name: failing)
    with pytest.raises(ArithmeticError, match="of the last rule"):
        softmax_backward(np.ones((2, 3)), np.ones((2, 3), "f8" if path == "fast" else ">f8"))


def test_an_implementation_that_fails_in_several_threads_costs_no_other_implementation(monkeypatch):
    monkeypatch.setattr(dispatch, "_failures", set())
    with pytest.warns(RuntimeWarning, match="numba_simd can't be compiled here") as warned:
        assert [dispatch.fall_back("numba_simd", ValueError("no")) for _ in range(3)] == [True] * 3
    assert len(warned) == 1
    assert dispatch.compiles("numba_pivoted") == dispatch.has_compiler()


@pytest.mark.skipif(not dispatch.has_compiler(), reason="runs where Numba compiles")
@pytest.mark.parametrize("error", [TimeoutError, Exception, type("Alarm", (Exception,), {})])
def test_an_exception_of_a_signal_handler_is_raised_and_no_reason_to_fall_back(error, unloaded, monkeypatch):
    def interrupted(*arguments):
        raise error("time is up")

    array = np.full((1, 2), 0.5)
    softmax_backward(array, array)
    softmax(array)
    monkeypatch.setattr(api.fast_path, "small", interrupted)
    for call in (lambda: softmax_backward(array, array), lambda: softmax(array)):
        with pytest.raises(error, match="time is up"):
            call()
    assert explain(3).impl == "numba_simd"


def test_auto_works_where_warnings_are_errors_from_the_second_call_on(monkeypatch):
    monkeypatch.setattr(dispatch, "_failures", set())
    with pytest.raises(RuntimeWarning, match="can't be compiled here"):
        dispatch.fall_back("numba_simd", ValueError("no"))
    assert dispatch.fall_back("numba_simd", ValueError("no"))
    assert explain(3).impl != "numba_simd"


def test_a_new_kernel_for_each_call_is_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(registry, "resolved", {})
    array = np.full((1, 2), 0.5)
    for number in range(calls.MAX_RESOLVED + 20):
        softmax_backward(array, array, impl=lambda probs, grad_output, out, number=number: out.fill(number))
        assert len(registry.resolved) <= calls.MAX_RESOLVED
