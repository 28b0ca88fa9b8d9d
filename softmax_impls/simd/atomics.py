"""Atomic operations on 64-bit words of memory that threads share; interpreted, the words are a list."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from softmax_impls.simd.lowering import operation
from softmax_impls.simd.vectors import Pointer


def _emit_pause(builder: Any) -> Any:
    if platform.machine() in ("x86_64", "AMD64"):
        nothing = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, nothing, "llvm.x86.sse2.pause"), [])


@operation(
    lambda words, index: types.int64(words, types.intp),
    lambda builder, words, index: builder.load_atomic(builder.gep(words, [index]), "acquire", 8),
)
def load_acquire(words: Pointer, index: int) -> int:
    """Load a word. Later loads see everything that was written before its `store_release`."""
    return int(words[index])


@operation(
    lambda words, index, value: types.void(words, types.intp, types.int64),
    lambda builder, words, index, value: builder.store_atomic(value, builder.gep(words, [index]), "release", 8),
)
def store_release(words: Pointer, index: int, value: int) -> None:
    """Store a word after everything that was written before."""
    words[index] = value


@operation(
    lambda words, index, value: types.int64(words, types.intp, types.int64),
    lambda builder, words, index, value: builder.atomic_rmw("add", builder.gep(words, [index]), value, "acq_rel"),
)
def fetch_add(words: Pointer, index: int, value: int) -> int:
    """Add to a word, and return its old value."""
    words[index] += value
    return int(words[index]) - value


@operation(
    lambda words, index, old, new: types.boolean(words, types.intp, types.int64, types.int64),
    lambda builder, words, index, old, new: builder.extract_value(
        builder.cmpxchg(builder.gep(words, [index]), old, new, "acq_rel", "acquire"), 1
    ),
)
def compare_exchange(words: Pointer, index: int, old: int, new: int) -> bool:
    """Store `new` if the word equals `old`, and return whether it did."""
    if words[index] != old:
        return False
    words[index] = new
    return True


@operation(lambda: types.void(), _emit_pause)
def spin_pause() -> None:
    """Tell the processor that it executes a loop that waits."""


@operation(
    lambda address, like: types.CPointer(like)(types.int64, like),
    lambda builder, address, like: builder.inttoptr(address, like.type.as_pointer()),
)
def pointer_to(address: int, like: Any) -> Pointer:
    """Return a pointer to elements of the type of `like`. Only compiled code can call it."""
    raise NotImplementedError
