"""The roofline: two reads and one write of (B, D), with the threads and the non-temporal stores of `numba_simd`."""

from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.implementation import Array, Implementation
from softmax_impls.simd import pool
from softmax_impls.simd.jit import jit
from softmax_impls.simd.passes import move
from softmax_impls.simd.sizes import NONTEMPORAL_FROM, SHARED_FROM
from softmax_impls.simd.vectors import pointer
from softmax_impls.threads import num_threads


@jit(nogil=True)
def _move_alone(probs: Array, grad_output: Array, out: Array, nontemporal: bool) -> None:
    move(pointer(probs), pointer(grad_output), pointer(out), 0, probs.size, nontemporal)


def move_bytes(probs: Array, grad_output: Array, out: Array) -> None:
    """Write ``probs * grad_output`` to `out`, as fast as memory allows; on small arrays, it is the call overhead."""
    moved = 3 * probs.nbytes
    threads = 1 if DISABLE_JIT or moved < SHARED_FROM else num_threads()
    if threads == 1 or not pool.run(probs, grad_output, out, threads, pool.MOVE):
        _move_alone(probs, grad_output, out, moved > NONTEMPORAL_FROM)


ROOFLINE = Implementation("roofline", move_bytes, "two reads and one write of (B, D)", threaded=True)
