"""Validate the arguments of a call before anything is written, and view its arrays as B rows of D classes.

Callers pass arrays of any shape, strides, byte order and real dtype. `blocks` passes them to the kernels.
"""

import contextlib
import math
import operator
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from softmax_impls.formatting import one_line
from softmax_impls.implementation import Array

Axis = int | tuple[int, ...] | None
NUMBERS = (int, float, complex, np.generic)


def as_array(name: str, value: object) -> NDArray[Any]:
    """Return `value` as an array of any dtype. `name` is the name of the argument, for error messages.

    Masked arrays and Dask arrays raise TypeError, also in lists, or if an object's ``__array__`` returns them. Objects
    that cannot be converted raise TypeError, too, for example a tensor that requires grad. Nested lists of unequal
    lengths raise ValueError.
    """
    if type(value) is np.ndarray:
        return value
    try:
        return np.asarray(_checked(value))
    except _RefusedError as refusal:
        raise TypeError(f"{name} must not be {refusal}") from None
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and isinstance(value, list | tuple):
            raise ValueError(f"{name} must be array-like, with rows of equal length: {error}") from None
        raise TypeError(f"{name} can't be converted to a NumPy array: {one_line(error)}") from error


class _RefusedError(Exception):
    pass


def _checked(value: object) -> Any:
    """Return `value` in a form that `np.asarray` converts correctly.

    It is `value` itself, or a copy in which lists contain arrays of NumPy in place of other array-like objects. Raise
    _RefusedError if `value` is, or contains, a masked array or a Dask array: `np.asarray` would drop a mask.
    """
    if type(value) is list and {float}.issuperset(map(type, value)):  # the usual case, without further tests
        return value
    if hasattr(value, "__dask_graph__") and hasattr(value, "__array__") and value.__dask_graph__() is not None:
        functions = "softmax_impls.dask.softmax and softmax_impls.dask.softmax_backward"
        raise _RefusedError(f"a Dask array: pass it to {functions}, or call its compute() first")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        plain = all(issubclass(kind, NUMBERS) for kind in set(map(type, value)))
        return value if plain else [_checked(item) for item in value]
    array = np.asanyarray(value)
    if isinstance(array, np.ma.MaskedArray):
        raise _RefusedError("a masked array: fill it first, for a softmax with logits of -inf")
    return array


def as_real_array(name: str, value: object) -> Array:
    """Return `value` as a floating-point array; integers become float64.

    Dtypes other than float16, float32, float64 and integers raise TypeError. So do values that `as_array` refuses.
    """
    array = as_array(name, value)
    dtype = real_dtype(name, array.dtype)
    return array if array.dtype == dtype else array.astype(dtype)


def as_real_arrays(given: dict[str, object]) -> dict[str, Array]:
    """Return `as_real_array` of each value, by argument name."""
    return {name: as_real_array(name, value) for name, value in given.items()}


def real_dtype(name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to which `as_real_array` converts an array of this dtype; TypeError if it refuses the array."""
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.type not in (np.float16, np.float32, np.float64):  # kind "f" includes dtypes of other libraries
        raise TypeError(f"{name} must hold float16, float32, float64 or integers, got dtype {dtype}")
    return dtype


def normalize_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return the axes that `axis` selects, in ascending order; `axis` means the same as in `scipy.special.softmax`.

    For a 0-d array, `axis` may be 0 or -1, as in NumPy's reductions, and the result is (). Types other than int, tuple
    and None raise TypeError. An axis that is out of range or repeated raises ValueError.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    indices = [as_int(each, f"axis must be an int, a tuple of ints or None, got {axis!r}") for each in axes]
    for index in indices:
        if abs(index) > sys.maxsize >> 32:  # too large for NumPy to convert
            raise np.exceptions.AxisError(f"axis: axis {index} is out of bounds for array of dimension {ndim}")
    found = normalize_axis_tuple(indices, max(ndim, 1), "axis")
    return tuple(sorted(found)) if ndim else ()


def as_thread_count(threads: object) -> int:
    """Return `threads` as an int; TypeError if it is not an integer, ValueError if it is less than 1."""
    if (number := as_int(threads, f"threads must be an int or None, got {threads!r}")) < 1:
        raise ValueError(f"threads must be at least 1, got {number}")
    return number


def as_int(value: Any, message: str) -> int:
    """Return `value` as an int; TypeError with this message for other types, including bool."""
    if not isinstance(value, bool | np.bool_):
        with contextlib.suppress(TypeError):
            return operator.index(value)
    raise TypeError(message)


@dataclass(frozen=True)
class Layout:
    """How an array of any shape is viewed as B rows of D classes."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]  # of the classes, ascending
    result: np.dtype[Any]  # the dtype of the result
    compute: np.dtype[Any]  # the dtype of the computation: float32 for a float16 result, which is rounded once

    @classmethod
    def of(cls, arrays: dict[str, Array], axis: Axis) -> Self:
        """Return the common layout of `arrays`, given by argument name; ValueError if their shapes differ."""
        shapes = {array.shape for array in arrays.values()}
        if len(shapes) > 1:
            got = " and ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ValueError(f"{' and '.join(arrays)} must have the same shape, got {got}")
        (shape,) = shapes
        # np.dtype of a scalar type is NumPy's own object. The fast path of the next call recognises it by identity.
        result = np.dtype(np.result_type(*(array.dtype for array in arrays.values())).type)
        compute = np.dtype(np.result_type(result, np.float32).type)
        return cls(shape, normalize_axes(axis, len(shape)), result, compute)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes in the order of a kernel's rows: first the batch axes, then the classes."""
        return (*(a for a in range(len(self.shape)) if a not in self.axes), *self.axes)

    def read(self, array: Array) -> Array:
        """Return `array` as (B, D) in the dtype of the computation; it is copied only if layout or dtype require it."""
        with np.errstate(all="ignore"):  # casting a signalling NaN would warn
            moved = np.require(array.transpose(self.order), self.compute, ["C", "A"])
        first = moved.ndim - len(self.axes)
        return moved.reshape(math.prod(moved.shape[:first]), math.prod(moved.shape[first:]))

    def checked_out(self, out: object) -> Array:
        """Return `out` as a plain ndarray; TypeError or ValueError if the result cannot be written to it."""
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
    """Whether two elements of the array may share memory, as in a broadcast or a sliding window."""
    reach = array.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(array.strides, array.shape, strict=True)):
        if size > 1:
            if stride < reach:
                return array.size > 0
            reach += stride * (size - 1)
    return False
