"""p (g - Σ p g), compiled by JAX for each shape. JAX cannot write into a given array: each call allocates."""

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
from softmax_impls.peers import bind_and_call
from softmax_impls.registry import register


def _closed_form(p: Any, g: Any) -> Any:
    return p * (g - jnp.sum(p * g, axis=-1, keepdims=True))


@functools.cache
def _compiled(shape: tuple[int, int], dtype: Any) -> Any:
    array = library.ShapeDtypeStruct(shape, dtype)
    return library.jit(_closed_form).lower(array, array).compile()


def bind(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    """Convert the arrays, and compile for their shape. JAX allows float64 only for the whole process or temporarily."""
    with library.enable_x64(True):
        p, g = library.device_put(probs), library.device_put(grad_output)
        compiled = _compiled(p.shape, p.dtype)
    return lambda: compiled(p, g).block_until_ready(), np.asarray


@functools.lru_cache(maxsize=1)
def set_num_threads(number: int) -> int:
    """Restart JAX's CPU client with this number of threads; return the number of threads that it has started.

    JAX has no setting for it. It starts a thread per processor that the process may use. Arrays that JAX has created
    before are lost.
    """
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    processors, before = os.sched_getaffinity(0), _count_threads()
    os.sched_setaffinity(0, sorted(processors)[:number])
    try:
        clear_backends()
        _compiled.cache_clear()
        library.devices()
    finally:
        os.sched_setaffinity(0, processors)
    return _count_threads() - before


def _count_threads() -> int:
    """Return the number of JAX's computing threads, those of earlier clients included."""
    names = []
    for thread in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # the thread has just ended
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
    """p (g - Σ p g)."""
    bind_and_call(bind, probs, grad_output, out)
