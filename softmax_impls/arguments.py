"""What callers may pass, and how it becomes the (B, D) arrays that kernels work on.

Arrays of any shape, strides, byte order and real dtype come in; C-contiguous (B, D) arrays in the dtype of the
computation go out, as views where that is possible. Everything that can be wrong is refused here, by name, before
anything is computed or written.
"""

from __future__ import annotations

import math
import operator
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from softmax_impls.backward import _limits
from softmax_impls.contract import Array

Axis = int | tuple[int, ...] | None


def as_real_array(name: str, value: object) -> Array:
    """Return `value` as a floating-point array, integers as float64; float dtypes and layout stay as they are.

    Raises
    ------
    TypeError
        If it is masked, or not of real numbers that fit float64.
    ValueError
        If it is a nested sequence of unequal lengths.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array: fill it first, for a softmax with logits of -inf")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be array-like, with rows of equal length: {error}") from None
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must hold float16, float32, float64 or integers, got dtype {array.dtype}")
    return array


def normalize_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return the axes that `axis` means, as `scipy.special.softmax` reads it, in ascending order.

    A 0-d array has the axes of a 1-d one, as in NumPy's reductions.

    Raises
    ------
    TypeError
        If it is not an int, a tuple of ints or None.
    ValueError
        If an axis is out of range (`numpy.exceptions.AxisError`) or repeated.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    for one in axes:
        if isinstance(one, bool | np.bool_) or not hasattr(one, "__index__"):
            raise TypeError(f"axis must be an int, a tuple of ints or None, got {axis!r}")
    indices = tuple(operator.index(one) for one in axes)
    for index in indices:
        if abs(index) > sys.maxsize >> 32:  # more than NumPy can convert
            raise np.exceptions.AxisError(f"axis: axis {index} is out of bounds for array of dimension {ndim}")
    found = normalize_axis_tuple(indices, max(ndim, 1), "axis")
    return tuple(sorted(found)) if ndim else ()


def as_threads(threads: object) -> int:
    """Return a number of threads; for None as many as a call uses that doesn't say.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is less than 1.
    """
    if threads is None:
        return _limits.threads()
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"threads must be an int or None, got {threads!r}")
    if (number := operator.index(threads)) < 1:
        raise ValueError(f"threads must be at least 1, got {number}")
    return number


@dataclass(frozen=True)
class Layout:
    """How an array of any shape is seen as B rows of D classes: the axes of the rows first, then `axes`."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    result: np.dtype[Any]  # what the caller gets
    compute: np.dtype[Any]  # what the kernel works in

    @classmethod
    def of(cls, arrays: dict[str, Array], axis: Axis) -> Layout:
        """Return the layout for arrays of one shape, to be reduced over `axis`."""
        shapes = {array.shape for array in arrays.values()}
        if len(shapes) > 1:
            told = " and ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ValueError(f"{' and '.join(arrays)} must have the same shape, got {told}")
        (shape,) = shapes
        # By their types: NumPy's own objects for them are the ones that the next call knows at a glance.
        result = np.dtype(np.result_type(*(array.dtype for array in arrays.values())).type)
        compute = np.dtype(np.result_type(result, np.float32).type)  # float16 is computed in float32 and rounded once
        return cls(shape, normalize_axes(axis, len(shape)), result, compute)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The axes, those of the rows first."""
        return (*(a for a in range(len(self.shape)) if a not in self.axes), *self.axes)

    @cached_property
    def rows(self) -> int:
        """B: the product of the sizes that are not reduced over."""
        return math.prod(n for a, n in enumerate(self.shape) if a not in self.axes)

    @cached_property
    def classes(self) -> int:
        """D: the product of the sizes of `axes`; 1 if there are none."""
        return math.prod(self.shape[a] for a in self.axes)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compute."""
        return 0 in self.shape

    def view(self, array: Array) -> Array | None:
        """Return `array` as (B, D) without copying, or None where a kernel could not work on it as it lies."""
        moved = array.transpose(self.order)
        if array.dtype == self.compute and moved.flags.c_contiguous and moved.flags.aligned:
            return moved.reshape(self.rows, self.classes)
        return None

    def read(self, array: Array) -> Array:
        """Return `array` as (B, D) in the dtype of the computation, to be read only; a copy only where need be."""
        rows = self.view(array)
        if rows is None:
            with np.errstate(all="ignore"):  # a signalling NaN is a NaN
                rows = array.transpose(self.order).astype(self.compute, order="C").reshape(self.rows, self.classes)
        return rows

    def write(self, rows: Array, out: Array) -> None:
        """Copy a (B, D) result to where the caller wants it."""
        moved = out.transpose(self.order)
        moved[...] = rows.reshape(moved.shape)

    def new_out(self) -> Array:
        """Return an uninitialised array for the result."""
        return np.empty(self.shape, self.result)

    def checked_out(self, out: object) -> Array:
        """Return the caller's `out`, or raise if the result can not be written to it.

        Raises
        ------
        TypeError
            If it is not a plain array or not of the result's dtype.
        ValueError
            If it is of another shape, read-only, or overlaps itself.
        """
        if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
            raise TypeError(f"out must be a numpy array (not masked), got {type(out).__name__}")
        plain: NDArray[Any] = out.view(np.ndarray)
        if plain.shape != self.shape:
            raise ValueError(f"out must have shape {self.shape}, got {plain.shape}")
        if plain.dtype.newbyteorder("=") != self.result:
            raise TypeError(f"out must have dtype {self.result}, got {plain.dtype}")
        if not plain.flags.writeable:
            raise ValueError("out must be writeable, got a read-only array")
        if _overlaps_itself(plain):
            raise ValueError(f"out must not overlap itself, got strides {plain.strides} for shape {plain.shape}")
        return plain


def _overlaps_itself(array: NDArray[Any]) -> bool:
    """Whether two elements may share memory, as in a broadcast or a sliding window made writeable."""
    reach = array.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(array.strides, array.shape, strict=True)):
        if size > 1:
            if stride < reach:
                return array.size > 0
            reach += stride * (size - 1)
    return False
