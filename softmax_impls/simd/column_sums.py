"""The sums of the columns of a block, for `columns`: in the buffer, or where they lie in memory."""

from softmax_impls.simd import vectors as vec
from softmax_impls.simd.exponential import exp
from softmax_impls.simd.jit import inner
from softmax_impls.simd.passes import overflows, scaled_row
from softmax_impls.simd.sizes import TERMS_PER_LANE
from softmax_impls.simd.vectors import Pointer, Vector


@inner(forceinline=True)
def reduce_backward(buffer: Pointer, dim: int, n: int) -> None:
    """Compute the shift and the sum of each column. Where they overflow, replace g by the result and p by 1."""
    width, grad = vec.lanes(buffer), vec.advance(buffer, vec.lanes(buffer))
    step, ordinary = (2 * dim + 3) * width, vec.broadcast(buffer, 1)
    for base in range(0, n * step, step):
        c, s = column_sums(buffer, grad, base + 2 * width, base + (2 * dim + 2) * width, 2 * width)
        vec.store(buffer, base, c)
        vec.store(buffer, base + width, s)
        ordinary = ordinary_lanes(buffer, s, ordinary)
    if vec.reduce_add(ordinary) < width:
        _scale(buffer, dim, n)


@inner(forceinline=True)
def column_sums(probs: Pointer, grad: Pointer, begin: int, end: int, step: int) -> tuple[Vector, Vector]:
    """Return g at the largest p, c, and Σ p (g - c), of a vector of columns whose rows are `step` elements apart."""
    max_p, c = vec.load(probs, begin), vec.load(grad, begin)
    for k in range(begin + step, end, step):
        max_p, c = vec.update_max(vec.load(probs, k), vec.load(grad, k), max_p, c)
    zero = vec.broadcast(probs, 0)
    total, rest, k = zero, zero, begin
    while k < end:
        a, stop = zero, min(end, k + TERMS_PER_LANE * step)
        while k < stop:
            a = a + vec.load(probs, k) * (vec.load(grad, k) - c)
            k += step
        total, rest = _add(total, rest, a)
    return c, total + rest


@inner(forceinline=True)
def ordinary_lanes(like: Pointer, s: Vector, ordinary: Vector) -> Vector:
    """Return `ordinary` with 0 in the lanes whose sum is so large that the result may overflow, see `overflows`."""
    zero, limit = vec.broadcast(like, 0), vec.broadcast(like, 2.0**969 if vec.lanes(like) == 8 else 2.0**102)
    return vec.select(limit > s, vec.select(s > zero - limit, ordinary, zero), zero)


@inner(forceinline=True)
def _scale(buffer: Pointer, dim: int, n: int) -> None:
    width = vec.lanes(buffer)
    step, grad = (2 * dim + 3) * width, vec.advance(buffer, width)
    for v in range(n):
        for lane in range(v * step, v * step + width):
            if overflows(buffer, grad[lane]):
                begin = lane + 2 * width
                scaled_row(buffer, grad, grad, begin, dim, 2 * width)
                for k in range(begin, begin + 2 * dim * width, 2 * width):
                    buffer[k] = vec.as_element(buffer, 1)
                buffer[lane] = grad[lane] = vec.as_element(buffer, 0)


@inner(forceinline=True)
def reduce_forward(buffer: Pointer, dim: int, n: int) -> None:
    """Replace x by exp(x - max x), and compute the reciprocal of the sum of each column."""
    width, zero = vec.lanes(buffer), vec.broadcast(buffer, 0)
    step = (2 * dim + 3) * width
    for base in range(0, n * step, step):
        begin, end = base + 2 * width, base + (2 * dim + 2) * width
        largest = vec.load(buffer, begin)
        for k in range(begin + 2 * width, end, 2 * width):
            largest = vec.update_max(vec.load(buffer, k), zero, largest, zero)[0]
        total, rest, k = zero, zero, begin
        while k < end:
            a, stop = zero, min(end, k + 2 * TERMS_PER_LANE * width)
            while k < stop:
                e = exp(buffer, vec.load(buffer, k) - largest)
                vec.store(buffer, k, e)
                a = a + e
                k += 2 * width
            total, rest = _add(total, rest, a)
        vec.store(buffer, base + width, total + rest)
        for k in range(base + width, base + 2 * width):
            buffer[k] = vec.as_element(buffer, 1) / buffer[k]


@inner(forceinline=True)
def _add(total: Vector, rest: Vector, a: Vector) -> tuple[Vector, Vector]:
    """Add to a sum that is kept in two vectors, without rounding errors except those of the rest (Knuth's TwoSum)."""
    new = total + a
    added = new - total
    return new, rest + ((total - (new - added)) + (a - added))
