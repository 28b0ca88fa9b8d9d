"""The passes over a row: reduce, shifted_dot and write. The result is p (h - Σ p h), where h = g + shift.

In rows where Σ p g may have lost its accuracy to cancellation (`needs_shift`), and in all medium rows, the shift is -g
at the largest p. In all other rows, the shift is 0, and shifted_dot is left out. The shift is added, because processors
load and add in one instruction: 256×256 float32 took 0.96 to 0.98 of the time of a subtraction.

Long rows are reduced in `pipeline`. An index counts elements from the beginning of the arrays, across rows.
"""

from typing import Any

import numpy as np

from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import apart
from softmax_impls.simd.sizes import MAX_UNSHIFTED_RATIO, PREFETCHED, TERMS_PER_LANE
from softmax_impls.simd.vectors import Pointer, Vector

LIMIT_32, LIMIT_64 = 2.0**102, 2.0**969  # of |Σ p h| in float32 and float64, see `overflows`

Sums = tuple[float, float]  # of a row: the shift and Σ p (g + shift)


def needs_shift(max_g: Any, dot: float) -> bool:
    """Whether a row has to be computed with g - max_g, because `dot` (Σ p g) may be inaccurate; see `checks.bounds`.

    `max_g` is g at the largest p, which need not be the largest g.
    """
    return not abs(np.float64(max_g)) <= MAX_UNSHIFTED_RATIO * abs(dot - np.float64(max_g))


def overflows(probs: Pointer, dot: Any) -> bool:
    """Whether p (h - dot) may overflow, where dot = Σ p h and h = g + c; then `scaled_row` has to compute the row."""
    # If an h overflowed, dot is inf or NaN. If not, |h| is at most the largest number, and h - dot rounds to a finite
    # number where |dot| is less than half a unit in the last place of the largest number. The limits are half as large
    # as this, because dot is rounded.
    return not abs(dot) < vec.as_element(probs, LIMIT_64 if vec.lanes(probs) == 8 else LIMIT_32)


@apart
def scaled_row(probs: Pointer, grad: Pointer, out: Pointer, row: int, n: int, step: int) -> None:
    """Write the result of n elements, `step` apart. It is computed in float64, and nothing in between overflows.

    It is computed from g / 4, so that no difference of two g overflows, and multiplied by 4 at the end.
    """
    top, c = np.float64(probs[row]), np.float64(grad[row]) / 4
    for k in range(row, row + n * step, step):
        if probs[k] > top:
            top, c = np.float64(probs[k]), np.float64(grad[k]) / 4
    dot = lost = 0.0
    for k in range(row, row + n * step, step):
        before, term = dot, np.float64(probs[k]) * (np.float64(grad[k]) / 4 - c)
        dot += term
        lost += (before - (dot - (dot - before))) + (term - (dot - before))  # what rounding lost (Knuth's TwoSum)
    dot += lost
    for k in range(row, row + n * step, step):
        out[k] = 4 * (np.float64(probs[k]) * ((np.float64(grad[k]) / 4 - c) - dot))


def row_sums(probs: Pointer, grad: Pointer, row: int, n: int, max_g: Any, dot: float) -> Sums:
    """Return the shift and Σ p (g + shift) of a row of n elements.

    The first pass computed `dot`, Σ p g, and `max_g`, which is g at the largest p, not the largest g. If `dot` is
    accurate enough, the shift is 0. Otherwise a second pass computes the shifted sum.
    """
    if needs_shift(max_g, dot):
        return -np.float64(max_g), shifted_dot(probs, grad, row, n, -np.float64(max_g))
    return 0.0, dot


def lane_tops(probs: Pointer, grad: Pointer, row: int, n: int) -> tuple[Vector, Vector]:
    """Return the largest p in each lane of a row of more than a vector, and g at these p.

    The shift of the row is -g at the largest of these p. All short and medium rows are shifted. To leave out the shift
    in rows where Σ p g seems accurate was tried: ordinary rows of 33 to 192 float32 took 0.86 to 0.92 of the time
    (float64 1.03 to 1.07, Zen 3), but one row in 200 had an error of more than 16 units of rounding if a p is near 0.9.
    """
    width, last = vec.lanes(probs), row + n - vec.lanes(probs)
    p, g = vec.load(probs, last), vec.load(grad, last)
    for k in range(row, last, width):
        p, g = vec.update_max(vec.load(probs, k), vec.load(grad, k), p, g)
    return p, g


