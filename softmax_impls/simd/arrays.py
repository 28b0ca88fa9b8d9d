"""Functions that Python calls with NumPy arrays. A compiled function gets a pointer to the words of each array object.

A word has 64 bits. The same machine code takes arrays of any dtype and any number of dimensions. NumPy's C API defines
the words, see PyArrayObject_fields and PyArray_Descr in numpy/ndarraytypes.h. Every Python object begins with a head.
In an array, these words follow: the address of the data, the number of dimensions (32 bits), the addresses of shape,
strides and base, and the address of the dtype. In a dtype, these words follow: the type, letters and a number, flags,
and the bytes of an element.
"""

import ctypes
import functools
from typing import Any

import numpy as np

from softmax_impls.simd import objects
from softmax_impls.simd.jit import DISABLE_JIT, Task, inner
from softmax_impls.simd.vectors import Pointer, address, pointer_to

Array = Any  # compiled: a pointer to words; interpreted: a list, with arrays, tuples and lists in place of addresses
HEAD = object.__basicsize__ // 8  # words of the head
DATA, DIMENSIONS, SHAPE, DTYPE = HEAD, HEAD + 1, HEAD + 2, HEAD + 5  # indices of words of an array
ITEMSIZE = HEAD + 3  # index of a word of a dtype


class Entry(Task):
    """A function of arrays and numbers that is compiled when it is first needed.

    Parameters annotated as int are numbers, all others are arrays.
    """

    def __init__(self, function: Any) -> None:
        super().__init__(function, {})

    @functools.cached_property
    def compiled(self) -> Any:
        """The function to call: machine code, or a Python function if Numba's compiler is disabled."""
        if DISABLE_JIT:
            return lambda *arguments: self.function(*map(_interpreted, arguments))
        return objects.callable_at(self.address(None), self.function.__name__)


def _interpreted(argument: Any) -> Any:
    """Return a list of an array's members, at the indices of their words; return other arguments as they are."""
    if not isinstance(argument, np.ndarray):
        return argument
    head = [0] * HEAD
    return [*head, argument.reshape(-1), argument.ndim, argument.shape, 0, 0, [*head, 0, 0, 0, argument.itemsize]]


def _has_this_layout(array: Any) -> bool:
    """Return whether an array with two axes has its members where this module reads them."""
    words = (ctypes.c_int64 * (DTYPE + 1)).from_address(id(array))
    if (words[DATA], dimensions(words), words[DTYPE]) != (array.ctypes.data, 2, id(array.dtype)):
        return False
    shape, dtype = ((ctypes.c_int64 * (ITEMSIZE + 1)).from_address(words[k]) for k in (SHAPE, DTYPE))
    return (*shape[:2], dtype[ITEMSIZE]) == (*array.shape, array.itemsize)


@inner(forceinline=True)
def data(array: Array) -> Pointer:
    """Return a pointer to the data of a C-contiguous array. In compiled code, it points to words, for every dtype."""
    return pointer_to(array[DATA], np.int64(0))


@inner(forceinline=True)
def dimensions(array: Array) -> int:
    """Return the number of dimensions."""
    return array[DIMENSIONS] & 0xFFFFFFFF  # type: ignore[no-any-return]


@inner(forceinline=True)
def shape(array: Array) -> Pointer:
    """Return a pointer to the lengths of the axes."""
    return pointer_to(array[SHAPE], np.int64(0))


@inner(forceinline=True)
def itemsize(array: Array) -> int:
    """Return the bytes of an element."""
    return pointer_to(array[DTYPE], np.int64(0))[ITEMSIZE]  # type: ignore[no-any-return]


@inner()
def common_size(probs: Array, grad: Array, out: Array) -> int:
    """Return the number of elements of an array; -1 if the three shapes differ or `out` partly overlaps an input."""
    size = 1
    for axis in range(dimensions(probs)):
        n = shape(probs)[axis]
        if n != shape(grad)[axis] or n != shape(out)[axis]:
            return -1
        size *= n
    p, g, o, nbytes = address(data(probs)), address(data(grad)), address(data(out)), size * itemsize(out)
    if (p != o and p < o + nbytes and o < p + nbytes) or (g != o and g < o + nbytes and o < g + nbytes):
        return -1
    return size


if not (DISABLE_JIT or _has_this_layout(np.ones((3, 5)))):
    raise ImportError("this version of NumPy stores arrays in another way")
