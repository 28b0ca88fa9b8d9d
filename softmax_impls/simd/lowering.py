"""How operations become LLVM instructions: a Numba type for vectors, and functions that emit instructions."""

import operator
import os
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from softmax_impls.simd.lean import define
from softmax_impls.simd.sizes import VECTOR_BYTES

INT32, INT64, VOID, BYTES = ir.IntType(32), ir.IntType(64), ir.VoidType(), ir.IntType(8).as_pointer()


class VectorType(types.Type):
    """Numba's type of a vector: a fixed number of elements (`lanes`) of one type."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: VectorType) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), vector.lanes))


def vector_of(pointer: Any, element: Any = None) -> VectorType:
    """Return Numba's type of the vectors that a pointer loads; if `element` is given, with elements of this type."""
    return VectorType(element or pointer.dtype, VECTOR_BYTES * 8 // pointer.dtype.bitwidth)


def _element_bytes(pointer: Any) -> int:
    return 8 if isinstance(pointer.type.pointee, ir.DoubleType) else 4


def lanes(pointer: Any) -> int:
    """Return the number of elements of the vectors that a pointer loads."""
    return VECTOR_BYTES // _element_bytes(pointer)


def _vector_at(builder: Any, pointer: Any, index: Any) -> Any:
    vector = ir.VectorType(pointer.type.pointee, lanes(pointer))
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def load(builder: Any, pointer: Any, index: Any) -> Any:
    """Emit a load of a vector from an address that is aligned for an element, not for a vector."""
    return builder.load(_vector_at(builder, pointer, index), align=_element_bytes(pointer))


def store(builder: Any, pointer: Any, index: Any, vector: Any) -> None:
    """Emit a store of a vector to an address that is aligned for an element, not for a vector."""
    builder.store(vector, _vector_at(builder, pointer, index), align=_element_bytes(pointer))


def store_nontemporal(builder: Any, pointer: Any, index: Any, vector: Any) -> None:
    """Emit a non-temporal store of a vector. Its address has to be a multiple of the vector's size."""
    stored = builder.store(vector, _vector_at(builder, pointer, index), align=VECTOR_BYTES)
    stored.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))


def _masked(name: str, builder: Any, pointer: Any, index: Any) -> tuple[str, tuple[Any, Any]]:
    nbytes = _element_bytes(pointer)
    name = f"llvm.masked.{name}.v{lanes(pointer)}f{8 * nbytes}.p0"
    return name, (_vector_at(builder, pointer, index), INT32(nbytes))


def masked_load(builder: Any, pointer: Any, index: Any, mask: Any) -> Any:
    """Emit a load that does not access memory where the mask is false; the vector is 0 there."""
    zero = ir.Constant(ir.VectorType(pointer.type.pointee, lanes(pointer)), None)
    name, place = _masked("load", builder, pointer, index)
    return external(builder, name, zero.type, *place, mask, zero)


def masked_store(builder: Any, pointer: Any, index: Any, mask: Any, vector: Any) -> None:
    """Emit a store that does not access memory where the mask is false."""
    name, place = _masked("store", builder, pointer, index)
    external(builder, name, VOID, vector, *place, mask)


