"""Properties of the gradient of softmax at any input, within the bounds of rounding analysis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softmax_impls import softmax, softmax_backward
from softmax_impls.checks import bounds
from softmax_impls.checks.reference import row_sums
from softmax_impls.registry import names

from .values import exact_value

pytestmark = pytest.mark.parametrize("name", names())
properties = settings(max_examples=15, deadline=None)


@st.composite
def problems(draw, gradients=1, logit=30.0, gradient=1000.0):
    """Draw probabilities and gradients, (B, D) with B and D from 1 to 9, float32 or float64."""
    dtype = np.dtype(draw(st.sampled_from(["float32", "float64"])))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))

    def array(size):
        whole = draw(hnp.arrays(np.int16, shape, elements=st.integers(-1024, 1024)))
        return (whole / 1024 * size).astype(dtype)  # without rounding, in float32, too

    return softmax(array(logit)), *(array(gradient) for _ in range(gradients))


def bound(probs, grad_output):
    return row_sums(probs, grad_output).bound(probs)


def wide(array):
    return array.astype(np.float64)


@given(problem=problems())
@properties
def test_the_result_is_the_defined_value(name, problem):
    p, g = problem
    error = np.abs(wide(softmax_backward(p, g, impl=name)) - exact_value(p, g))
    assert (error <= bound(p, g)).all()


@given(problem=problems())
@properties
def test_rows_of_the_result_sum_to_zero(name, problem):
    p, g = problem
    result = wide(softmax_backward(p, g, impl=name))
    defect = np.abs(row_sums(p, g).defect) * np.abs(wide(g)).max(-1)  # Σ p (g - Σ p g) = Σ p g (1 - Σ p)
    assert (np.abs(result.sum(-1)) <= bound(p, g).sum(-1) * (1 + 1e-12) + 2 * defect).all()


@given(problem=problems(), data=st.data())
@properties
def test_permuting_rows_and_columns_permutes_the_result(name, problem, data):
    p, g = problem
    rows = data.draw(st.permutations(range(p.shape[0])))
    columns = data.draw(st.permutations(range(p.shape[1])))
    permuted = np.ix_(rows, columns)
    difference = (
        wide(softmax_backward(p[permuted], g[permuted], impl=name)) - wide(softmax_backward(p, g, impl=name))[permuted]
    )
    assert (np.abs(difference) <= 2 * bound(p, g)[permuted]).all()


@given(problem=problems(gradients=2), a=st.integers(-8, 8), b=st.integers(-8, 8))
@properties
def test_the_result_is_linear_in_g(name, problem, a, b):
    p, g, h = problem
    combined = (a * g + b * h).astype(p.dtype)
    expected = a * wide(softmax_backward(p, g, impl=name)) + b * wide(softmax_backward(p, h, impl=name))
    largest = np.maximum(np.abs(wide(g)), np.abs(wide(h))).max(-1, keepdims=True)
    rounding = 4 * (abs(a) + abs(b)) * wide(p) * largest * np.finfo(p.dtype).eps
    allowed = bound(p, combined) + abs(a) * bound(p, g) + abs(b) * bound(p, h) + rounding
    assert (np.abs(wide(softmax_backward(p, combined, impl=name)) - expected) <= allowed).all()


@given(problem=problems(gradients=2))
@properties
def test_the_jacobian_is_symmetric(name, problem):
    p, g, h = problem
    left = np.vecdot(wide(softmax_backward(p, g, impl=name)), wide(h))
    right = np.vecdot(wide(g), wide(softmax_backward(p, h, impl=name)))
    size = np.vecdot(wide(p), np.abs(wide(g) * wide(h)))
    rounding = bounds.gamma(4 * p.shape[1], np.dtype("float64")) * (
        size + np.abs(wide(g)).max(-1) * np.abs(wide(h)).max(-1)
    )
    allowed = np.vecdot(bound(p, g), np.abs(wide(h))) + np.vecdot(np.abs(wide(g)), bound(p, h)) + rounding
    assert (np.abs(left - right) <= allowed).all()


@given(problem=problems(logit=4.0), power=st.integers(-12, 12))
@properties
def test_scaling_g_by_a_power_of_two_scales_the_result_exactly(name, problem, power):
    # Nothing underflows at these sizes.
    p, g = problem
    scale = p.dtype.type(2.0**power)
    expected = scale * softmax_backward(p, g, impl=name)
    np.testing.assert_array_equal(softmax_backward(p, scale * g, impl=name), expected)