def lane_sums(probs: Pointer, grad: Pointer, row: int, n: int, shift: Any) -> Vector:
    """Return the sum of p (g + shift) in each lane of a row of more than a vector."""
    width, last, c = vec.lanes(probs), row + n - vec.lanes(probs), vec.broadcast(probs, shift)
    added = vec.first_lanes(probs, (width - n) % width)  # lanes of the last vector that the vector before has, too
    s = vec.select(added, vec.broadcast(probs, 0), vec.load(probs, last)) * (vec.load(grad, last) + c)
    for k in range(row, last, width):
        s = s + vec.load(probs, k) * (vec.load(grad, k) + c)
    return s


def head(probs: Pointer, row: int, n: int) -> tuple[Vector, int]:
    """Return a vector of the first elements of p, and their number, so that the rest of the row is whole vectors.

    The other lanes of the vector are 0.
    """
    first = (n - 1) % vec.lanes(probs) + 1
    return vec.select(vec.first_lanes(probs, first), vec.load(probs, row), vec.broadcast(probs, 0)), first


@apart
def shifted_dot(probs: Pointer, grad: Pointer, row: int, n: int, shift: float) -> float:
    """Return Σ p (g + shift) over n elements, in float64."""
    width, end = vec.lanes(probs), row + n
    zero, c = vec.broadcast(probs, 0), vec.broadcast(probs, shift)
    p, first = head(probs, row, n)
    s0, k, result = p * (vec.load(grad, row) + c), row + first, 0.0
    while True:
        stop = min(end, k + 4 * TERMS_PER_LANE * width)
        s1, s2, s3 = zero, zero, zero  # four sums: an addition does not wait for the previous addition
        while k + 3 * width < stop:
            s0 = s0 + vec.load(probs, k) * (vec.load(grad, k) + c)
            s1 = s1 + vec.load(probs, k + width) * (vec.load(grad, k + width) + c)
            s2 = s2 + vec.load(probs, k + 2 * width) * (vec.load(grad, k + 2 * width) + c)
            s3 = s3 + vec.load(probs, k + 3 * width) * (vec.load(grad, k + 3 * width) + c)
            k += 4 * width
        while k < stop:
            s0 = s0 + vec.load(probs, k) * (vec.load(grad, k) + c)
            k += width
        result += vec.reduce_add((s0 + s1) + (s2 + s3))
        if k == end:
            return float(result)
        s0 = zero


def result_at(probs: Pointer, grad: Pointer, index: int, c: Vector, s: Vector) -> Vector:
    """Return a vector of the result, p ((g + c) - s), where c is the shift and s is Σ p (g + c)."""
    return vec.load(probs, index) * ((vec.load(grad, index) + c) - s)


def write_at(probs: Pointer, grad: Pointer, out: Pointer, index: int, c: Vector, s: Vector, nontemporal: bool) -> None:
    """Write a vector of the result, p ((g + c) - s), at `index`; c is the shift and s is Σ p (g + c).

    `nontemporal` has to be a constant, because LLVM makes slow code for a loop that has plain and non-temporal stores.
    """
    if nontemporal:
        vec.store_nontemporal(out, index, result_at(probs, grad, index, c, s))
    else:
        vec.store(out, index, result_at(probs, grad, index, c, s))


def write_body(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool) -> int:
    """Write the result in whole vectors, as many as fit before `end`; return the index of the next vector.

    With non-temporal stores, each step also prefetches the vectors of p and g that are 2 * PREFETCHED vectors ahead.
    Mostly these belong to a later row: either rows are short, or this call writes only the end of a row.
    """
    width = vec.lanes(probs)
    c, s = vec.broadcast(probs, sums[0]), vec.broadcast(probs, sums[1])
    while index + width <= end:
        if nontemporal:
            vec.prefetch(probs, index + 2 * PREFETCHED * width)
            vec.prefetch(grad, index + 2 * PREFETCHED * width)
        write_at(probs, grad, out, index, c, s, nontemporal)
        index += width
    return index


def write_edge(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums) -> None:
    """Write the elements from `index` to `end` one by one, because they are less than a vector."""
    c, s = vec.as_element(probs, sums[0]), vec.as_element(probs, sums[1])
    for k in range(index, end):
        out[k] = probs[k] * ((grad[k] + c) - s)


def write(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool) -> None:
    """Write the result from `index` to `end`, which is any part of a row; `sums` are of this row."""
    if nontemporal:
        aligned = min(end, index + vec.elements_to_line(out, index))
        write_edge(probs, grad, out, index, aligned, sums)
        index = write_body(probs, grad, out, aligned, end, sums, True)
    else:
        index = write_body(probs, grad, out, index, end, sums, False)
    write_edge(probs, grad, out, index, end, sums)
