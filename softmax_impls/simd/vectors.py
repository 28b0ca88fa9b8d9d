"""Memory in compiled code: vectors of 64 bytes, with masks and non-temporal stores; and atomic words for threads.

A kernel loads 64 bytes of consecutive elements from a pointer, computes with + - * > as with arrays, and stores the
result. 64 bytes are a cache line, or one register of AVX-512, two of AVX2, four of SSE or NEON. An index counts
elements from the pointer. Each operation is defined twice: in Python, for the reader and the interpreter, and in LLVM
instructions, for Numba. Helpers take pointers, not arrays: Numba counts references to arrays, by two atomic operations
per call, and on short rows these two operations took more time than the arithmetic.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from softmax_impls.simd.jit import F, inner, lowering, operation, types
from softmax_impls.simd.sizes import VECTOR_BYTES

Pointer = Any  # compiled: a pointer to elements; interpreted: a one-dimensional view of the array
Vector = Any  # compiled: 64 bytes of elements; interpreted: a one-dimensional array
Mask = Any  # a boolean for each lane of a vector


@operation(lambda pointer: types.intp(pointer), lambda builder, pointer: builder.ptrtoint(pointer, lowering.INT64))
def address(pointer: Pointer) -> int:
    """Return the address that a pointer points to."""
    return int(pointer.ctypes.data)


@operation(
    lambda address, like: types.CPointer(like)(types.int64, like),
    lambda builder, address, like: builder.inttoptr(address, like.type.as_pointer()),
)
def pointer_to(address: Any, like: Any) -> Pointer:
    """Return a pointer to elements of the type of `like`."""
    return address


@operation(lambda pointer, n: pointer(pointer, types.intp), lambda builder, pointer, n: builder.gep(pointer, [n]))
def advance(pointer: Pointer, n: int) -> Pointer:
    """Return a pointer to the element that is n elements later."""
    return pointer[n:]


@operation(
    lambda pointer, n: pointer(pointer, types.intp),
    lambda builder, pointer, n: builder.alloca(pointer.type.pointee, size=n),
)
def stack(pointer: Pointer, n: int) -> Pointer:
    """Return a pointer to n elements on the calling function's stack, of the type that `pointer` points to."""
    return [0] * n if isinstance(pointer, list) else np.empty(n, pointer.dtype)


@operation(lambda pointer: types.intp(pointer), lambda builder, pointer: lowering.INT64(lowering.lanes(pointer)))
def lanes(pointer: Pointer) -> int:
    """Return the number of elements of a vector that a pointer loads."""
    return VECTOR_BYTES // int(pointer.itemsize)


