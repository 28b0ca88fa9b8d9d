"""The arrays of a cell."""

import numpy as np
import pytest

from softmax_impls.checks import reference
from softmax_impls.timing.kernel import CellArrays
from softmax_impls.timing.workloads import LARGEST_DRAWN, CellKey, drawn_rows, sizes

KEYS = [
    CellKey("custom", *shape, "float32", 1)
    for shape in (
        (1, 10), (3, 1), (700, 1000), (5, LARGEST_DRAWN // 3), (drawn_rows(10**6, 3000) + 1, 3000), (10**5, 7),
    )
]  # fmt: skip
CHANNELS = CellKey("channels", *sizes("channels"), "float64", 1)


@pytest.mark.parametrize("key", [*KEYS, CHANNELS], ids=str)
def test_sums_of_repeated_rows_are_those_of_all_rows(key):
    arrays = CellArrays(key, seed=0)
    for gradient, sums in zip(arrays.gradients, arrays.sums, strict=True):
        probs, grad_output = (np.moveaxis(a, key.axis, -1).reshape(-1, key.dim) for a in (arrays.probs, gradient))
        expected = vars(reference.row_sums(probs.copy(), grad_output.copy()))
        for name, values in vars(sums).items():
            np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("key", [CellKey("custom", 2000, 600, "float64", 1), CHANNELS], ids=str)
def test_the_two_gradients_differ_in_every_row(key):
    first, second = CellArrays(key, seed=0).gradients
    assert (first != second).any(axis=key.axis).all()


@pytest.mark.parametrize("key", [CellKey("custom", 40, 300, "float32", 1), CHANNELS], ids=str)
def test_a_change_of_any_input_is_noticed_and_taken_back(key):
    arrays = CellArrays(key, seed=0)
    for array in (arrays.probs, *arrays.gradients):
        for index in ((0,) * array.ndim, (-1,) * array.ndim):
            before = array[index]
            array[index] += 1
            assert arrays.restore_inputs()
            assert array[index] == before
            assert not arrays.modified
