"""Sums over the classes of each column, for the passes in `columns`.

`reduce_backward` and `reduce_forward` read a block of columns from a buffer, and store the sums in the buffer.
`column_sums` reads columns from a buffer or from the arrays, and returns the sums.
"""

from softmax_impls.simd import vectors as vec
from softmax_impls.simd.exponential import exp
from softmax_impls.simd.passes import LIMIT_32, LIMIT_64
from softmax_impls.simd.sizes import TERMS_OF_COLUMN, TERMS_PER_LANE
from softmax_impls.simd.vectors import Pointer, Vector


def reduce_backward(buffer: Pointer, dim: int, n: int) -> None:
    """Compute c (g at the largest p) and Σ p (g - c) of each column in a buffer, and store them in the buffer.

    The buffer holds n groups of columns, a column for each lane of a vector. For each group, it has a vector of c, a
    vector of sums, and then, for each of the `dim` classes, a vector of p and a vector of g. In columns whose result
    may overflow, g is replaced by g / 4, and p by 4 p.
    """
    width, grad, one = vec.lanes(buffer), vec.advance(buffer, vec.lanes(buffer)), vec.broadcast(buffer, 1)
    step, next_base = 2 * width, (2 * dim + 3) * width
    for base in range(0, n * next_base, next_base):
        begin, end = base + step, base + (dim + 1) * step
        c, s = column_sums(buffer, grad, begin, end, step)
        quarter = where_ordinary(buffer, s, one, vec.broadcast(buffer, 0.25))
        if vec.reduce_add(quarter) < width:
            four = where_ordinary(buffer, s, one, vec.broadcast(buffer, 4))
            for k in range(begin, end, step):
                vec.store(grad, k, vec.load(grad, k) * quarter)
            c, s = column_sums(buffer, grad, begin, end, step)
            for k in range(begin, end, step):
                vec.store(buffer, k, vec.load(buffer, k) * four)
        vec.store(buffer, base, c)
        vec.store(buffer, base + width, s)


def column_sums(probs: Pointer, grad: Pointer, begin: int, end: int, step: int) -> tuple[Vector, Vector]:
    """Return c and Σ p (g - c) of a vector of columns, where c is g at the largest p. Rows are `step` elements apart.

    The loops over rows use `while`, because a `range` divides by its step: with two `range` loops instead, 64×10×100
    took 1.08 times as long, and 200×5×40 took 1.35 times as long.
    """
    max_p, c, k = vec.load(probs, begin), vec.load(grad, begin), begin + step
    while k < end:
        max_p, c = vec.update_max(vec.load(probs, k), vec.load(grad, k), max_p, c)
        k += step
    zero, terms = vec.broadcast(probs, 0), TERMS_OF_COLUMN * step
    if end - begin <= 2 * terms:
        return c, _partial_sum(probs, grad, begin, end, step, c)
    total, rest = zero, zero
    for k in range(begin, end, terms):
        total, rest = vec.two_sum(total, rest, _partial_sum(probs, grad, k, min(end, k + terms), step, c))
    return c, total + rest


def _partial_sum(probs: Pointer, grad: Pointer, k: int, end: int, step: int, c: Vector) -> Vector:
    """Return Σ p (g - c) of a vector of columns, over the rows that begin at the indices k, k + step, … before `end`.

    p and g are prefetched two vectors ahead in memory: 64×10×100 took 0.86 to 0.92 of the time without prefetching.
    """
    total, ahead = vec.broadcast(probs, 0), 2 * vec.lanes(probs)
    while k < end:
        total = total + vec.load(probs, k) * (vec.load(grad, k) - c)
        vec.prefetch(probs, k + ahead)
        vec.prefetch(grad, k + ahead)
        k += step
    return total


def where_ordinary(like: Pointer, s: Vector, a: Vector, b: Vector) -> Vector:
    """Return the elements of a in lanes where the result cannot overflow, and the elements of b in the other lanes.

    The vector `s` holds the sums Σ p (g - c). The result may overflow if |s| reaches a limit, which depends on the
    dtype of `like`; see `passes.overflows`.
    """
    limit = vec.broadcast(like, LIMIT_64 if vec.lanes(like) == 8 else LIMIT_32)
    return vec.select(limit > s, vec.select(s > vec.broadcast(like, 0) - limit, a, b), b)


def reduce_forward(buffer: Pointer, dim: int, n: int) -> None:
    """Replace x in a buffer by e = 2^SCALE exp(x - max x), and store 1 / Σ e of each column in the buffer.

    The softmax is e / Σ e, in which the factor 2^SCALE cancels; `exponential` says why it is there. The buffer is as in
    `reduce_backward`, with x in place of p, and 1 / Σ e in place of the sums. Its vectors of c and g are not used.
    """
    width, zero = vec.lanes(buffer), vec.broadcast(buffer, 0)
    step = (2 * dim + 3) * width
    for base in range(0, n * step, step):
        begin, end = base + 2 * width, base + (2 * dim + 2) * width
        largest = vec.load(buffer, begin)
        for k in range(begin + 2 * width, end, 2 * width):
            largest = vec.larger(vec.load(buffer, k), largest)
        total, rest, k = zero, zero, begin
        while k < end:
            a, stop = zero, min(end, k + 2 * TERMS_PER_LANE * width)
            while k < stop:
                e = exp(buffer, vec.load(buffer, k) - largest)
                vec.store(buffer, k, e)
                a = a + e
                k += 2 * width
            total, rest = vec.two_sum(total, rest, a)
        vec.store(buffer, base + width, total + rest)
        for k in range(base + width, base + 2 * width):
            buffer[k] = vec.as_element(buffer, 1) / buffer[k]
