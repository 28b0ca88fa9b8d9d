"""Atomic operations on 64-bit words of memory that threads share. Only compiled code can call them."""

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from softmax_impls.simd.lowering import F, operation
from softmax_impls.simd.vectors import Pointer


def _atomic(result: Any, emit: Callable[..., Any]) -> Callable[[F], F]:
    """Define an operation: `emit` takes LLVM's builder, a pointer to a word, and further words."""
    return operation(
        lambda words, index, *values: result(words, types.intp, *[types.int64] * len(values)),
        lambda builder, words, index, *values: emit(builder, builder.gep(words, [index]), *values),
    )


@_atomic(types.int64, lambda builder, word: builder.load_atomic(word, "acquire", 8))
def load_acquire(words: Pointer, index: int) -> Any:
    """Load a word. Later loads see everything that was written before its `store_release`."""


@_atomic(types.void, lambda builder, word, value: builder.store_atomic(value, word, "release", 8))
def store_release(words: Pointer, index: int, value: Any) -> None:
    """Store a word after everything that was written before."""


@_atomic(types.int64, lambda builder, word, value: builder.atomic_rmw("add", word, value, "acq_rel"))
def fetch_add(words: Pointer, index: int, value: Any) -> Any:
    """Add to a word, and return its old value."""


@_atomic(
    types.boolean,
    lambda builder, word, old, new: builder.extract_value(builder.cmpxchg(word, old, new, "acq_rel", "acquire"), 1),
)
def compare_exchange(words: Pointer, index: int, old: Any, new: Any) -> Any:
    """Store `new` if the word equals `old`, and return whether it did."""


def _emit_pause(builder: Any) -> None:
    if platform.machine() in ("x86_64", "AMD64"):
        function = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.x86.sse2.pause"), [])


@operation(lambda: types.void(), _emit_pause)
def spin_pause() -> None:
    """Tell the processor that it executes a loop that waits."""


@operation(
    lambda address, like: types.CPointer(like)(types.int64, like),
    lambda builder, address, like: builder.inttoptr(address, like.type.as_pointer()),
)
def pointer_to(address: Any, like: Any) -> Pointer:
    """Return a pointer to elements of the type of `like`."""
