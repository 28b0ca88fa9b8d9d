"""The passes over a row. The result is p (h - Σ p h), where h = g - shift.

1. reduce: finds the largest p, g in the same place, and Σ p g.
2. shifted_dot: computes Σ p (g - shift), where the shift is g at the largest p. It is needed only where Σ p g lost its
   accuracy to cancellation, see `needs_shift`. Elsewhere the shift is 0, and the pass is left out.
3. write: writes the result.

The first pass of a row and the last pass of another row run in one loop, `write_and_reduce`. An index counts elements
from the beginning of the arrays, across rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax_impls.simd.jit import jit
from softmax_impls.simd.lowering import VECTOR_BYTES
from softmax_impls.simd.sizes import MAX_UNSHIFTED_RATIO, TERMS_PER_LANE
from softmax_impls.simd.vectors import (
    Pointer,
    Vector,
    address,
    argmax,
    as_element,
    broadcast,
    first_lanes,
    lanes,
    load,
    load_scalar,
    reduce_add,
    select,
    store,
    store_nontemporal,
    store_scalar,
)

Sums = tuple[float, float]  # of a row: the shift and Σ p (g - shift)


@jit(nogil=True, forceinline=True)
def update_max(p: Vector, g: Vector, max_p: Vector, max_g: Vector) -> tuple[Vector, Vector]:
    """Return the larger of p and max_p, and the values of g and max_g that belong to them, lane by lane."""
    larger = p > max_p
    return select(larger, p, max_p), select(larger, g, max_g)


@jit(nogil=True, forceinline=True)
def needs_shift(max_g: Any, dot: float) -> bool:
    """Whether Σ p g may have lost its accuracy, so that g must be shifted by max_g; see `checks.bounds`."""
    return not abs(np.float64(max_g)) <= MAX_UNSHIFTED_RATIO * abs(dot - np.float64(max_g))


@jit(nogil=True, forceinline=True)
def row_sums(probs: Pointer, grad: Pointer, row: int, n: int, max_g: Any, dot: float) -> Sums:
    """Return the shift and the sum of n elements from the results of the first pass; with a second pass if needed."""
    if needs_shift(max_g, dot):
        shift = np.float64(max_g)
        return shift, shifted_dot(probs, grad, row, n, shift)
    return 0.0, dot


@jit(nogil=True)
def shifted_dot(probs: Pointer, grad: Pointer, row: int, n: int, shift: float) -> float:
    """Return Σ p (g - shift) over n elements, in float64."""
    width = lanes(probs)
    zero, c = broadcast(probs, 0), broadcast(probs, shift)
    result = 0.0
    j = 0
    while j < n:
        stop = min(n, j + 4 * TERMS_PER_LANE * width)
        s0, s1, s2, s3 = (
            zero,
            zero,
            zero,
            zero,
        )  # four sums, so that an addition does not wait for the previous addition
        while j + 4 * width <= stop:
            k = row + j
            s0 = s0 + load(probs, k) * (load(grad, k) - c)
            s1 = s1 + load(probs, k + width) * (load(grad, k + width) - c)
            s2 = s2 + load(probs, k + 2 * width) * (load(grad, k + 2 * width) - c)
            s3 = s3 + load(probs, k + 3 * width) * (load(grad, k + 3 * width) - c)
            j += 4 * width
        while j + width <= stop:
            s0 = s0 + load(probs, row + j) * (load(grad, row + j) - c)
            j += width
        if j < n and stop == n:  # the last vector, without the elements that it shares with the vector before
            k = row + n - width
            s1 = s1 + select(first_lanes(probs, width - n + j), zero, load(probs, k) * (load(grad, k) - c))
            j = n
        result += reduce_add((s0 + s1) + (s2 + s3))
    return result


@jit(nogil=True, forceinline=True)
def elements_to_line(out: Pointer, index: int) -> int:
    """Return the number of elements from an index to the next beginning of a cache line."""
    width = lanes(out)
    return (-(address(out) // (VECTOR_BYTES // width) + index)) % width


@jit(nogil=True, forceinline=True)
def result_at(probs: Pointer, grad: Pointer, index: int, c: Vector, s: Vector) -> Vector:
    """Return a vector of the result, p ((g - c) - s)."""
    return load(probs, index) * ((load(grad, index) - c) - s)


@jit(nogil=True, forceinline=True)
def write_vectors(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool
) -> int:
    """Write whole vectors of the result, as many as fit before `end`; return the index of the next vector."""
    width = lanes(probs)
    c, s = broadcast(probs, sums[0]), broadcast(probs, sums[1])
    if nontemporal:
        while index + width <= end:
            store_nontemporal(out, index, result_at(probs, grad, index, c, s))
            index += width
    else:
        while index + width <= end:
            store(out, index, result_at(probs, grad, index, c, s))
            index += width
    return index


@jit(nogil=True, forceinline=True)
def write_scalars(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums) -> None:
    """Write the result element by element, where there is less than a vector."""
    c, s = as_element(probs, sums[0]), as_element(probs, sums[1])
    for k in range(index, end):
        store_scalar(out, k, load_scalar(probs, k) * ((load_scalar(grad, k) - c) - s))


@jit(nogil=True, forceinline=True)
def write(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool) -> None:
    """Write any part of a row."""
    if nontemporal:
        aligned = min(end, index + elements_to_line(out, index))
        write_scalars(probs, grad, out, index, aligned, sums)
        index = aligned
    index = write_vectors(probs, grad, out, index, end, sums, nontemporal)
    write_scalars(probs, grad, out, index, end, sums)


@jit(nogil=True)
def move(probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, nontemporal: bool) -> None:
    """Write p g: the least work of a pass over three arrays. The roofline times it."""
    write(probs, grad, out, index, end, (0.0, 0.0), nontemporal)  # LLVM leaves the subtractions of 0 out


@jit(nogil=True, forceinline=True)
def _reduce_vector(
    probs: Pointer, grad: Pointer, index: int, dot: Vector, max_p: Vector, max_g: Vector
) -> tuple[Vector, Vector, Vector]:
    """Add a vector of p g to `dot`, and update the largest p and their g."""
    p, g = load(probs, index), load(grad, index)
    max_p, max_g = update_max(p, g, max_p, max_g)
    return dot + p * g, max_p, max_g


@jit(nogil=True, forceinline=True)
def write_and_reduce(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, end: int, sums: Sums, nontemporal: bool, row: int, n: int
) -> tuple[int, Any, Any, float]:
    """Write a row's vectors from `index` to `end`, and in the same loop reduce the n elements of another from `row` on.

    The reduced row comes from memory and the written row from the cache, so neither waits for the other. Σ p g is
    added up in an order that does not depend on the written row.

    Returns
    -------
    index, max_p, max_g, dot
        The index of the next vector to write. Of the reduced row: the largest p, g in the same place, and Σ p g.
    """
    width = lanes(probs)
    c, s = broadcast(probs, sums[0]), broadcast(probs, sums[1])
    max_p, max_g = load(probs, row), load(grad, row)
    dot = 0.0
    j = 0
    while j + width <= n:
        stop = min(n, j + TERMS_PER_LANE * width)
        a = broadcast(probs, 0)  # a single vector of sums: two, and two maxima, would not fit the registers of AVX2
        if nontemporal:  # two loops: with the branch inside, LLVM makes slow code for both kinds of stores
            while j + width <= stop and index + width <= end:
                a, max_p, max_g = _reduce_vector(probs, grad, row + j, a, max_p, max_g)
                store_nontemporal(out, index, result_at(probs, grad, index, c, s))
                index += width
                j += width
        else:
            while j + width <= stop and index + width <= end:
                a, max_p, max_g = _reduce_vector(probs, grad, row + j, a, max_p, max_g)
                store(out, index, result_at(probs, grad, index, c, s))
                index += width
                j += width
        while j + width <= stop:
            a, max_p, max_g = _reduce_vector(probs, grad, row + j, a, max_p, max_g)
            j += width
        dot += reduce_add(a)
    if j < n:  # the last vector, without the elements that it shares with the vector before
        p, g = load(probs, row + n - width), load(grad, row + n - width)
        dot += reduce_add(select(first_lanes(probs, width - n + j), broadcast(probs, 0), p * g))
        max_p, max_g = update_max(p, g, max_p, max_g)
    top_p, top_g = argmax(max_p, max_g)
    return write_vectors(probs, grad, out, index, end, sums, nontemporal), top_p, top_g, dot
