"""The roofline: two reads and one write of (B, D), with the threads and the non-temporal stores of `numba_simd`."""

from softmax_impls.implementation import Array, BoundCall, Implementation
from softmax_impls.simd import pool
from softmax_impls.simd.parts import moved_part
from softmax_impls.simd.sizes import MIN_CHUNK_BYTES, NONTEMPORAL_FROM


def move_bytes(probs: Array, grad_output: Array, out: Array) -> None:
    """Write ``probs * grad_output`` to `out`, as fast as memory allows.

    On small arrays, nearly all of the time is call overhead.
    """
    moved, smallest = 3 * probs.nbytes, MIN_CHUNK_BYTES // (3 * probs.itemsize)
    words = {pool.ITEMS: probs.size, pool.SMALLEST: smallest, pool.NONTEMPORAL: moved > NONTEMPORAL_FROM}
    pool.run(moved_part, probs, grad_output, out, pool.team_for(moved), words)


def _bind(probs: Array, grad_output: Array, out: Array) -> BoundCall:
    rows = [array.reshape(1, -1) for array in (probs, grad_output, out)]
    return lambda: move_bytes(*rows), lambda _: rows[-1]


ROOFLINE = Implementation("roofline", move_bytes, "two reads and one write of (B, D)", threaded=True, bind=_bind)
