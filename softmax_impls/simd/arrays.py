"""Functions that Python calls with NumPy arrays. A compiled function gets a pointer to the words of each array object.

A word has 64 bits. The same machine code takes arrays of any dtype and any number of dimensions. NumPy's C API defines
the words, see PyArrayObject_fields and PyArray_Descr in numpy/ndarraytypes.h. Every Python object begins with a head.
Its last word is the address of the object's type. In an array, these words follow: the address of the data, the number
of dimensions (32 bits), the addresses of shape, strides and base, the address of the dtype, and flags (32 bits). In a
dtype, these words follow: the type, letters and a number, flags, and the bytes of an element. The third letter is the
byte order, and the number (32 bits) is that of the dtype.
"""

import ctypes
import functools
from typing import Any

import numpy as np

from softmax_impls.simd import objects
from softmax_impls.simd.jit import DISABLE_JIT, Task, apart
from softmax_impls.simd.vectors import Pointer, address, pointer_to

Array = Any  # compiled: a pointer to words; interpreted: a list, with arrays, tuples and lists in place of addresses
HEAD = object.__basicsize__ // 8  # words of the head
TYPE, DATA, DIMENSIONS, SHAPE, DTYPE, FLAGS = HEAD - 1, HEAD, HEAD + 1, HEAD + 2, HEAD + 5, HEAD + 6  # of an array
LETTERS, ITEMSIZE = HEAD + 1, HEAD + 3  # indices of words of a dtype
PLAIN, WRITEABLE = 0x101, 0x400  # flags: C-contiguous and aligned; writeable
FLOAT32, FLOAT64, LONGDOUBLE = 11, 12, 13  # numbers of dtypes
SWAPPED = ord(">")  # the byte order that is not native


class UnfitError(ValueError):
    """Arrays that a kernel cannot take, see `common_size`."""


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
    """Return a list in place of an array, for functions that are not compiled; return other arguments as they are.

    The data, number of dimensions, shape and dtype have the indices that they have, as words, in an array object in
    memory.
    """
    if not isinstance(argument, np.ndarray):
        return argument
    words = _words(id(argument))
    words[DATA], words[SHAPE], words[DTYPE] = argument.reshape(-1), argument.shape, _words(id(argument.dtype))
    return words


def _words(address: int) -> list[Any]:
    return list((ctypes.c_int64 * (FLAGS + 1)).from_address(address))


def _has_this_layout(array: Any) -> bool:
    """Return whether NumPy stores an array as this module expects. `array` is float64 and has two axes."""
    words, plain = _words(id(array)), PLAIN | WRITEABLE
    found = words[TYPE], words[DATA], dimensions(words), words[DTYPE], words[FLAGS] & plain
    if found != (id(np.ndarray), array.ctypes.data, 2, id(array.dtype), plain):
        return False
    kinds = array.dtype, array.dtype.newbyteorder("S")  # they have to exist while their words are read
    dtypes = [_words(id(kind)) for kind in kinds]
    numbers = [(dtype[LETTERS] >> 32, dtype[LETTERS] >> 16 & 255 == SWAPPED) for dtype in dtypes]
    shape = (ctypes.c_int64 * 2).from_address(words[SHAPE])
    return (numbers, *shape, dtypes[0][ITEMSIZE]) == ([(FLOAT64, False), (FLOAT64, True)], *array.shape, array.itemsize)


def data(array: Array) -> Pointer:
    """Return a pointer to the data of a C-contiguous array.

    In compiled code, the pointer has the type of a pointer to 64-bit words, whatever the dtype of the array is.
    """
    return pointer_to(array[DATA], np.int64(0))


def dimensions(array: Array) -> int:
    """Return the number of dimensions."""
    return array[DIMENSIONS] & 0xFFFFFFFF  # type: ignore[no-any-return]


def shape(array: Array) -> Pointer:
    """Return a pointer to the lengths of the axes."""
    return pointer_to(array[SHAPE], np.int64(0))


def itemsize(array: Array) -> int:
    """Return the size of an element in bytes."""
    return pointer_to(array[DTYPE], np.int64(0))[ITEMSIZE]  # type: ignore[no-any-return]


def _float(array: Array) -> int:
    """Return FLOAT32 or FLOAT64 if the array is a float32 or float64 array in native byte order; otherwise 0."""
    letters = pointer_to(array[DTYPE], np.int64(0))[LETTERS]
    number = letters >> 32
    if number == LONGDOUBLE and itemsize(array) == 8:  # on some platforms, NumPy's longdouble is a float64
        number = FLOAT64
    return number if FLOAT32 <= number <= FLOAT64 and letters >> 16 & 255 != SWAPPED else 0


@apart
def common_size(probs: Array, grad: Array, out: Array) -> int:
    """Return the number of elements of an array; -1 if the arrays do not fit, or `out` partly overlaps an input.

    `probs` is an array; the others may be any objects. Arrays fit if they have one type, one shape with at least one
    axis, and one native dtype, float32 or float64, are C-contiguous and aligned, and `out` is writeable.
    """
    if probs[TYPE] != grad[TYPE] or probs[TYPE] != out[TYPE]:
        return -1
    axes, dtype, size = dimensions(probs), _float(probs), 1
    if axes == 0 or axes != dimensions(grad) or axes != dimensions(out):
        return -1
    if dtype == 0 or dtype != _float(grad) or dtype != _float(out):
        return -1
    if probs[FLAGS] & grad[FLAGS] & out[FLAGS] & PLAIN != PLAIN or out[FLAGS] & WRITEABLE == 0:
        return -1
    for axis in range(axes):
        n = shape(probs)[axis]
        if n != shape(grad)[axis] or n != shape(out)[axis]:
            return -1
        size *= n
    p, g, o, nbytes = address(data(probs)), address(data(grad)), address(data(out)), size * itemsize(out)
    if (p != o and p < o + nbytes and o < p + nbytes) or (g != o and g < o + nbytes and o < g + nbytes):
        return -1
    return size


if not _has_this_layout(np.ones((3, 5))):
    raise ImportError("this version of NumPy stores arrays in another way")
