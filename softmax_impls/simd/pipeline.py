"""The pipeline of long rows: while a row is reduced, the row before it is written."""

from typing import Any

import numpy as np

from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import apart
from softmax_impls.simd.passes import Sums, head, write_at, write_body
from softmax_impls.simd.sizes import PREFETCHED, SEARCHED_AFTER, TERMS_PER_LANE, VECTOR_BYTES
from softmax_impls.simd.vectors import Pointer, Vector


def reduce_at(
    probs: Pointer, grad: Pointer, index: int, a: Vector, max_p: Vector, max_g: Vector, with_g: bool
) -> tuple[Vector, ...]:
    """Return `a` + p g, the larger of p and `max_p`, and g at this larger p, lane by lane; p and g are at `index`.

    Without `with_g`, `max_g` is not updated.
    """
    p, g = vec.load(probs, index), vec.load(grad, index)
    if not with_g:
        return a + p * g, vec.larger(p, max_p), max_g
    max_p, max_g = vec.update_max(p, g, max_p, max_g)
    return a + p * g, max_p, max_g


@apart
def grad_at(probs: Pointer, grad: Pointer, k: int, end: int, top_p: Any) -> Any:
    """Return g at the largest p of the elements from `k` to `end`, whole vectors; this p is `top_p`."""
    width = vec.lanes(probs)
    while k + width < end and not vec.has(probs, k, top_p):
        k += width
    return vec.argmax(vec.load(probs, k), vec.load(grad, k))[1]


def _waits(pointer: Pointer, k: int, out: Pointer, index: int) -> bool:
    """Whether loads of `pointer` from index k on will wait for non-temporal stores to `out` from `index` on.

    On Zen 1, a load waits for such a store, shortly before, if their addresses are equal modulo 4096. Where the arrays
    began at equal addresses modulo 4096, 256×1000 float32 took 1.9 times as long as elsewhere, and 1000×1000 took 1.6
    times as long.
    """
    distance = vec.address(out) - vec.address(pointer) + (index - k) * (VECTOR_BYTES // vec.lanes(out))
    return distance & 4095 < 4 * VECTOR_BYTES


def write_and_reduce(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool, row: int, n: int
) -> tuple[int, Any, Any, float]:
    """Write the result of a row, and reduce the next row at the same time.

    `index`, `end` and `sums` are about the row to write: its result is written in whole vectors from `index` up to
    `end`. `row` and `n` are about the row to reduce: its first element and the number of its elements. Return the index
    of the next vector to write, and max p, g at max p, and Σ p g of the reduced row. A row with a p above ½ mostly
    needs a shift. So the reduction ends there, and Σ p g is NaN, so that `needs_shift` is true.

    The row is reduced in blocks. After the first blocks, a block seldom has a larger p than all blocks before. So g at
    the largest p is searched for in such a block only; see `SEARCHED_AFTER`.
    """
    width, row_end = vec.lanes(probs), row + n
    # The loads are a vector ahead of the stores, because a store delays later loads from an address 4 KiB away.
    max_p, first = head(probs, row, n)
    max_g = vec.load(grad, row)
    a, k, dot, top_p, top_g = max_p * max_g, row + first, 0.0, vec.as_element(probs, -1), grad[row]
    while True:
        stop = min(row_end, k + TERMS_PER_LANE * width)
        if nontemporal or k < row + SEARCHED_AFTER * width:
            index, a, max_p, max_g = _write_and_reduce_block(
                probs, grad, out, index, end, sums, nontemporal, k, stop, a, max_p, max_g, True
            )
            top_p, top_g = vec.argmax(max_p, max_g)
        else:
            index, a, max_p, _ = _write_and_reduce_block(
                probs, grad, out, index, end, sums, False, k, stop, a, max_p, max_g, False
            )
            top = vec.argmax(max_p, max_p)[0]
            if top > top_p:
                top_p, top_g = top, grad_at(probs, grad, k, stop, top)
        k = stop
        dot += vec.reduce_add(a)
        if k == row_end:
            break
        if top_p > 0.5 and not nontemporal:  # this p is the largest of the row, and Σ p g is seldom accurate
            dot = np.nan
            break
        a = vec.broadcast(probs, 0)
    return write_body(probs, grad, out, index, end, sums, nontemporal), top_p, top_g, dot


def _write_and_reduce_block(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool,
    k: int, stop: int, a: Vector, max_p: Vector, max_g: Vector, with_g: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Reduce the elements from `k` to `stop`, and write as many of another row, or fewer; see `write_and_reduce`.

    `a`, `max_p` and `max_g` are the vectors of `reduce_at`. Return the index of the next vector to write, and the new
    vectors.
    """
    width = vec.lanes(probs)
    c, s = vec.broadcast(probs, sums[0]), vec.broadcast(probs, sums[1])
    while nontemporal and k < stop and (_waits(probs, k, out, index) or _waits(grad, k, out, index)):
        a, max_p, max_g = reduce_at(probs, grad, k, a, max_p, max_g, with_g)
        k += width
    # One bound: with two conditions, k and `index`, rows of 256 float32 took 1.0 to 1.2 times as long (Zen 3).
    both = k + min(stop - k, (end - index) // width * width)
    while k < both:
        if nontemporal:
            vec.prefetch(probs, k + PREFETCHED * width)
            vec.prefetch(grad, k + PREFETCHED * width)
            a, max_p, max_g = reduce_at(probs, grad, k, a, max_p, max_g, with_g)
            write_at(probs, grad, out, index, c, s, True)
        else:  # 256×1000 float32 took 0.92 of the time of the other order, rows of 4 KiB 0.95 to 1.05 (Zen 3)
            write_at(probs, grad, out, index, c, s, False)
            a, max_p, max_g = reduce_at(probs, grad, k, a, max_p, max_g, with_g)
        index, k = index + width, k + width
    while k < stop:
        a, max_p, max_g = reduce_at(probs, grad, k, a, max_p, max_g, with_g)
        k += width
    return index, a, max_p, max_g
