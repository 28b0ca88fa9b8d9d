"""Compute arrays of any layout, without copies of whole arrays.

A computation takes C-contiguous arrays (outer, D, inner), with the classes on the axis in the middle. Arrays can be
viewed like this if they are contiguous, with the same order of axes, and with the classes on adjacent axes. Other
arrays (strided, float16, or with different orders of axes) are copied block by block. A block fits the cache.
Registered kernels take rows. So `run_rows` copies columns to rows, a block at a time.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.layout import Axis, Layout, as_real_arrays

Compute = Callable[..., Any]  # compute(*inputs, result): (outer, D, inner) each; the result may be one of the inputs

NARROW_BLOCK = 1 << 15  # elements of an array that `run_rows` copies to rows at a time
BLOCK_BYTES = 1 << 18  # per block of one array: it fits the caches, and NumPy's call overhead hardly counts
NARROWEST_BLOCK = 64  # columns at least in a block: NumPy copies shorter pieces of a row more slowly
PLAIN = (np.dtype(np.float32), np.dtype(np.float64))


def run_arrays(compute: Compute, given: dict[str, Any], axis: Axis, out: Array | None) -> Array:
    """Call `compute` on arrays of any layout, `given` by argument name; return the result in the caller's layout."""
    if (result := _run_plain(compute, [*given.values()], axis, out)) is not None:
        return result
    arrays = as_real_arrays(given)
    return _run_blocks(compute, [*arrays.values()], Layout.of(arrays, axis), out)


def _run_plain(compute: Compute, inputs: list[Any], axis: Axis, out: Any) -> Array | None:
    """Call `compute` on C- or F-contiguous arrays of one dtype, with classes on one axis; return None for others."""
    # On a small call, this function takes as long as the computation. So it makes as few NumPy calls as possible.
    first = inputs[0]
    if type(first) is not np.ndarray or type(axis) is not int or (dtype := first.dtype) not in PLAIN:
        return None
    shape, ndim, transposed = first.shape, first.ndim, not first.flags.c_contiguous
    if not -ndim <= axis < ndim:
        return None
    result = np.empty(shape, dtype, "F" if transposed else "C") if out is None else out
    arrays, owned = [*inputs, result], 0
    for array in arrays:
        if type(array) is not np.ndarray or array.dtype != dtype or array.shape != shape:
            return None
        flags = array.flags
        if not (flags.fnc and flags.aligned if transposed else flags.carray or (flags.c_contiguous and flags.aligned)):
            return None
        owned += flags.owndata
    if out is not None and not out.flags.writeable:
        return None
    if owned < len(arrays) and out is not None:  # different arrays that own their memory do not overlap
        for array in inputs:
            if array is not out and np.may_share_memory(array, out):
                return None
    axis %= ndim
    if transposed:
        arrays, shape, axis = [array.T for array in arrays], shape[::-1], ndim - 1 - axis
    if ndim != 3 or axis != 1:
        columns = _columns(shape, axis, axis + 1)
        arrays = [array.reshape(columns) for array in arrays]
    if first.size:
        compute(*arrays)
    return result


def _run_blocks(compute: Compute, inputs: list[Array], layout: Layout, out: Array | None) -> Array:
    order, first, stop = _order(inputs[0], layout)
    shape = tuple(layout.shape[axis] for axis in order)
    if out is None:
        result = np.empty(shape, layout.result).transpose(np.argsort(order))
    else:
        result = layout.checked_out(out)
        inputs = [_apart_or_same(array, result) for array in inputs]
    if result.size:
        moved = [array.transpose(order) for array in (*inputs, result)]
        if all(a.dtype == layout.compute and a.flags.c_contiguous and a.flags.aligned for a in moved):
            compute(*(array.reshape(_columns(shape, first, stop)) for array in moved))
        else:
            _run_copied(compute, moved, layout.compute, first, stop)
    if out is not None:
        return out
    return result if result.ndim else result[()]


