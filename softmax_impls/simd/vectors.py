"""Vectors of 64 bytes as values in compiled code, with what NumPy and loops can't say: streaming stores, masks, tops.

A kernel loads 64 bytes of consecutive elements from a pointer, computes with + - * > as it would with arrays, and
stores them. 64 bytes are a cache line, one register of AVX-512, two of AVX2, four of SSE or NEON: LLVM splits vectors
as the machine needs it, so that one source serves all. Positions count elements from the pointer.

Each operation is there twice: as Python, which is what it means and what runs where Numba does not compile, and as what
it emits in LLVM's terms where Numba does. Pointers are not reference-counted: an array handed to a helper is, by two
atomic operations a call, which on short rows took more time than all the arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.extending import intrinsic

from softmax_impls.simd import lowering as emit
from softmax_impls.simd.lowering import BYTES, INT32, WORD, operation

Pointer = Any  # compiled, a pointer to elements; interpreted, a one-dimensional view of the array
Vector = Any  # 64 bytes of them; interpreted, a one-dimensional array
Mask = Any  # as many booleans


if DISABLE_JIT:

    def pointer(array: Any) -> Pointer:
        """Return a pointer to the first element of a C-contiguous array."""
        return array.reshape(-1)
else:

    @intrinsic
    def pointer(typing: Any, array: Any) -> Any:  # arrays are made of parts that only Numba's context knows
        """Return a pointer to the first element of a C-contiguous array."""
        return (
            types.CPointer(array.dtype)(array),
            lambda context, builder, signature, values: (
                context.make_array(signature.args[0])(context, builder, values[0]).data
            ),
        )


@operation(
    lambda pointer: types.intp(pointer),
    lambda builder, pointer: builder.ptrtoint(pointer, WORD),
)
def address(pointer: Pointer) -> int:
    """Return where in memory a pointer points to."""
    return int(pointer.ctypes.data)


@operation(
    lambda pointer: types.intp(pointer),
    lambda builder, pointer: ir.Constant(WORD, emit.llvm_vector(pointer).count),
)
def lanes(pointer: Pointer) -> int:
    """Return how many elements a vector has."""
    return BYTES // int(pointer.itemsize)


@operation(
    lambda pointer, at: pointer.dtype(pointer, types.intp),
    lambda builder, pointer, at: builder.load(builder.gep(pointer, [at])),
)
def load_scalar(pointer: Pointer, at: int) -> Any:
    """Load one element."""
    return pointer[at]


@operation(
    lambda pointer, at, value: types.void(pointer, types.intp, pointer.dtype),
    lambda builder, pointer, at, value: builder.store(value, builder.gep(pointer, [at])),
)
def store_scalar(pointer: Pointer, at: int, value: Any) -> None:
    """Store one element."""
    pointer[at] = value


@operation(
    lambda pointer, at: emit.kind(pointer)(pointer, types.intp),
    lambda builder, pointer, at: builder.load(emit.place(builder, pointer, at), align=emit.size(pointer)),
)
def load(pointer: Pointer, at: int) -> Vector:
    """Load a vector."""
    return pointer[at : at + lanes(pointer)].copy()


@operation(
    lambda pointer, at, vector: types.void(pointer, types.intp, vector),
    lambda builder, pointer, at, vector: builder.store(
        vector, emit.place(builder, pointer, at), align=emit.size(pointer)
    ),
)
def store(pointer: Pointer, at: int, vector: Vector) -> None:
    """Store a vector."""
    pointer[at : at + len(vector)] = vector


@operation(lambda pointer, at, vector: types.void(pointer, types.intp, vector), emit.store_nontemporal)
def store_nontemporal(pointer: Pointer, at: int, vector: Vector) -> None:
    """Store a vector past the caches; its address must be a multiple of BYTES, or the machine traps."""
    pointer[at : at + len(vector)] = vector


@operation(
    lambda pointer, at, mask, other: emit.kind(pointer)(pointer, types.intp, mask, other),
    lambda builder, pointer, at, mask, other: emit.masked(
        builder, "load", other.type, emit.place(builder, pointer, at), INT32(emit.size(pointer)), mask, other
    ),
)
def masked_load(pointer: Pointer, at: int, mask: Mask, other: Vector) -> Vector:
    """Load those elements that the mask holds, and touch no memory for the others."""
    vector = other.copy()
    vector[mask] = pointer[at : at + len(mask)][mask[: len(pointer) - at]]
    return vector


@operation(
    lambda pointer, at, mask, vector: types.void(pointer, types.intp, mask, vector),
    lambda builder, pointer, at, mask, vector: emit.masked(
        builder, "store", ir.VoidType(), vector, emit.place(builder, pointer, at), INT32(emit.size(pointer)), mask
    ),
)
def masked_store(pointer: Pointer, at: int, mask: Mask, vector: Vector) -> None:
    """Store those elements that the mask holds."""
    pointer[at : at + len(mask)][mask[: len(pointer) - at]] = vector[mask]


@operation(
    lambda pointer, value: emit.kind(pointer)(pointer, pointer.dtype),
    lambda builder, pointer, value: emit.splat(builder, value, emit.llvm_vector(pointer).count),
)
def splat(pointer: Pointer, value: Any) -> Vector:
    """Return a vector, as one loaded from that pointer, of one value throughout."""
    return np.full(lanes(pointer), value, pointer.dtype)


@operation(lambda pointer, n: emit.mask(pointer)(pointer, types.intp), emit.first_lanes)
def first_lanes(pointer: Pointer, n: int) -> Mask:
    """Return the mask of the first n elements."""
    return np.arange(lanes(pointer)) < n


@operation(lambda mask, a, b: a(mask, a, b), lambda builder, mask, a, b: builder.select(mask, a, b))
def select(mask: Mask, a: Vector, b: Vector) -> Vector:
    """Return elements of a where the mask holds, of b elsewhere."""
    return np.where(mask, a, b)


@operation(lambda vector: vector.dtype(vector), emit.reduce_add)
def reduce_add(vector: Vector) -> Any:
    """Return the sum of a vector's elements, halves added to each other."""
    return vector.sum()


@operation(lambda keys, values: types.UniTuple(keys.dtype, 2)(keys, values), emit.argmax)
def argmax(keys: Vector, values: Vector) -> tuple[Any, Any]:
    """Return the largest key and the value that belongs to it."""
    at = np.argmax(keys)
    return keys[at], values[at]
