"""Numeric gradients are as accurate as the analysis states, and misuse raises clear errors."""

import numpy as np
import pytest

from softmax_impls import numeric_gradient
from softmax_impls.checks.gate import NUMERIC_FAMILIES, numeric_gradients
from softmax_impls.checks.inputs import cases


def cubic(x):
    return (x**3).sum()


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [({}, 1e-9), ({"step": 1e-3}, 2e-6), ({"method": "complex"}, 1e-15), ({"method": "complex", "step": 1e-20}, 1e-15)],
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)])
def test_the_gradient_of_a_cubic_is_accurate(options, tolerance, shape):
    x = np.random.default_rng(0).random(shape)
    gradient = numeric_gradient(cubic, x, **options)
    np.testing.assert_allclose(gradient, 3 * x**2, atol=tolerance)
    assert gradient.dtype == np.float64
    assert gradient.shape == shape


def test_f_receives_float64_copies_and_x_is_not_modified():
    x = np.arange(3, dtype="f4")
    x.flags.writeable = False
    dtypes = []

    def f(point):
        dtypes.append(point.dtype)
        point[...] = 7
        return 0.0

    np.testing.assert_array_equal(numeric_gradient(f, x), np.zeros(3))
    assert set(dtypes) == {np.dtype("f8")}
    np.testing.assert_array_equal(x, [0, 1, 2])


@pytest.mark.parametrize("x", [1e-3, 1.0, 1e10, -1e100])
@pytest.mark.parametrize("method", ["central", "complex"])
def test_the_default_step_grows_with_x(x, method):
    np.testing.assert_allclose(numeric_gradient(lambda x: (x**2).sum(), [x], method=method), [2 * x], rtol=1e-9)


@pytest.mark.parametrize("method", ["central", "complex"])
def test_at_the_largest_number_the_step_does_not_overflow(method):
    largest = np.finfo(np.float64).max
    np.testing.assert_allclose(numeric_gradient(lambda x: x.sum(), [-largest, largest], method=method), 1)


@pytest.mark.parametrize("convert", [np.float32, float, lambda value: np.array([value])])
@pytest.mark.parametrize("x", [0.5, 30.0, 1e5])
def test_a_function_that_computes_in_float32_is_given_a_larger_step(convert, x):
    def f(point):
        return convert(np.sum(point.astype("f4") ** 2, dtype="f4"))

    np.testing.assert_allclose(numeric_gradient(f, [x]), [2 * x], rtol=1e-3)


def test_a_function_that_computes_in_complex64_keeps_its_digits():
    gradient = numeric_gradient(lambda x: (x.astype("c8") ** 2).sum() * np.complex64(1e-6), [3.0], method="complex")
    np.testing.assert_allclose(gradient, [6e-6], rtol=1e-5)


def test_a_corner_close_to_x_is_not_crossed_by_a_larger_step():
    """Both values are 0, which float32 holds exactly, too. The step for float32 would give a slope of 0.3."""
    assert numeric_gradient(lambda x: np.maximum(x, 0).sum(), [-1e-3]) == [0.0]


@pytest.mark.parametrize("integer", [int, np.uint8, np.int64])
def test_a_function_may_return_an_integer(integer):
    assert numeric_gradient(lambda x: integer(x[0] < 2), [2.0]) < 0


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((None, [1.0]), {}, TypeError, "f must be callable, got NoneType"),
        ((cubic, [1j]), {}, TypeError, "x must hold .* got dtype complex128"),
        ((cubic, [1.0]), {"method": "forward"}, ValueError, "method must be 'central' or 'complex', got 'forward'"),
        ((cubic, [1.0]), {"step": 0}, ValueError, "step must be positive and finite, got 0"),
        ((cubic, [1.0]), {"step": np.inf}, ValueError, "step must be positive and finite"),
        ((cubic, [1.0]), {"step": np.nan}, ValueError, "step must be positive and finite"),
        ((cubic, [1.0]), {"step": "small"}, ValueError, "step must be positive and finite, got 'small'"),
        ((cubic, [1e20]), {"step": 1e-5}, ValueError, r"step 1e-05 is too small: x\[0\] = 1e\+20 does not"),
        (
            (lambda x: np.float32(x[0]), [1.0]),
            {"step": 1e-9},
            ValueError,
            "step 1e-09 is too small: ",
        ),
        ((lambda x: None, [1.0]), {}, TypeError, "f must return a real number for method='central', got NoneType"),
        ((lambda x: "1.0", [1.0]), {}, TypeError, "f must return a real number for method='central', got str"),
        ((lambda x: x[0] > 0, [1.0]), {}, TypeError, "f must return a real number for method='central', got bool"),
        ((lambda x: cubic(x + 0j), [1.0]), {}, TypeError, "f must return a real number .*, got complex128"),
        ((lambda x: None, [1.0]), {"method": "complex"}, TypeError, "f must return a complex number .*, got NoneType"),
        ((lambda x: np.ma.masked, [1.0]), {}, TypeError, "the value of f must not be a masked array"),
        ((lambda x: x, [1.0, 2.0]), {}, ValueError, r"f must return a scalar, got shape \(2,\)"),
        ((lambda x: cubic(x.real), [1.0]), {"method": "complex"}, TypeError, "f must return a complex number"),
    ],
)
def test_misuse_raises(arguments, options, error, match):
    with pytest.raises(error, match=match):
        numeric_gradient(*arguments, **options)


@pytest.fixture(params=NUMERIC_FAMILIES)
def numeric(request):
    """The case of a family, and its numeric gradients."""
    case = next(case for case in cases("float64", 0) if case.family == request.param)
    return case, numeric_gradients(case)


def test_bounds_of_numeric_gradients_hold(numeric):
    case, found = numeric
    assert len(found) == 3
    for method, gradient, bound in found:
        assert (case.given_logits.error_of(gradient) <= bound).all(), method


def test_the_bound_on_the_truncation_error_is_within_a_factor_of_30_of_the_error(numeric):
    case, found = numeric
    method, gradient, bound = found[0]
    assert "step 0.001" in method
    assert case.given_logits.error_of(gradient).max() > bound.max() / 30
