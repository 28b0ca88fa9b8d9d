"""How the operations of `vectors` become LLVM instructions."""

import os
import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from softmax_impls.simd import vectors as vec
from softmax_impls.simd.operators import VectorType, operation
from softmax_impls.simd.sizes import VECTOR_BYTES

_X86 = platform.machine() in ("x86_64", "AMD64")
INT32, INT64, VOID, BYTES = ir.IntType(32), ir.IntType(64), ir.VoidType(), ir.IntType(8).as_pointer()


def vector_of(pointer: Any, element: Any = None) -> VectorType:
    """Return Numba's type of the vectors that a pointer loads.

    If the type `element` is given, the vector type has as many elements, but of the type `element`.
    """
    return VectorType(element or pointer.dtype, VECTOR_BYTES * 8 // pointer.dtype.bitwidth)


def _element_bytes(pointer: Any) -> int:
    return 8 if isinstance(pointer.type.pointee, ir.DoubleType) else 4


def lanes(pointer: Any) -> int:
    """Return the number of elements of the vectors that a pointer loads."""
    return VECTOR_BYTES // _element_bytes(pointer)


def _vector_at(builder: Any, pointer: Any, index: Any) -> Any:
    vector = ir.VectorType(pointer.type.pointee, lanes(pointer))
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


@operation(vec.load, lambda pointer, index: vector_of(pointer)(pointer, types.intp))
def load(builder: Any, pointer: Any, index: Any) -> Any:
    """Emit a load of a vector from an address that is aligned for an element, not for a vector."""
    return builder.load(_vector_at(builder, pointer, index), align=_element_bytes(pointer))


@operation(vec.store, lambda pointer, index, vector: types.void(pointer, types.intp, vector))
def store(builder: Any, pointer: Any, index: Any, vector: Any) -> None:
    """Emit a store of a vector to an address that is aligned for an element, not for a vector."""
    builder.store(vector, _vector_at(builder, pointer, index), align=_element_bytes(pointer))


def _store_nontemporal(alignment: int) -> Callable[..., None]:
    """Return a function that emits a non-temporal store of a vector; its address is a multiple of `alignment`."""

    def emit(builder: Any, pointer: Any, index: Any, vector: Any) -> None:
        stored = builder.store(vector, _vector_at(builder, pointer, index), align=alignment)
        stored.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))

    return emit


for function, alignment in ((vec.store_nontemporal, VECTOR_BYTES), (vec.store_nontemporal_parts, 16)):
    operation(function, lambda pointer, index, vector: types.void(pointer, types.intp, vector))(
        _store_nontemporal(alignment)
    )


def _masked(name: str, builder: Any, pointer: Any, index: Any) -> tuple[str, tuple[Any, Any]]:
    nbytes = _element_bytes(pointer)
    name = f"llvm.masked.{name}.v{lanes(pointer)}f{8 * nbytes}.p0"
    return name, (_vector_at(builder, pointer, index), INT32(nbytes))


@operation(vec.masked_load, lambda pointer, index, mask: vector_of(pointer)(pointer, types.intp, mask))
def masked_load(builder: Any, pointer: Any, index: Any, mask: Any) -> Any:
    """Emit a load that does not access memory where the mask is false; the vector is 0 there."""
    zero = ir.Constant(ir.VectorType(pointer.type.pointee, lanes(pointer)), None)
    name, place = _masked("load", builder, pointer, index)
    return external(builder, name, zero.type, *place, mask, zero)


@operation(vec.masked_store, lambda pointer, index, mask, vector: types.void(pointer, types.intp, mask, vector))
def masked_store(builder: Any, pointer: Any, index: Any, mask: Any, vector: Any) -> None:
    """Emit a store that does not access memory where the mask is false."""
    name, place = _masked("store", builder, pointer, index)
    external(builder, name, VOID, vector, *place, mask)


