"""NumPy arrays in compiled code: a function gets a pointer to the Python object, so it takes arrays of any kind.

NumPy's C API defines the members of an array object, see PyArrayObject_fields in numpy/ndarraytypes.h. After the head
of a Python object, these are the data, the number of dimensions, the shape, the strides, the base and the dtype.
"""

# mypy: allow-untyped-calls

import ctypes
from typing import Any

import numpy as np

from softmax_impls.simd.jit import DISABLE_JIT, inner, lowering, operation, types
from softmax_impls.simd.vectors import Pointer, address

Array = Any  # compiled: a pointer to the object; interpreted: the array
HEAD = object.__basicsize__  # bytes
DATA, DIMENSIONS, SHAPE, DTYPE = HEAD, HEAD + 8, HEAD + 16, HEAD + 40
NUMBER_OF_DTYPE, DOUBLE = HEAD + 12, 12  # offset of a dtype's number, and the number of float64


def _has_this_layout(array: Any) -> bool:
    """Return whether a float64 array with two axes has its members where this module reads them."""
    places, numbers = (DATA, SHAPE, DTYPE), (DIMENSIONS, NUMBER_OF_DTYPE)
    data, shape, dtype = (ctypes.c_int64.from_address(id(array) + place).value for place in places)
    found = (ctypes.c_int32.from_address(place).value for place in (id(array) + numbers[0], dtype + numbers[1]))
    lengths = (ctypes.c_int64 * 2).from_address(shape) if shape else ()
    return dtype == id(array.dtype) and [data, *lengths, *found] == [array.ctypes.data, *array.shape, 2, DOUBLE]


if not (DISABLE_JIT or _has_this_layout(np.ones((3, 5)))):
    raise ImportError("this version of NumPy stores arrays in another way")


def _member(builder: Any, array: Any, offset: int, kind: str = "INT64") -> Any:
    place = builder.gep(array, [lowering.INT64(offset)])
    return builder.load(builder.bitcast(place, getattr(lowering, kind).as_pointer()))


@operation(
    lambda array: types.CPointer(types.int64)(array),
    lambda builder, array: builder.inttoptr(_member(builder, array, DATA), lowering.INT64.as_pointer()),
)
def data(array: Array) -> Pointer:
    """Return a pointer to the first element of a C-contiguous array."""
    return array.reshape(-1)


@operation(
    lambda array: types.int64(array),
    lambda builder, array: builder.zext(_member(builder, array, DIMENSIONS, "INT32"), lowering.INT64),
)
def dimensions(array: Array) -> int:
    """Return the number of dimensions."""
    return int(array.ndim)


@operation(
    lambda array, axis: types.int64(array, types.int64),
    lambda builder, array, axis: builder.load(
        builder.gep(builder.inttoptr(_member(builder, array, SHAPE), lowering.INT64.as_pointer()), [axis])
    ),
)
def length(array: Array, axis: int) -> int:
    """Return the length of an axis."""
    return int(array.shape[axis])


def _emit_itemsize(builder: Any, array: Any) -> Any:
    dtype = builder.inttoptr(_member(builder, array, DTYPE), lowering.BYTES)
    is_double = builder.icmp_signed("==", _member(builder, dtype, NUMBER_OF_DTYPE, "INT32"), lowering.INT32(DOUBLE))
    return builder.select(is_double, lowering.INT64(8), lowering.INT64(4))


@operation(lambda array: types.int64(array), _emit_itemsize)
def itemsize(array: Array) -> int:
    """Return the bytes of an element of a float32 or float64 array."""
    return int(array.itemsize)


@inner()
def common_size(probs: Array, grad: Array, out: Array) -> int:
    """Return the number of elements; -1 if the three shapes differ or `out` partly overlaps an input."""
    size = 1
    for axis in range(dimensions(probs)):
        n = length(probs, axis)
        if n != length(grad, axis) or n != length(out, axis):
            return -1
        size *= n
    p, g, o, nbytes = address(data(probs)), address(data(grad)), address(data(out)), size * itemsize(out)
    if (p != o and p < o + nbytes and o < p + nbytes) or (g != o and g < o + nbytes and o < g + nbytes):
        return -1
    return size
