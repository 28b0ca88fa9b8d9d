"""How `_vectors` and `_atomics` become LLVM's instructions: a Numba type for vectors, and what its operations emit.

`operation` makes functions that mean one thing in Python and emit another where Numba compiles. The rest emits: it is
called with LLVM's builder and LLVM's values, whose types say what to do.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.core.imputils import lower_builtin
from numba.extending import intrinsic, models, register_model, type_callable

BYTES = 64  # of a vector

F = TypeVar("F", bound=Callable[..., Any])
INT32, WORD = ir.IntType(32), ir.IntType(64)
POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


class VectorType(types.Type):
    """So many elements of one type."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: VectorType) -> None:
        element = ir.IntType(1) if kind.dtype == types.boolean else manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.lanes))


def operation(signature: Callable[..., Any], emit: Callable[..., Any]) -> Callable[[F], F]:
    """Where Numba compiles, put what `emit` builds in the place of the decorated function.

    `signature` makes Numba's signature from the argument types, `emit` instructions from a builder and the arguments.
    """

    def typed(typing: Any, *arguments: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return emit(builder, *values)

        return signature(*arguments), build

    def decorate(interpreted: F) -> F:
        parameters = [inspect.Parameter(name, POSITIONAL) for name in inspect.signature(interpreted).parameters]
        typing = inspect.Parameter("typing", POSITIONAL)
        typed.__signature__ = inspect.Signature([typing, *parameters])  # type: ignore[attr-defined]
        typed.__name__ = interpreted.__name__
        return interpreted if DISABLE_JIT else cast(F, intrinsic(typed))

    return decorate


def kind(pointer: Any) -> VectorType:
    """Return the type of a vector loaded from a pointer of a Numba type."""
    return VectorType(pointer.dtype, BYTES * 8 // pointer.dtype.bitwidth)


def mask(pointer: Any) -> VectorType:
    """Return the type of a mask for such vectors."""
    return VectorType(types.boolean, kind(pointer).lanes)


def size(pointer: Any) -> int:
    """Return the bytes of what a pointer points to."""
    return 8 if isinstance(pointer.type.pointee, ir.DoubleType) else 4


def llvm_vector(pointer: Any) -> Any:
    """Return LLVM's type of a vector of what a pointer points to."""
    return ir.VectorType(pointer.type.pointee, BYTES // size(pointer))


def place(builder: Any, pointer: Any, at: Any) -> Any:
    """Return a pointer to the vector that begins at an element."""
    return builder.bitcast(builder.gep(pointer, [at]), llvm_vector(pointer).as_pointer())


def splat(builder: Any, value: Any, lanes: int) -> Any:
    """Return a vector of one value throughout."""
    one = builder.insert_element(ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined), value, INT32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def _halves(builder: Any, vector: Any) -> list[Any]:
    half = vector.type.count // 2
    halves = (ir.Constant(ir.VectorType(INT32, half), list(range(s, s + half))) for s in (0, half))
    return [builder.shuffle_vector(vector, vector, indices) for indices in halves]


def store_nontemporal(builder: Any, pointer: Any, at: Any, value: Any) -> None:
    """Store a vector past the caches."""
    stored = builder.store(value, place(builder, pointer, at), align=BYTES)
    stored.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))


def first_lanes(builder: Any, pointer: Any, n: Any) -> Any:
    """Return the mask of the first n elements."""
    lanes = llvm_vector(pointer).count
    numbers = ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, splat(builder, builder.trunc(n, INT32), lanes))


def masked(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call llvm.masked.load or .store, which touch no memory where the mask is false."""
    vector = next(one.type for one in reversed(arguments) if one.type.__class__ is ir.VectorType and one.type.element)
    return builder.call(
        cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(result, [one.type for one in arguments]),
            f"llvm.masked.{name}.v{vector.count}f{8 * BYTES // vector.count}.p0",
        ),
        arguments,
    )


def reduce_add(builder: Any, vector: Any) -> Any:
    """Add up a vector's elements, halves to each other: exact to log₂ of their number of roundings."""
    while vector.type.count > 1:
        vector = builder.fadd(*_halves(builder, vector))
    return builder.extract_element(vector, INT32(0))


def argmax(builder: Any, keys: Any, values: Any) -> Any:
    """Return a pair, the largest key and its value; of the first of them, if there are several."""
    while keys.type.count > 1:
        (a, b), (x, y) = _halves(builder, keys), _halves(builder, values)
        larger = builder.fcmp_ordered(">", b, a)
        keys, values = builder.select(larger, b, a), builder.select(larger, y, x)
    pair = ir.Constant(ir.ArrayType(keys.type.element, 2), ir.Undefined)
    for index, one in enumerate((keys, values)):
        pair = builder.insert_value(pair, builder.extract_element(one, INT32(0)), index)
    return pair


def _binary(symbol: Callable[..., Any], mask: bool, emit: Callable[..., Any]) -> None:
    """Make an operator of two vectors."""

    @type_callable(symbol)
    def typed(context: Any) -> Callable[..., Any]:
        def result(a: Any, b: Any) -> Any:
            if isinstance(a, VectorType) and a == b:
                return VectorType(types.boolean, a.lanes) if mask else a
            return None

        return result

    @lower_builtin(symbol, VectorType, VectorType)  # type: ignore[untyped-decorator]
    def lowered(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return emit(builder, *values)


# "contract" allows a product and a sum to become one fused operation, and nothing else.
_binary(operator.add, False, lambda builder, a, b: builder.fadd(a, b, flags=("contract",)))
_binary(operator.sub, False, lambda builder, a, b: builder.fsub(a, b, flags=("contract",)))
_binary(operator.mul, False, lambda builder, a, b: builder.fmul(a, b, flags=("contract",)))
_binary(operator.gt, True, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
