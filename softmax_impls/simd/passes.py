"""The passes over a row: reduce, shifted_dot and write. The result is p (h - Σ p h), where h = g - shift.

The shift is g at the largest p where Σ p g lost its accuracy to cancellation (`needs_shift`). Elsewhere it is 0, and
shifted_dot is left out. An index counts elements from the beginning of the arrays, across rows.
"""

from typing import Any

import numpy as np

from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import jit
from softmax_impls.simd.sizes import MAX_UNSHIFTED_RATIO, TERMS_PER_LANE
from softmax_impls.simd.vectors import Pointer, Vector

Sums = tuple[float, float]  # of a row: the shift and Σ p (g - shift)


@jit(nogil=True, forceinline=True)
def needs_shift(max_g: Any, dot: float) -> bool:
    """Whether Σ p g is too inaccurate, so that g must be shifted by max_g, its value at the largest p; see `bounds`."""
    return not abs(np.float64(max_g)) <= MAX_UNSHIFTED_RATIO * abs(dot - np.float64(max_g))


@jit(nogil=True, forceinline=True)
def overflows(probs: Pointer, dot: Any) -> bool:
    """Whether p (h - dot) may overflow, where dot = Σ p h and h = g - c; then `scaled_row` has to compute the row."""
    # If an h overflowed, dot is inf or NaN. If not, |h| is at most the largest number, and h - dot rounds to a finite
    # number where |dot| is less than half a unit in the last place of that number. (The other half: dot is rounded.)
    return not abs(dot) < vec.as_element(probs, 2.0**969 if vec.lanes(probs) == 8 else 2.0**102)


@jit(nogil=True)
def scaled_row(probs: Pointer, grad: Pointer, out: Pointer, row: int, n: int) -> None:
    """Compute a row of n elements with a quarter of g, in float64: no difference of two g overflows."""
    top, c = np.float64(probs[row]), np.float64(grad[row]) / 4
    for k in range(row, row + n):
        if probs[k] > top:
            top, c = np.float64(probs[k]), np.float64(grad[k]) / 4
    dot = 0.0
    for k in range(row, row + n):
        dot += np.float64(probs[k]) * (np.float64(grad[k]) / 4 - c)
    for k in range(row, row + n):
        out[k] = vec.as_element(out, 4 * (np.float64(probs[k]) * ((np.float64(grad[k]) / 4 - c) - dot)))


@jit(nogil=True, forceinline=True)
def row_sums(probs: Pointer, grad: Pointer, row: int, n: int, max_g: Any, dot: float) -> Sums:
    """Return the shift and the sum of n elements from the results of the first pass; with a second pass if needed."""
    if needs_shift(max_g, dot):
        return np.float64(max_g), shifted_dot(probs, grad, row, n, np.float64(max_g))
    return 0.0, dot


@jit(nogil=True)
def shifted_dot(probs: Pointer, grad: Pointer, row: int, n: int, shift: float) -> float:
    """Return Σ p (g - shift) over n elements, in float64."""
    width = vec.lanes(probs)
    zero, c = vec.broadcast(probs, 0), vec.broadcast(probs, shift)
    result, j = 0.0, 0
    while j < n:
        stop = min(n, j + 4 * TERMS_PER_LANE * width)
        s0, s1, s2, s3 = zero, zero, zero, zero  # four sums: an addition does not wait for the previous addition
        while j + 4 * width <= stop:
            k = row + j
            s0 = s0 + vec.load(probs, k) * (vec.load(grad, k) - c)
            s1 = s1 + vec.load(probs, k + width) * (vec.load(grad, k + width) - c)
            s2 = s2 + vec.load(probs, k + 2 * width) * (vec.load(grad, k + 2 * width) - c)
            s3 = s3 + vec.load(probs, k + 3 * width) * (vec.load(grad, k + 3 * width) - c)
            j += 4 * width
        while j + width <= stop:
            s0 = s0 + vec.load(probs, row + j) * (vec.load(grad, row + j) - c)
            j += width
        if j < n and stop == n:  # the last vector, without the elements that it shares with the vector before
            k, shared = row + n - width, vec.first_lanes(probs, width - n + j)
            s1 = s1 + vec.select(shared, zero, vec.load(probs, k) * (vec.load(grad, k) - c))
            j = n
        result += vec.reduce_add((s0 + s1) + (s2 + s3))
    return result


