"""Words of memory that threads share without locks, in compiled code; interpreted, they are a list's elements."""

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
    lambda words, at: types.int64(words, types.intp),
    lambda builder, words, at: builder.load_atomic(builder.gep(words, [at]), "acquire", 8),
)
def load_acquire(words: Pointer, at: int) -> int:
    """Return a word; what was written before it was published is seen by what follows."""
    return int(words[at])


@operation(
    lambda words, at, value: types.void(words, types.intp, types.int64),
    lambda builder, words, at, value: builder.store_atomic(value, builder.gep(words, [at]), "release", 8),
)
def store_release(words: Pointer, at: int, value: int) -> None:
    """Store a word, after all that was written before."""
    words[at] = value


@operation(
    lambda words, at, value: types.int64(words, types.intp, types.int64),
    lambda builder, words, at, value: builder.atomic_rmw("add", builder.gep(words, [at]), value, "acq_rel"),
)
def fetch_add(words: Pointer, at: int, value: int) -> int:
    """Add to a word; returns what it was."""
    words[at] += value
    return int(words[at]) - value


@operation(
    lambda words, at, old, new: types.boolean(words, types.intp, types.int64, types.int64),
    lambda builder, words, at, old, new: builder.extract_value(
        builder.cmpxchg(builder.gep(words, [at]), old, new, "acq_rel", "acquire"), 1
    ),
)
def compare_exchange(words: Pointer, at: int, old: int, new: int) -> bool:
    """Store a new word if it still is the old one; returns whether it was."""
    if words[at] != old:
        return False
    words[at] = new
    return True


@operation(lambda: types.void(), _emit_pause)
def spin_pause() -> None:
    """Tell the processor that this is a loop that waits."""


@operation(
    lambda address, like: types.CPointer(like)(types.int64, like),
    lambda builder, address, like: builder.inttoptr(address, like.type.as_pointer()),
)
def pointer_to(address: int, like: Any) -> Pointer:
    """Return a pointer to elements of the type of `like`; only compiled code can."""
    raise NotImplementedError
