"""Memory in compiled code: vectors of 64 bytes, with masks and non-temporal stores; and atomic words for threads.

A kernel loads 64 bytes of consecutive elements from a pointer, computes with + - * > as with arrays, and stores the
result. 64 bytes are a cache line, or one register of AVX-512, two of AVX2, four of SSE or NEON. An index counts
elements from the pointer. Each operation is defined here in Python, for the reader and the interpreter, and in
`lowering` in LLVM instructions, for Numba.

Helpers take pointers, not arrays: Numba counts references to arrays, by two atomic operations per call, and on short
rows these two operations took more time than the arithmetic.
"""

from typing import Any

import numpy as np

from softmax_impls.simd.sizes import VECTOR_BYTES

Pointer = Any  # compiled: a pointer to elements; interpreted: a one-dimensional view of the array
Vector = Any  # compiled: 64 bytes of elements; interpreted: a one-dimensional array
Mask = Any  # a boolean for each lane of a vector


def address(pointer: Pointer) -> int:
    """Return the address that a pointer points to."""
    return int(pointer.ctypes.data)


def pointer_to(address: Any, like: Any) -> Pointer:
    """Return a pointer to an address, whose elements have the type of the number `like`."""
    return address


def advance(pointer: Pointer, n: int) -> Pointer:
    """Return a pointer to the element that is n elements later."""
    return pointer[n:]


def stack(pointer: Pointer, n: int) -> Pointer:
    """Return a pointer to n elements on the calling function's stack, of the type that `pointer` points to."""
    return [0] * n if isinstance(pointer, list) else np.empty(n, pointer.dtype)


def lanes(pointer: Pointer) -> int:
    """Return how many elements a vector from this pointer has: 16 for float32, 8 for float64."""
    return VECTOR_BYTES // int(pointer.itemsize)


def elements_to_line(pointer: Pointer, index: int) -> int:
    """Return the number of elements from an index to the next beginning of a cache line; 0 if a line begins there."""
    width = lanes(pointer)
    return (-(address(pointer) // (VECTOR_BYTES // width) + index)) % width


def as_element(pointer: Pointer, value: Any) -> Any:
    """Return a number, rounded to the dtype of the pointer's elements."""
    return pointer.dtype.type(value)


def load(pointer: Pointer, index: int) -> Vector:
    """Load a vector."""
    return pointer[index : index + lanes(pointer)].copy()


def store(pointer: Pointer, index: int, vector: Vector) -> None:
    """Store a vector."""
    pointer[index : index + len(vector)] = vector


def store_nontemporal(pointer: Pointer, index: int, vector: Vector) -> None:
    """Store a vector to memory without caching it. If its address is not a multiple of 64, the process crashes."""
    pointer[index : index + len(vector)] = vector


def store_nontemporal_parts(pointer: Pointer, index: int, vector: Vector) -> None:
    """Store a vector like `store_nontemporal`, but in parts of 16 bytes. Its address has to be a multiple of 16."""
    pointer[index : index + len(vector)] = vector


def masked_load(pointer: Pointer, index: int, mask: Mask) -> Vector:
    """Load the elements where the mask is true. The other elements are 0, and their memory is not accessed."""
    vector = np.zeros(len(mask), pointer.dtype)
    vector[mask] = pointer[index : index + len(mask)][mask[: len(pointer) - index]]
    return vector


def masked_store(pointer: Pointer, index: int, mask: Mask, vector: Vector) -> None:
    """Store the elements where the mask is true."""
    pointer[index : index + len(mask)][mask[: len(pointer) - index]] = vector[mask]


def broadcast(pointer: Pointer, value: Any) -> Vector:
    """Return a vector of the pointer's element type with the same value in all lanes."""
    return np.full(lanes(pointer), value, pointer.dtype)


def first_lanes(pointer: Pointer, n: int) -> Mask:
    """Return the mask that is true in the first n lanes."""
    return np.arange(lanes(pointer)) < n


def select(mask: Mask, a: Vector, b: Vector) -> Vector:
    """Return the elements of a where the mask is true, and the elements of b elsewhere."""
    return np.where(mask, a, b)


def reduce_add(vector: Vector) -> Any:
    """Return the sum of a vector's elements."""
    return vector.sum()


def reduce_add_double(vector: Vector) -> Any:
    """Return the sum of a vector's elements, added in float64."""
    return vector.sum(dtype=np.float64)


def update_max(p: Vector, g: Vector, max_p: Vector, max_g: Vector) -> tuple[Vector, Vector]:
    """Return the larger of p and max_p, and the values of g and max_g that belong to them, lane by lane."""
    larger = p > max_p
    return select(larger, p, max_p), select(larger, g, max_g)


def larger(a: Vector, b: Vector) -> Vector:
    """Return the larger of two vectors, lane by lane; b where a or b is NaN."""
    return select(a > b, a, b)


def two_sum(total: Any, rest: Any, term: Any) -> tuple[Any, Any]:
    """Add `term`, a vector or a number, to the sum total + rest; return the new total and the new rest.

    The rest receives the rounding error of the total, so only additions to the rest lose digits (Knuth's TwoSum).
    """
    new = total + term
    added = new - total
    return new, rest + ((total - (new - added)) + (term - added))


def argmax(keys: Vector, values: Vector) -> tuple[Any, Any]:
    """Return the largest key and the value in its lane. If several keys are largest, any of them may be taken."""
    lane = np.argmax(keys)
    return keys[lane], values[lane]


def at_once(value: Any) -> Any:
    """Return `value`, a number. Compiled code computes it at once, not only where it is first used.

    Otherwise LLVM may move the computation there, and later operations have to wait for it.
    """
    return value


def has(pointer: Pointer, index: int, value: Any) -> bool:
    """Whether an element of the vector at an index equals `value`."""
    return bool((pointer[index : index + lanes(pointer)] == value).any())


def power_of_two(vector: Vector) -> Vector:
    """Return 2^k in each lane. The lowest bits of a lane hold the integer k + b, where b is the bias of exponents.

    A shift moves these bits to the sign and exponent of the lane, and sets its mantissa to 0.
    """
    integer, bits = (np.int64, 52) if vector.itemsize == 8 else (np.int32, 23)
    return (vector.view(integer) << bits).view(vector.dtype)


def prefetch(pointer: Pointer, index: int) -> None:
    """Begin to load the cache line of an element. The address need not be valid."""


def load_acquire(words: Pointer, index: int) -> Any:
    """Load a word. If `store_release` stored it, later loads see everything that was written before that store."""


def store_release(words: Pointer, index: int, value: Any) -> None:
    """Store a word after everything that was written before."""


def fetch_add(words: Pointer, index: int, value: Any) -> Any:
    """Add `value` to the word at an index, and return the old word. No other thread can change the word in between."""


def compare_exchange(words: Pointer, index: int, old: Any, new: Any) -> Any:
    """Store `new` if the word at an index equals `old`; return whether it did. Other threads cannot interfere."""


def spin_pause() -> None:
    """Tell the processor that it executes a loop that waits."""


def yield_processor() -> None:
    """Let another thread run on this processor if one waits for it."""


def release_gil() -> int:
    """Release Python's global lock, so that other threads run; return the thread's state for `acquire_gil`."""
    return 0


def acquire_gil(state: int) -> None:
    """Acquire Python's global lock again if `state` is a result of `release_gil`; do nothing if it is 0."""


def call_task(address: Any, call: Any, probs: Any, grad: Any, out: Any, start: int, stop: int) -> Any:
    """Call the task at an address, and return its result."""
    return address(call, probs, grad, out, start, stop)
