"""What the machine can do at best: move these bytes, and do nothing worth mentioning with them.

Two reads and one write of (B, D), in as many threads, stored past the caches where they don't fit the last one: the
time that any implementation is measured against. For small arrays it is the cost of a call.
"""

from __future__ import annotations

from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.implementation import Array, Implementation
from softmax_impls.simd import pool
from softmax_impls.simd.jit import jit
from softmax_impls.simd.passes import move
from softmax_impls.simd.sizes import NONTEMPORAL_FROM, SHARED_FROM
from softmax_impls.simd.vectors import pointer


@jit(nogil=True)
def _alone(probs: Array, grad_output: Array, out: Array, streaming: bool) -> None:
    move(pointer(probs), pointer(grad_output), pointer(out), 0, probs.size, streaming)


def touch(probs: Array, grad_output: Array, out: Array) -> None:
    """Write p g, as fast as memory allows."""
    moved = 3 * probs.nbytes
    threads = 1 if DISABLE_JIT or moved < SHARED_FROM else num_threads()
    if threads == 1 or not pool.run(probs, grad_output, out, threads, pool.MOVE):
        _alone(probs, grad_output, out, moved > NONTEMPORAL_FROM)


ROOFLINE = Implementation("roofline", touch, "two reads and a write, as fast as this machine can", threaded=True)