@jit(nogil=True, forceinline=True)
def result_at(probs: Pointer, grad: Pointer, index: int, c: Vector, s: Vector) -> Vector:
    """Return a vector of the result, p ((g - c) - s)."""
    return vec.load(probs, index) * ((vec.load(grad, index) - c) - s)


@jit(nogil=True, forceinline=True)
def write_body(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool) -> int:
    """Write the result in whole vectors, as many as fit before `end`; return the index of the next vector."""
    width = vec.lanes(probs)
    c, s = vec.broadcast(probs, sums[0]), vec.broadcast(probs, sums[1])
    if nontemporal:
        while index + width <= end:
            vec.store_nontemporal(out, index, result_at(probs, grad, index, c, s))
            index += width
    else:
        while index + width <= end:
            vec.store(out, index, result_at(probs, grad, index, c, s))
            index += width
    return index


@jit(nogil=True, forceinline=True)
def write_edge(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums) -> None:
    """Write the result element by element, at an edge of less than a vector."""
    c, s = vec.as_element(probs, sums[0]), vec.as_element(probs, sums[1])
    for k in range(index, end):
        out[k] = probs[k] * ((grad[k] - c) - s)


@jit(nogil=True, forceinline=True)
def write(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool) -> None:
    """Write any part of a row."""
    if nontemporal:
        aligned = min(end, index + vec.elements_to_line(out, index))
        write_edge(probs, grad, out, index, aligned, sums)
        index = aligned
    index = write_body(probs, grad, out, index, end, sums, nontemporal)
    write_edge(probs, grad, out, index, end, sums)


@jit(nogil=True)
def move(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, nontemporal: bool) -> None:
    """Write p g: the least work of a pass over three arrays. The roofline times it."""
    write(probs, grad, out, index, end, (0.0, 0.0), nontemporal)  # LLVM leaves the subtractions of 0 out


@jit(nogil=True, forceinline=True)
def reduce_at(probs: Pointer, grad: Pointer, index: int, a: Vector, max_p: Vector, max_g: Vector) -> tuple[Vector, ...]:
    """Add a vector of p g to `a`, and update the largest p and their g, lane by lane."""
    p, g = vec.load(probs, index), vec.load(grad, index)
    max_p, max_g = vec.update_max(p, g, max_p, max_g)
    return a + p * g, max_p, max_g


@jit(nogil=True, forceinline=True)
def write_and_reduce(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool, row: int, n: int
) -> tuple[int, Any, Any, float]:
    """Write vectors up to `end`; reduce n elements from `row` on. Return the next index, max p, g there, and Σ p g."""
    width = vec.lanes(probs)
    c, s = vec.broadcast(probs, sums[0]), vec.broadcast(probs, sums[1])
    max_p, max_g = vec.load(probs, row), vec.load(grad, row)
    dot, j = 0.0, 0
    while j + width <= n:
        stop = min(n, j + TERMS_PER_LANE * width)  # the order of the sum does not depend on the written row
        a = vec.broadcast(probs, 0)  # a single vector of sums: two, and two maxima, would not fit the registers of AVX2
        if nontemporal:  # two loops: with the branch inside, LLVM makes slow code for both kinds of stores
            while j + width <= stop and index + width <= end:
                a, max_p, max_g = reduce_at(probs, grad, row + j, a, max_p, max_g)
                vec.store_nontemporal(out, index, result_at(probs, grad, index, c, s))
                index, j = index + width, j + width
        else:
            while j + width <= stop and index + width <= end:
                a, max_p, max_g = reduce_at(probs, grad, row + j, a, max_p, max_g)
                vec.store(out, index, result_at(probs, grad, index, c, s))
                index, j = index + width, j + width
        while j + width <= stop:
            a, max_p, max_g = reduce_at(probs, grad, row + j, a, max_p, max_g)
            j += width
        dot += vec.reduce_add(a)
    if j < n:  # the last vector, without the elements that it shares with the vector before
        p, g = vec.load(probs, row + n - width), vec.load(grad, row + n - width)
        dot += vec.reduce_add(vec.select(vec.first_lanes(probs, width - n + j), vec.broadcast(probs, 0), p * g))
        max_p, max_g = vec.update_max(p, g, max_p, max_g)
    top_p, top_g = vec.argmax(max_p, max_g)
    return write_body(probs, grad, out, index, end, sums, nontemporal), top_p, top_g, dot
