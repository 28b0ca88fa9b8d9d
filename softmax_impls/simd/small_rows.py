"""Rows of at most two vectors: the kinds TINY and SHORT of `rows`, which also says how these tasks find an overflow."""

from typing import Any

import numpy as np

from softmax_impls.simd import pool
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import task
from softmax_impls.simd.passes import lane_tops
from softmax_impls.simd.vectors import Pointer, Vector


@task(fastmath={"contract"})
def tiny_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of at most one vector, in registers. Four rows are computed side by side, so that none waits.

    Return `stop`, or `start` if a row may overflow.
    """
    dim, width, total = call[pool.DIM], vec.lanes(probs), vec.as_element(probs, 0.0)
    used, zero = vec.first_lanes(probs, dim), vec.broadcast(probs, 0)
    # Loads and stores of most rows may go past the end of the row: the next rows overwrite these lanes. p is 0 in these
    # lanes, so their g matter only if they are not finite, and then the total is not finite. The last rows have no next
    # rows, so their loads and stores are masked.
    masked = max(start, stop - (width - 1) // dim)
    masked -= (masked - start) % 4
    for k in range(start * dim, masked * dim, 4 * dim):
        p0, g0 = vec.select(used, vec.load(probs, k), zero), vec.load(grad, k)
        p1, g1 = vec.select(used, vec.load(probs, k + dim), zero), vec.load(grad, k + dim)
        p2, g2 = vec.select(used, vec.load(probs, k + 2 * dim), zero), vec.load(grad, k + 2 * dim)
        p3, g3 = vec.select(used, vec.load(probs, k + 3 * dim), zero), vec.load(grad, k + 3 * dim)
        c0, c1, c2, c3 = vec.argmax(p0, g0)[1], vec.argmax(p1, g1)[1], vec.argmax(p2, g2)[1], vec.argmax(p3, g3)[1]
        t0, t1 = p0 * (g0 - vec.broadcast(probs, c0)), p1 * (g1 - vec.broadcast(probs, c1))
        t2, t3 = p2 * (g2 - vec.broadcast(probs, c2)), p3 * (g3 - vec.broadcast(probs, c3))
        s0, s1, s2, s3 = vec.reduce_add(t0), vec.reduce_add(t1), vec.reduce_add(t2), vec.reduce_add(t3)
        total += s0 + s1 + s2 + s3
        vec.store(out, k, t0 - p0 * vec.broadcast(probs, s0))
        vec.store(out, k + dim, t1 - p1 * vec.broadcast(probs, s1))
        vec.store(out, k + 2 * dim, t2 - p2 * vec.broadcast(probs, s2))
        vec.store(out, k + 3 * dim, t3 - p3 * vec.broadcast(probs, s3))
    for k in range(masked * dim, stop * dim, dim):
        p, g = vec.masked_load(probs, k, used), vec.masked_load(grad, k, used)
        t = p * (g - vec.broadcast(probs, vec.argmax(p, g)[1]))
        s = vec.reduce_add(t)
        total += s
        vec.masked_store(out, k, used, t - p * vec.broadcast(probs, s))
    return stop if np.isfinite(total) else start


@task(fastmath={"contract"})
def short_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows that have two vectors; return `stop`, or `start` if a row may overflow.

    If a row has less than two whole vectors, the two vectors share elements. The steps of three rows alternate as in
    `rows.medium_rows`: 0.87 to 0.92 of the time with two rows (Zen 1).
    """
    dim, width, total, row = call[pool.DIM], vec.lanes(probs), vec.as_element(probs, 0.0), start * call[pool.DIM]
    last_row, zero = (stop - 1) * dim, vec.broadcast(probs, 0)
    shared = vec.first_lanes(probs, 2 * width - dim)  # lanes of the second vector that are in the first, too
    p, g = lane_tops(probs, grad, row, dim)
    t0, t1 = _short_terms(probs, grad, row, dim, -vec.argmax(p, g)[1])
    p, g = lane_tops(probs, grad, min(row + dim, last_row), dim)
    while row <= last_row:
        shift, s = vec.at_once(-vec.argmax(p, g)[1]), vec.reduce_add(t0 + t1)
        total += s
        p, g = lane_tops(probs, grad, min(row + 2 * dim, last_row), dim)
        last = row + dim - width
        p1 = vec.select(shared, zero, vec.load(probs, last))
        vec.store(out, last, t1 - p1 * vec.broadcast(probs, s))
        vec.store(out, row, t0 - vec.load(probs, row) * vec.broadcast(probs, s))  # second: shared elements are 0 in p1
        row += dim
        t0, t1 = _short_terms(probs, grad, min(row, last_row), dim, shift)
    return stop if np.isfinite(total) else start


def _short_terms(probs: Pointer, grad: Pointer, row: int, dim: int, shift: Any) -> tuple[Vector, Vector]:
    """Return p (g + shift) of a row as two vectors.

    If an element is in both vectors, it is 0 in the second vector, so that a sum counts it once.
    """
    width, last, c = vec.lanes(probs), row + dim - vec.lanes(probs), vec.broadcast(probs, shift)
    shared = vec.first_lanes(probs, 2 * width - dim)
    p1 = vec.select(shared, vec.broadcast(probs, 0), vec.load(probs, last))
    return vec.load(probs, row) * (vec.load(grad, row) + c), p1 * (vec.load(grad, last) + c)
