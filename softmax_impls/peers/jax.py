"""p (g - Σ p g), compiled by JAX for each shape. JAX cannot write into given arrays: each call allocates its result.

JAX runs on the CPU here, as all other implementations do, even if it could use an accelerator.
"""

import contextlib
import functools
import os
from pathlib import Path
from typing import Any

import jax as library
import numpy as np
from jax.extend.backend import clear_backends

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import register_peer


@functools.cache
def _compiled(shape: tuple[int, ...], dtype: Any) -> Any:
    closed_form = library.jit(lambda p, g: p * (g - (p * g).sum(axis=1, keepdims=True)))
    array = library.ShapeDtypeStruct(shape, dtype)
    return closed_form.lower(array, array).compile()


def _count_threads() -> int:
    """Return the number of JAX's computing threads, including those of earlier clients."""
    names = []
    for thread in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # the thread has just ended
            names.append(thread.read_text().strip())
    return names.count("tf_XLAEigen")


@functools.lru_cache(maxsize=1)
def set_num_threads(number: int) -> int:
    """Restart JAX's CPU client with this number of threads; return the number of threads that it has started.

    JAX has no setting for this number. It starts one thread for each processor that the process may use. So this
    function allows only `number` processors while JAX starts. Earlier JAX arrays are lost.
    """
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    processors, before = os.sched_getaffinity(0), _count_threads()
    os.sched_setaffinity(0, sorted(processors)[:number])
    try:
        clear_backends()
        _compiled.cache_clear()
        library.devices("cpu")
    finally:
        os.sched_setaffinity(0, processors)
    return _count_threads() - before


@register_peer(
    summary="the closed form, compiled by JAX; allocates its result",
    requires=("jax",),
    flush_to_zero=True,
    set_num_threads=set_num_threads,
    usage=(
        'import jax\n\njax.config.update("jax_enable_x64", True)  # for float64\n'
        "closed_form = jax.jit(lambda p, g: p * (g - (p * g).sum(axis=1, keepdims=True)))\n"
        'cpu = jax.devices("cpu")[0]\n'
        "p, g = jax.device_put(probs, cpu), jax.device_put(grad_output, cpu)",
        "closed_form(p, g).block_until_ready()",
    ),
)
def jax(probs: Array, grad_output: Array, out: Array) -> BoundCall:
    """Copy the inputs to JAX arrays, compile the formula for their shape, and return the call that is timed."""
    # JAX allows float64 either for the whole process or temporarily, as here.
    with library.enable_x64(True), library.default_device(library.devices("cpu")[0]):
        p, g = library.device_put(probs), library.device_put(grad_output)
        compiled = _compiled(p.shape, p.dtype)
    return lambda: compiled(p, g).block_until_ready(), np.asarray
