"""Numeric gradients: accurate as the analysis says, and helpful when misused."""

import numpy as np
import pytest

from softmax_impls import numeric_gradient
from softmax_impls.checks.gradients import gradients


def cubic(x):
    return (x**3).sum()


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [({}, 1e-9), ({"step": 1e-3}, 2e-6), ({"method": "complex"}, 1e-15), ({"method": "complex", "step": 1e-20}, 1e-15)],
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)])
def test_gradient_of_a_cubic(options, tolerance, shape):
    x = np.random.default_rng(0).random(shape)
    found = numeric_gradient(cubic, x, **options)
    np.testing.assert_allclose(found, 3 * x**2, atol=tolerance)
    assert found.dtype == np.float64
    assert found.shape == shape


def test_x_is_float64_and_stays_as_it_was():
    x = np.arange(3, dtype="f4")
    x.flags.writeable = False
    seen = []

    def f(at):
        seen.append(at.dtype)
        at[...] = 7  # what f does to its argument is its own affair
        return 0.0

    np.testing.assert_array_equal(numeric_gradient(f, x), np.zeros(3))
    assert set(seen) == {np.dtype("f8")}
    np.testing.assert_array_equal(x, [0, 1, 2])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((None, [1.0]), {}, TypeError, "f must be callable, got NoneType"),
        ((cubic, [1j]), {}, TypeError, "x must hold .* got dtype complex128"),
        ((cubic, [1.0]), {"method": "forward"}, ValueError, "method must be 'central' or 'complex', got 'forward'"),
        ((cubic, [1.0]), {"step": 0}, ValueError, "step must be positive and finite, got 0"),
        ((cubic, [1.0]), {"step": np.inf}, ValueError, "step must be positive and finite"),
        ((cubic, [1.0]), {"step": np.nan}, ValueError, "step must be positive and finite"),
        ((cubic, [1e20]), {}, ValueError, r"step 1e-05 vanishes beside x\[0\] = 1e\+20"),
        ((lambda x: x, [1.0, 2.0]), {}, ValueError, r"f must return a scalar, got shape \(2,\)"),
        ((lambda x: cubic(x.real), [1.0]), {"method": "complex"}, TypeError, "f must compute in complex numbers"),
    ],
)
def test_misuse(arguments, options, error, match):
    with pytest.raises(error, match=match):
        numeric_gradient(*arguments, **options)


def test_bounds_are_neither_missed_nor_slack():
    """The truncation of the source's step shows: its bound is within a factor of 30 of what is seen."""
    for case, method, gradient, bound in gradients():
        error = case.given_logits.error_of(gradient)
        assert (error <= bound).all()
        if "step 0.001" in method:
            assert error.max() > bound.max() / 30
