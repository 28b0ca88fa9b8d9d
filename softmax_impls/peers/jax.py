"""The textbook form, compiled by JAX for each shape. JAX can't write to arrays that it is given: it allocates."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Any

import jax as library
import numpy as np
from jax import numpy as jnp
from jax.extend.backend import clear_backends

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import run
from softmax_impls.registry import register


def _value(p: Any, g: Any) -> Any:
    return p * (g - jnp.sum(p * g, axis=-1, keepdims=True))


@functools.cache
def _compiled(shape: tuple[int, int], dtype: Any) -> Any:
    any_of_these = library.ShapeDtypeStruct(shape, dtype)
    return library.jit(_value).lower(any_of_these, any_of_these).compile()


def bind(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    """Compile for these arrays; in a context of its own, since float64 is a setting of the whole process in JAX."""
    with library.enable_x64(True):
        p, g = library.device_put(probs), library.device_put(grad_output)
        compiled = _compiled(p.shape, p.dtype)
    call = functools.partial(_wait_for, compiled, p, g)
    return call, np.asarray


def _wait_for(compiled: Any, p: Any, g: Any) -> Any:
    return compiled(p, g).block_until_ready()


@functools.lru_cache(maxsize=1)
def set_num_threads(number: int) -> int:
    """Start JAX's CPU client anew with so many threads, which it takes from the processors it sees; returns how many.

    Arrays that JAX made before are lost by that.
    """
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    processors, before = os.sched_getaffinity(0), _workers()
    os.sched_setaffinity(0, sorted(processors)[:number])
    try:
        clear_backends()
        _compiled.cache_clear()
        library.devices()
    finally:
        os.sched_setaffinity(0, processors)
    return _workers() - before


def _workers() -> int:
    """Count the threads of JAX's that compute, those of clients it had before included."""
    names = []
    for thread in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has just ended
            names.append(thread.read_text().strip())
    return names.count("tf_XLAEigen")


@register(
    summary="the closed form, compiled by JAX; allocates its result",
    family="peer",
    requires=("jax",),
    threaded=True,
    allocates=True,
    flush_to_zero=True,
    bind=bind,
    set_num_threads=set_num_threads,
)
def jax(probs: Array, grad_output: Array, out: Array) -> None:
    """p (g - p·g)."""
    run(bind, probs, grad_output, out)
