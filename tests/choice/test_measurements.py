"""Interpolation is exact for power laws, NaN outside, and its estimated error is large enough."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from softmax_impls.choice.measurements import UNKNOWN, Surface

GRID = [(b, d) for b in (1, 16, 256, 4096) for d in (16, 256, 4096)]


def surface(time, shapes=GRID):
    return Surface({(b, d): time(b, d) for b, d in shapes})


@settings(deadline=None)
@given(st.floats(1, 4096), st.floats(16, 4096), st.floats(-1, 2), st.floats(-1, 2))
def test_a_power_law_is_interpolated_exactly(b, d, m, n):
    found = surface(lambda b, d: 1e-9 * b**m * d**n)
    assert found.at((b, d)) == pytest.approx(1e-9 * b**m * d**n, rel=1e-9)
    assert found.likely_error == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("shape", [(1, 15), (8192, 256), (256, 5000), (100_000, 100_000)])
def test_outside_of_the_measured_shapes_it_is_nan(shape):
    assert math.isnan(surface(lambda b, d: b * d).at(shape))


def test_the_likely_error_is_at_least_the_error_between_the_shapes():
    """A call, a row and an element each have a cost, so the surface is bent between the shapes."""

    def time(b, d):
        return 3e-7 + 5e-8 * b + 1e-10 * b * d

    found = surface(time)
    between = [(b, d) for b in (2, 4, 50, 1000) for d in (30, 64, 1000, 2000)]
    errors = sorted(abs(math.log(found.at(shape) / time(*shape))) for shape in between)
    assert 0.01 < errors[-2] < math.log(found.likely_error)


def test_shapes_on_a_line_are_interpolated_along_it_only():
    line = surface(lambda b, d: d, [(1, 1000), (1, 10)])
    assert line.at((1, 100)) == pytest.approx(100)
    assert line.likely_error == UNKNOWN
    assert math.isnan(line.at((2, 100)))


def test_shapes_on_a_diagonal_have_values_at_the_shapes_only():
    diagonal = surface(lambda b, d: d, [(1, 10), (10, 100), (100, 1000)])
    assert math.isnan(diagonal.at((10, 101)))
    assert diagonal.at((10, 100)) == pytest.approx(100)


def test_a_single_shape_has_one_value():
    single = surface(lambda b, d: d, [(4, 7)])
    assert single.at((4, 7)) == pytest.approx(7)
    assert math.isnan(single.at((4, 8)))
    assert single.likely_error == UNKNOWN


def test_without_shapes_every_value_is_nan():
    assert math.isnan(Surface({}).at((1, 1)))
