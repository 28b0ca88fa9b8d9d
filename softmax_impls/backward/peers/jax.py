"""The textbook form, compiled by JAX for each shape. JAX can't write to arrays that it is given: it allocates."""

from __future__ import annotations

import functools
from typing import Any

import jax as library
import numpy as np
from jax import numpy as jnp

from softmax_impls.backward.peers import run
from softmax_impls.contract import Array, Bound, register


def _value(p: Any, g: Any) -> Any:
    return p * (g - jnp.sum(p * g, axis=-1, keepdims=True))


def bind(probs: Array, grad_output: Array, out: Array | None) -> Bound:
    """Compile for these arrays; in a context of its own, since float64 is a setting of the whole process in JAX."""
    with library.enable_x64(True):
        p, g = library.device_put(probs), library.device_put(grad_output)
        compiled = library.jit(_value).lower(p, g).compile()
    call = functools.partial(_wait_for, compiled, p, g)
    return call, np.asarray


def _wait_for(compiled: Any, p: Any, g: Any) -> Any:
    return compiled(p, g).block_until_ready()


@register(
    summary="the closed form, compiled by JAX; allocates its result",
    family="peer",
    requires=("jax",),
    threaded=True,
    allocates=True,
    flushes=True,
    bind=bind,
)
def jax(probs: Array, grad_output: Array, out: Array) -> None:
    """p (g - p·g)."""
    run(bind, probs, grad_output, out)