@inner(forceinline=True)
def elements_to_line(pointer: Pointer, index: int) -> int:
    """Return the number of elements from an index to the next beginning of a cache line; 0 if a line begins there."""
    width = lanes(pointer)
    return (-(address(pointer) // (VECTOR_BYTES // width) + index)) % width


@operation(lambda pointer, value: pointer.dtype(pointer, pointer.dtype), lambda builder, pointer, value: value)
def as_element(pointer: Pointer, value: Any) -> Any:
    """Return a number, rounded to the dtype of the pointer's elements."""
    return pointer.dtype.type(value)


@operation(lambda pointer, index: lowering.vector_of(pointer)(pointer, types.intp))
def load(pointer: Pointer, index: int) -> Vector:
    """Load a vector."""
    return pointer[index : index + lanes(pointer)].copy()


@operation(lambda pointer, index, vector: types.void(pointer, types.intp, vector))
def store(pointer: Pointer, index: int, vector: Vector) -> None:
    """Store a vector."""
    pointer[index : index + len(vector)] = vector


@operation(lambda pointer, index, vector: types.void(pointer, types.intp, vector))
def store_nontemporal(pointer: Pointer, index: int, vector: Vector) -> None:
    """Store a vector to memory without caching it. If its address is not a multiple of 64, the process crashes."""
    pointer[index : index + len(vector)] = vector


@operation(lambda pointer, index, mask: lowering.vector_of(pointer)(pointer, types.intp, mask))
def masked_load(pointer: Pointer, index: int, mask: Mask) -> Vector:
    """Load the elements where the mask is true. The other elements are 0, and their memory is not accessed."""
    vector = np.zeros(len(mask), pointer.dtype)
    vector[mask] = pointer[index : index + len(mask)][mask[: len(pointer) - index]]
    return vector


@operation(lambda pointer, index, mask, vector: types.void(pointer, types.intp, mask, vector))
def masked_store(pointer: Pointer, index: int, mask: Mask, vector: Vector) -> None:
    """Store the elements where the mask is true."""
    pointer[index : index + len(mask)][mask[: len(pointer) - index]] = vector[mask]


@operation(lambda pointer, value: lowering.vector_of(pointer)(pointer, pointer.dtype))
def broadcast(pointer: Pointer, value: Any) -> Vector:
    """Return a vector of the pointer's element type with the same value in all lanes."""
    return np.full(lanes(pointer), value, pointer.dtype)


@operation(lambda pointer, n: lowering.vector_of(pointer, types.boolean)(pointer, types.intp))
def first_lanes(pointer: Pointer, n: int) -> Mask:
    """Return the mask that is true in the first n lanes."""
    return np.arange(lanes(pointer)) < n


@operation(lambda mask, a, b: a(mask, a, b), lambda builder, mask, a, b: builder.select(mask, a, b))
def select(mask: Mask, a: Vector, b: Vector) -> Vector:
    """Return the elements of a where the mask is true, and the elements of b elsewhere."""
    return np.where(mask, a, b)


@operation(lambda vector: vector.dtype(vector))
def reduce_add(vector: Vector) -> Any:
    """Return the sum of a vector's elements."""
    return vector.sum()


@operation(lambda vector: types.float64(vector))
def reduce_add_double(vector: Vector) -> Any:
    """Return the sum of a vector's elements, added in float64."""
    return vector.sum(dtype=np.float64)


@inner(forceinline=True)
def update_max(p: Vector, g: Vector, max_p: Vector, max_g: Vector) -> tuple[Vector, Vector]:
    """Return the larger of p and max_p, and the values of g and max_g that belong to them, lane by lane."""
    larger = p > max_p
    return select(larger, p, max_p), select(larger, g, max_g)


@inner(forceinline=True)
def larger(a: Vector, b: Vector) -> Vector:
    """Return the larger of two vectors, lane by lane; b where a or b is NaN."""
    return select(a > b, a, b)


@inner(forceinline=True)
def two_sum(total: Any, rest: Any, term: Any) -> tuple[Any, Any]:
    """Add `term`, a vector or a number, to the sum total + rest; return the new total and the new rest.

    The rest receives the rounding error of the total, so only additions to the rest lose digits (Knuth's TwoSum).
    """
    new = total + term
    added = new - total
    return new, rest + ((total - (new - added)) + (term - added))


@operation(lambda keys, values: types.UniTuple(keys.dtype, 2)(keys, values))
def argmax(keys: Vector, values: Vector) -> tuple[Any, Any]:
    """Return the largest key and the value in its lane. If several keys are largest, any of them may be taken."""
    lane = np.argmax(keys)
    return keys[lane], values[lane]


@operation(lambda vector: vector(vector))
def power_of_two(vector: Vector) -> Vector:
    """Move the lowest bits of each lane to its sign and exponent, and set its mantissa to 0."""
    integer, bits = (np.int64, 52) if vector.itemsize == 8 else (np.int32, 23)
    return (vector.view(integer) << bits).view(vector.dtype)


@operation(lambda pointer, index: types.void(pointer, types.intp))
def prefetch(pointer: Pointer, index: int) -> None:
    """Begin to load the cache line of an element. The address need not be valid."""


def _atomic(result: str, emit: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator for an operation of compiled code on one of several words.

    `emit` takes LLVM's builder, a pointer to the word, and the other arguments.
    """
    return operation(
        lambda words, index, *values: getattr(types, result)(words, types.intp, *[types.int64] * len(values)),
        lambda builder, words, index, *values: emit(builder, builder.gep(words, [index]), *values),
    )


@_atomic("int64", lambda builder, word: builder.load_atomic(word, "acquire", 8))
def load_acquire(words: Pointer, index: int) -> Any:
    """Load a word. If `store_release` stored it, later loads see everything that was written before that store."""


@_atomic("void", lambda builder, word, value: builder.store_atomic(value, word, "release", 8))
def store_release(words: Pointer, index: int, value: Any) -> None:
    """Store a word after everything that was written before."""


@_atomic("int64", lambda builder, word, value: builder.atomic_rmw("add", word, value, "acq_rel"))
def fetch_add(words: Pointer, index: int, value: Any) -> Any:
    """Add to a word, and return its old value."""


@_atomic("boolean", lambda builder, *words: builder.extract_value(builder.cmpxchg(*words, "acq_rel", "acquire"), 1))
def compare_exchange(words: Pointer, index: int, old: Any, new: Any) -> Any:
    """Store `new` if the word equals `old`, and return whether it did."""


@operation(lambda: types.void())
def spin_pause() -> None:
    """Tell the processor that it executes a loop that waits."""


@operation(lambda: types.void())
def yield_processor() -> None:
    """Let another thread run on this processor if one waits for it."""


@operation(lambda: types.int64())
def release_gil() -> int:
    """Release Python's global lock, so that other threads run; return the thread's state for `acquire_gil`."""
    return 0


@operation(lambda state: types.void(types.int64))
def acquire_gil(state: int) -> None:
    """Acquire Python's global lock again if `state` is a result of `release_gil`; do nothing if it is 0."""
