"""Numba's type of a vector, and how operators and functions of Python and NumPy become LLVM instructions."""

# mypy: allow-untyped-calls

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import models, register_model

OPERATIONS: dict[Any, Callable[..., Any]] = {}  # function: from the types of arguments to a signature and an emitter


class VectorType(types.Type):
    """Numba's type of a vector: a fixed number of elements (`lanes`) of one type."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: VectorType) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), vector.lanes))


def operation(function: Any, signature: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a decorator for ``emit(builder, *arguments)``, which emits the instructions of a function or an operator.

    `signature` takes the Numba types of the arguments. It returns Numba's signature, or None for types
    that the function does not support.
    """

    def decorate(emit: Any) -> Any:
        emitter = lambda context, builder, _, values: emit(builder, *values)  # noqa: E731
        OPERATIONS[function] = lambda *arguments: (signature(*arguments), emitter)
        return emit

    return decorate


def _same(kind: Any) -> Callable[..., Any]:
    return lambda a, b: a(a, b) if isinstance(a, kind) and a == b else None


def _less(builder: Any, a: Any, b: Any) -> Any:
    return builder.icmp_signed("<", a, b) if isinstance(a.type, ir.IntType) else builder.fcmp_ordered("<", a, b)


def _abs(builder: Any, x: Any) -> Any:
    return builder.call(builder.module.declare_intrinsic("llvm.fabs", [x.type]), [x])


# "contract" allows LLVM to fuse a product and a sum into one instruction, and nothing else.
operation(operator.add, _same(VectorType))(lambda builder, a, b: builder.fadd(a, b, flags=("contract",)))
operation(operator.sub, _same(VectorType))(lambda builder, a, b: builder.fsub(a, b, flags=("contract",)))
operation(operator.mul, _same(VectorType))(lambda builder, a, b: builder.fmul(a, b, flags=("contract",)))
operation(
    operator.gt,
    lambda a, b: VectorType(types.boolean, a.lanes)(a, b) if isinstance(a, VectorType) and a == b else None,
)(lambda builder, a, b: builder.fcmp_ordered(">", a, b))
# Numba's own functions would be compiled separately for each combination of argument types.
operation(min, _same(types.Number))(lambda builder, a, b: builder.select(_less(builder, b, a), b, a))
operation(max, _same(types.Number))(lambda builder, a, b: builder.select(_less(builder, a, b), b, a))
operation(abs, lambda x: x(x) if isinstance(x, types.Float) else None)(_abs)
operation(np.isfinite, lambda x: types.boolean(x) if isinstance(x, types.Float) else None)(
    lambda builder, x: builder.fcmp_ordered("!=", _abs(builder, x), ir.Constant(x.type, float("inf")))
)