def external(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Emit a call of a C function or an intrinsic of LLVM."""
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def broadcast(builder: Any, pointer: Any, value: Any) -> Any:
    """Emit a vector with the same value in all lanes."""
    n = lanes(pointer)
    first = builder.insert_element(ir.Constant(ir.VectorType(value.type, n), ir.Undefined), value, INT32(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(INT32, n), [0] * n))


def first_lanes(builder: Any, pointer: Any, n: Any) -> Any:
    """Emit the mask of the first n lanes."""
    numbers = ir.Constant(ir.VectorType(INT32, lanes(pointer)), list(range(lanes(pointer))))
    return builder.icmp_signed("<", numbers, broadcast(builder, pointer, builder.trunc(n, INT32)))


def _halves(builder: Any, vector: Any) -> list[Any]:
    half = vector.type.count // 2
    halves = (ir.Constant(ir.VectorType(INT32, half), list(range(s, s + half))) for s in (0, half))
    return [builder.shuffle_vector(vector, vector, indices) for indices in halves]


def reduce_add(builder: Any, vector: Any) -> Any:
    """Emit the sum of the lanes: one half of the vector is added to the other half, log₂(lanes) times."""
    while vector.type.count > 1:
        vector = builder.fadd(*_halves(builder, vector))
    return builder.extract_element(vector, INT32(0))


def reduce_add_double(builder: Any, vector: Any) -> Any:
    """Emit the sum of the lanes in float64."""
    if not isinstance(vector.type.element, ir.DoubleType):
        vector = builder.fpext(vector, ir.VectorType(ir.DoubleType(), vector.type.count))
    return reduce_add(builder, vector)


def argmax(builder: Any, keys: Any, values: Any) -> Any:
    """Emit a pair: the largest of `keys`, and its value. If several keys are largest, any of them may be taken."""
    while keys.type.count > 1:
        (a, b), (x, y) = _halves(builder, keys), _halves(builder, values)
        larger = builder.fcmp_ordered(">", b, a)
        keys, values = builder.select(larger, b, a), builder.select(larger, y, x)
    return cgutils.pack_array(builder, [builder.extract_element(vector, INT32(0)) for vector in (keys, values)])


def _builtin(function: Callable[..., Any], result: Callable[..., Any], emit: Callable[..., Any]) -> None:
    """Define for Numba how an operator or a function of Python is compiled: by ``emit(builder, *arguments)``.

    `result` takes the types of the arguments. It returns the type of the result, or None if `emit` cannot handle the
    arguments.
    """

    def typed(*arguments: Any) -> Any:
        found = result(*arguments)
        return found and (found(*arguments), lambda context, builder, signature, values: emit(builder, *values))

    define(function, typed)


def _same(kind: Any) -> Callable[..., Any]:
    return lambda a, b: a if isinstance(a, kind) and a == b else None


def _less(builder: Any, a: Any, b: Any) -> Any:
    return builder.icmp_signed("<", a, b) if isinstance(a.type, ir.IntType) else builder.fcmp_ordered("<", a, b)


def _abs(builder: Any, x: Any) -> Any:
    return builder.call(builder.module.declare_intrinsic("llvm.fabs", [x.type]), [x])


# "contract" allows LLVM to fuse a product and a sum into one instruction, and nothing else.
_builtin(operator.add, _same(VectorType), lambda builder, a, b: builder.fadd(a, b, flags=("contract",)))
_builtin(operator.sub, _same(VectorType), lambda builder, a, b: builder.fsub(a, b, flags=("contract",)))
_builtin(operator.mul, _same(VectorType), lambda builder, a, b: builder.fmul(a, b, flags=("contract",)))
_builtin(
    operator.gt,
    lambda a, b: VectorType(types.boolean, a.lanes) if isinstance(a, VectorType) and a == b else None,
    lambda builder, a, b: builder.fcmp_ordered(">", a, b),
)
# Numba's own functions would be compiled separately for each combination of argument types.
_builtin(min, _same(types.Number), lambda builder, a, b: builder.select(_less(builder, b, a), b, a))
_builtin(max, _same(types.Number), lambda builder, a, b: builder.select(_less(builder, a, b), b, a))
_builtin(abs, lambda x: x if isinstance(x, types.Float) else None, _abs)
_builtin(
    np.isfinite,
    lambda x: types.boolean if isinstance(x, types.Float) else None,
    lambda builder, x: builder.fcmp_ordered("!=", _abs(builder, x), ir.Constant(x.type, float("inf"))),
)


def power_of_two(builder: Any, vector: Any) -> Any:
    """Emit a shift that moves the lowest bits of each lane to the bits of its sign and exponent."""
    integer, bits = (INT64, 52) if isinstance(vector.type.element, ir.DoubleType) else (INT32, 23)
    integers = ir.VectorType(integer, vector.type.count)
    shifted = builder.shl(builder.bitcast(vector, integers), ir.Constant(integers, [bits] * vector.type.count))
    return builder.bitcast(shifted, vector.type)


def prefetch(builder: Any, pointer: Any, index: Any) -> None:
    """Emit a prefetch of the cache line of an element."""
    address = builder.bitcast(builder.gep(pointer, [index]), BYTES)
    external(builder, "llvm.prefetch.p0", VOID, address, INT32(0), INT32(3), INT32(1))


def call_task(builder: Any, address: Any, *values: Any) -> Any:
    """Emit a call of the task at an address. Numba passes pointers to the result and to an exception first."""
    result, exception = cgutils.alloca_once(builder, INT64), cgutils.alloca_once(builder, BYTES)
    function = ir.FunctionType(INT32, [result.type, exception.type, *(value.type for value in values)])
    builder.call(builder.inttoptr(address, function.as_pointer()), [result, exception, *values])
    return builder.load(result)


def spin_pause(builder: Any) -> None:
    """Emit the instruction that x86 processors have for loops that wait; on other processors, emit nothing."""
    if platform.machine() in ("x86_64", "AMD64"):
        external(builder, "llvm.x86.sse2.pause", VOID)


def yield_processor(builder: Any) -> None:
    """Emit a call that lets another thread run; on Windows, emit nothing."""
    if os.name == "posix":
        external(builder, "sched_yield", INT32)


def release_gil(builder: Any) -> Any:
    """Emit a call that releases Python's global lock; its result is the address of the thread's state."""
    return builder.ptrtoint(external(builder, "PyEval_SaveThread", BYTES), INT64)


def acquire_gil(builder: Any, state: Any) -> None:
    """Emit a call that acquires Python's global lock again, unless the state is 0."""
    with builder.if_then(builder.icmp_signed("!=", state, INT64(0))):
        external(builder, "PyEval_RestoreThread", VOID, builder.inttoptr(state, BYTES))