def _run_copied(compute: Compute, arrays: list[Array], dtype: np.dtype[Any], first: int, stop: int) -> None:
    """Call `compute` on copies of the arrays, block by block. The classes are on the axes `first` to `stop` - 1."""
    shape = arrays[0].shape
    elements = max(BLOCK_BYTES // dtype.itemsize, NARROWEST_BLOCK * math.prod(shape[first:stop]))
    memory = [np.empty(min(elements, arrays[0].size), dtype) for _ in arrays]  # reused: new memory is slow
    with np.errstate(all="ignore"):  # rounding to float16 may overflow, casting a signalling NaN would warn
        for block in _blocks(shape, first, stop, elements):
            views = [array[block] for array in arrays]
            copies = [m[: views[0].size].reshape(views[0].shape) for m in memory]
            for view, copy in zip(views[:-1], copies, strict=False):
                copy[...] = view
            columns = _columns(views[0].shape, first, stop)
            compute(*(copy.reshape(columns) for copy in copies))
            views[-1][...] = copies[-1]


def run_rows(compute: Callable[..., object], *arrays: Array) -> None:
    """Call `compute`, a function of rows (B, D), on C-contiguous (outer, D, inner) arrays: the inputs, then the result.

    If `inner` is 1, the arrays already consist of rows. Otherwise columns are copied to rows, a block at a time.
    """
    (outer, dim, inner), (*inputs, result) = arrays[0].shape, arrays
    if inner == 1:
        compute(*(array.reshape(outer, dim) for array in arrays))
        return
    for start in range(0, outer, step := copied_at_a_time(outer, dim, inner)):
        block = slice(start, start + step)
        copies = [array[block].swapaxes(1, 2).copy() for array in inputs]
        copies.append(np.empty_like(copies[0]))
        compute(*(copy.reshape(-1, dim) for copy in copies))
        result[block] = copies[-1].swapaxes(1, 2)


def copied_at_a_time(outer: int, dim: int, inner: int) -> int:
    """Return how many outer indices `run_rows` copies at a time; each of them has dim · inner elements."""
    return min(outer, max(1, NARROW_BLOCK // (dim * inner)))


def _columns(shape: tuple[int, ...], first: int, stop: int) -> tuple[int, int, int]:
    """Return (outer, D, inner): the products of the sizes before, on and after the axes `first` to `stop` - 1."""
    return math.prod(shape[:first]), math.prod(shape[first:stop]), math.prod(shape[stop:])


def _order(array: Array, layout: Layout) -> tuple[tuple[int, ...], int, int]:
    """Return the axes in the order in which they lie in memory, and the range of the classes' axes in this order.

    If the classes' axes are not adjacent in memory, return the order of `layout`: the classes' axes are the last.
    """
    order = tuple(range(array.ndim))
    if not array.flags.c_contiguous:
        order = tuple(sorted(order, key=lambda axis: -abs(array.strides[axis])))
    places = [order.index(axis) for axis in layout.axes] or [0]
    first, stop = min(places), min(places) + len(layout.axes)
    if stop > max(places):
        return order, first, stop
    return layout.order, array.ndim - len(layout.axes), array.ndim


def _apart_or_same(array: Array, result: Array) -> Array:
    """Return `array`, or a copy of it if it may overlap `result`.

    It is not copied if both have the same address, strides and dtype.
    """
    if not np.may_share_memory(array, result):
        return array
    places = [(a.__array_interface__["data"][0], a.strides, a.dtype) for a in (array, result)]
    return array if places[0] == places[1] else array.copy()


def _blocks(shape: tuple[int, ...], first: int, stop: int, elements: int) -> Iterator[tuple[Any, ...]]:
    """Yield the indices of blocks of an array of this shape. The axes of the classes are `first` to `stop` - 1.

    A block contains all classes. It has at most `elements` elements, or a single index on each other axis.
    """
    steps, remaining = list(shape), math.prod(shape)
    for axis in (*range(first), *range(stop, len(shape))):
        if remaining > elements:
            remaining //= shape[axis]
            steps[axis] = max(1, min(shape[axis], elements // remaining))
            remaining *= steps[axis]
    for starts in itertools.product(*map(range, [0] * len(shape), shape, steps)):
        yield (*(slice(start, start + step) for start, step in zip(starts, steps, strict=True)), ...)