def external(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Emit a call of a C function or an intrinsic of LLVM."""
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


@operation(vec.broadcast, lambda pointer, value: vector_of(pointer)(pointer, pointer.dtype))
def broadcast(builder: Any, pointer: Any, value: Any) -> Any:
    """Emit a vector with the same value in all lanes."""
    n = lanes(pointer)
    first = builder.insert_element(ir.Constant(ir.VectorType(value.type, n), ir.Undefined), value, INT32(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(INT32, n), [0] * n))


@operation(vec.first_lanes, lambda pointer, n: vector_of(pointer, types.boolean)(pointer, types.intp))
def first_lanes(builder: Any, pointer: Any, n: Any) -> Any:
    """Emit the mask of the first n lanes."""
    numbers = ir.Constant(ir.VectorType(INT32, lanes(pointer)), list(range(lanes(pointer))))
    return builder.icmp_signed("<", numbers, broadcast(builder, pointer, builder.trunc(n, INT32)))


def _halves(builder: Any, vector: Any) -> list[Any]:
    half = vector.type.count // 2
    halves = (ir.Constant(ir.VectorType(INT32, half), list(range(s, s + half))) for s in (0, half))
    return [builder.shuffle_vector(vector, vector, indices) for indices in halves]


@operation(vec.reduce_add, lambda vector: vector.dtype(vector))
def reduce_add(builder: Any, vector: Any) -> Any:
    """Emit the sum of the lanes: one half of the vector is added to the other half, log₂(lanes) times."""
    while vector.type.count > 1:
        vector = builder.fadd(*_halves(builder, vector))
    return builder.extract_element(vector, INT32(0))


@operation(vec.reduce_add_double, lambda vector: types.float64(vector))
def reduce_add_double(builder: Any, vector: Any) -> Any:
    """Emit the sum of the lanes in float64."""
    if not isinstance(vector.type.element, ir.DoubleType):
        vector = builder.fpext(vector, ir.VectorType(ir.DoubleType(), vector.type.count))
    return reduce_add(builder, vector)


@operation(vec.argmax, lambda keys, values: types.UniTuple(keys.dtype, 2)(keys, values))
def argmax(builder: Any, keys: Any, values: Any) -> Any:
    """Emit a pair: the largest of `keys`, and its value. If several keys are largest, any of them may be taken."""
    while keys.type.count > 1:
        (a, b), (x, y) = _halves(builder, keys), _halves(builder, values)
        larger = builder.fcmp_ordered(">", b, a)
        keys, values = builder.select(larger, b, a), builder.select(larger, y, x)
    return cgutils.pack_array(builder, [builder.extract_element(vector, INT32(0)) for vector in (keys, values)])


@operation(vec.at_once, lambda value: value(value))
def at_once(builder: Any, value: Any) -> Any:
    """Emit assembler code that has no instructions, and takes and returns a number: LLVM never moves such code."""
    if not _X86:
        return value
    return builder.call(ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=x,0", side_effect=True), [value])


@operation(vec.has, lambda pointer, index, value: types.boolean(pointer, types.intp, pointer.dtype))
def has(builder: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Emit a comparison of a vector with a value, which gives a bit for each lane, and a test whether a bit is 1."""
    equal = builder.fcmp_ordered("==", load(builder, pointer, index), broadcast(builder, pointer, value))
    bits = ir.IntType(lanes(pointer))
    return builder.icmp_unsigned("!=", builder.bitcast(equal, bits), bits(0))


operation(vec.address, lambda pointer: types.intp(pointer))(lambda builder, pointer: builder.ptrtoint(pointer, INT64))
operation(vec.pointer_to, lambda address, like: types.CPointer(like)(types.int64, like))(
    lambda builder, address, like: builder.inttoptr(address, like.type.as_pointer())
)
operation(vec.advance, lambda pointer, n: pointer(pointer, types.intp))(
    lambda builder, pointer, n: builder.gep(pointer, [n])
)
operation(vec.stack, lambda pointer, n: pointer(pointer, types.intp))(
    lambda builder, pointer, n: builder.alloca(pointer.type.pointee, size=n)
)
operation(vec.lanes, lambda pointer: types.intp(pointer))(lambda builder, pointer: INT64(lanes(pointer)))
operation(vec.as_element, lambda pointer, value: pointer.dtype(pointer, pointer.dtype))(
    lambda builder, pointer, value: value
)
operation(vec.select, lambda mask, a, b: a(mask, a, b))(lambda builder, mask, a, b: builder.select(mask, a, b))


def _atomic(function: Any, result: Any, emit: Callable[..., Any]) -> None:
    """Define an operation on a word in memory; `emit` takes the builder, a pointer to the word, and other operands."""
    operation(function, lambda words, index, *values: result(words, types.intp, *[types.int64] * len(values)))(
        lambda builder, words, index, *values: emit(builder, builder.gep(words, [index]), *values)
    )


_atomic(vec.load_acquire, types.int64, lambda builder, word: builder.load_atomic(word, "acquire", 8))
_atomic(vec.store_release, types.void, lambda builder, word, value: builder.store_atomic(value, word, "release", 8))
_atomic(vec.fetch_add, types.int64, lambda builder, word, value: builder.atomic_rmw("add", word, value, "acq_rel"))
_atomic(
    vec.compare_exchange, types.boolean,
    lambda builder, *words: builder.extract_value(builder.cmpxchg(*words, "acq_rel", "acquire"), 1),
)  # fmt: skip


@operation(vec.power_of_two, lambda vector: vector(vector))
def power_of_two(builder: Any, vector: Any) -> Any:
    """Emit the shift of `vectors.power_of_two`: the lowest bits of each lane become its sign and exponent."""
    integer, bits = (INT64, 52) if isinstance(vector.type.element, ir.DoubleType) else (INT32, 23)
    integers = ir.VectorType(integer, vector.type.count)
    shifted = builder.shl(builder.bitcast(vector, integers), ir.Constant(integers, [bits] * vector.type.count))
    return builder.bitcast(shifted, vector.type)


@operation(vec.prefetch, lambda pointer, index: types.void(pointer, types.intp))
def prefetch(builder: Any, pointer: Any, index: Any) -> None:
    """Emit a prefetch of the cache line of an element."""
    address = builder.bitcast(builder.gep(pointer, [index]), BYTES)
    external(builder, "llvm.prefetch.p0", VOID, address, INT32(0), INT32(3), INT32(1))


@operation(vec.call_task, lambda address, *rest: types.int64(types.int64, *rest[:4], types.int64, types.int64))
def call_task(builder: Any, address: Any, *values: Any) -> Any:
    """Emit a call of the task at an address with the arguments `values`; return the task's result.

    A function that Numba compiles has two more parameters before its own: pointers to its result and to an exception.
    """
    result, exception = cgutils.alloca_once(builder, INT64), cgutils.alloca_once(builder, BYTES)
    function = ir.FunctionType(INT32, [result.type, exception.type, *(value.type for value in values)])
    builder.call(builder.inttoptr(address, function.as_pointer()), [result, exception, *values])
    return builder.load(result)


@operation(vec.spin_pause, lambda: types.void())
def spin_pause(builder: Any) -> None:
    """Emit the instruction that x86 processors have for loops that wait; on other processors, emit nothing."""
    if _X86:
        external(builder, "llvm.x86.sse2.pause", VOID)


@operation(vec.yield_processor, lambda: types.void())
def yield_processor(builder: Any) -> None:
    """Emit a call that lets another thread run; on Windows, emit nothing."""
    if os.name == "posix":
        external(builder, "sched_yield", INT32)


@operation(vec.release_gil, lambda: types.int64())
def release_gil(builder: Any) -> Any:
    """Emit a call that releases Python's global lock; its result is the address of the thread's state."""
    return builder.ptrtoint(external(builder, "PyEval_SaveThread", BYTES), INT64)


@operation(vec.acquire_gil, lambda state: types.void(types.int64))
def acquire_gil(builder: Any, state: Any) -> None:
    """Emit a call that acquires Python's global lock again, unless the state is 0."""
    with builder.if_then(builder.icmp_signed("!=", state, INT64(0))):
        external(builder, "PyEval_RestoreThread", VOID, builder.inttoptr(state, BYTES))
