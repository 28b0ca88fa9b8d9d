"""The shapes that are timed, and their arrays."""

import math

import numpy as np
import pytest

from softmax_impls.timing import workloads
from softmax_impls.timing.workloads import LARGEST_GRID_CELL, WORKLOADS, CellKey, grid


def test_named_workloads_are_shapes_of_real_models():
    shapes = set(WORKLOADS.values())
    assert shapes == {(128, 10), (1024, 64), (256, 1000), (6144, 512), (512, 30522), (512, 50257), (1, 10), (1, 1000)}


def test_the_cells_of_the_grid_take_at_most_a_gigabyte():
    cells = [CellKey("", *shape, "float64", 1) for shape in grid()]
    assert len(cells) == 15
    assert all(key.elements <= LARGEST_GRID_CELL for key in cells)
    assert max(key.moved_bytes for key in cells) <= 1e9


def test_selection_by_name_and_shape():
    assert [name for name, *_ in workloads.select(["imagenet"], [(3, 4)])] == ["imagenet", workloads.CUSTOM]
    assert len(workloads.select([workloads.GRID])) == 15
    assert len(workloads.select()) == len(WORKLOADS) + 15


def test_workloads_on_another_axis_are_selected_by_name():
    (key,) = workloads.cell_keys(["channels"], [], ["float32"], [1])
    assert (key.batch, key.dim, key.shape, key.axis) == (6400, 10, (64, 10, 100), 1)
    probs, grad_output, out = workloads.arrays(key, seed=1)
    assert probs.shape == grad_output.shape == out.shape == key.shape
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-6)


def test_shapes_of_numpy_integers_are_shapes_of_integers():
    (key,) = workloads.cell_keys([], [(np.int64(3), np.int32(4))], ["float32"], [np.int64(1)])
    assert [type(size) for size in (key.batch, key.dim, key.threads)] == [int] * 3


@pytest.mark.parametrize("shapes", [(64, 1000), [(2.5, 3)], [(True, 3)], [(1, 2, 3)], [(64,)], ["64x10"]])
def test_shapes_that_are_no_pairs_of_integers_are_an_error(shapes):
    with pytest.raises(ValueError, match=r"shapes must be pairs of integers \(batch, dim\)"):
        workloads.cell_keys([], shapes, ["float32"], [1])


def test_arrays_depend_on_the_seed_and_have_the_cells_shape_and_dtype():
    key = CellKey("test", 3, 5, "float32", 1)
    probs, grad_output, out = workloads.arrays(key, seed=1)
    assert {array.dtype for array in (probs, grad_output, out)} == {np.dtype("float32")}
    assert probs.shape == grad_output.shape == out.shape == (3, 5)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(workloads.arrays(key, seed=1)[1], grad_output)
    assert not np.array_equal(workloads.arrays(key, seed=2)[1], grad_output)
    assert key.moved_bytes == 3 * 15 * 4
    assert math.isclose(key.elements, 15)


def test_arrays_lie_on_different_pages_16_bytes_from_their_beginning():
    addresses = [array.ctypes.data for array in workloads.arrays(CellKey("test", 3, 5, "float32", 1), seed=1)]
    assert [address % workloads.PAGE for address in addresses] == [16, 16, 16]
    assert len({address % workloads.HUGE_PAGE for address in addresses}) == 3


def test_the_checksum_changes_with_every_element():
    array = np.zeros((2, 2))
    before = workloads.checksum(array)
    array[1, 1] = -0.0
    assert workloads.checksum(array) != before
