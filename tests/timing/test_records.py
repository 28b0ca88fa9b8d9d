"""Values of measurements are changed to values that a record may hold."""

import math

import pytest

from softmax_impls.timing.records import KernelResult, finite, rounded, storable


def test_control_characters_are_replaced_and_long_text_is_cut():
    assert storable("a\x1b[31m\u202eb\nc", 100) == "a [31m b c"
    assert storable("x" * 3000, 2000) == "x" * 2000


def test_samples_have_six_significant_digits():
    assert rounded([1.23456789e-6, 2.0]) == (1.23457e-6, 2.0)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -1.0])
def test_numbers_that_json_cannot_hold_are_left_out(value):
    assert finite(value) is None


def test_a_timed_kernel_must_have_samples():
    with pytest.raises(ValueError, match="status 'timed' without samples"):
        KernelResult(name="a")
