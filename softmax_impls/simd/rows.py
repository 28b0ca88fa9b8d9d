"""How the passes of many rows are ordered, so that they wait neither for memory nor for each other.

Tiny rows have up to a vector, short rows up to two, medium rows up to eight. Long rows are written without gaps in
memory: a vector may begin in a row and end in the next row.

A row in which g - c or h - Σ p h overflows is left to `scaled_row`. A function stops before such a row, with all rows
before it written, and returns the number of the row; `compute_rows` computes it and goes on. For rows of up to eight
vectors, a comparison for each row would take 4 to 40 % of the time. So they are all written first, and the squares of
their sums are added up. If the total is not finite, the function returns `start`, and the rows are computed again by a
`careful` function, which compares. In place, this would lose the inputs: there the squares of g are added up before, in
blocks. The results of tiny and short rows are p h - p Σ p h, where only h can overflow.
"""

from typing import Any

import numpy as np

from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import jit
from softmax_impls.simd.passes import (
    Sums,
    overflows,
    reduce_at,
    result_at,
    row_sums,
    scaled_row,
    write_and_reduce,
    write_body,
    write_edge,
)
from softmax_impls.simd.sizes import ALIGNED_FROM, IN_PLACE_BLOCK, LAG_TWO_BELOW, PIPELINED_ABOVE
from softmax_impls.simd.vectors import Pointer, Vector


@jit(nogil=True)
def compute_rows(
    probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, nontemporal: bool, in_place: bool
) -> None:
    """Compute the rows from `start` to `stop`. `in_place` states whether `out` is an input."""
    width = vec.lanes(probs)
    careful = pipelined = dim > PIPELINED_ABOVE * width or (nontemporal and dim > 2 * width)
    while start < stop:
        end = stop
        if in_place and not pipelined:
            end = min(stop, start + max(1, IN_PLACE_BLOCK // dim))
            careful = not are_small(grad, start * dim, end * dim)
        if dim <= width:
            computed = _tiny_rows(probs, grad, out, dim, start, end, in_place, careful)
        elif dim <= 2 * width:
            computed = _short_rows(probs, grad, out, dim, start, end, in_place, careful)
        elif not careful:
            computed = _medium_rows(probs, grad, out, dim, start, end)
        else:
            computed = _long_rows(probs, grad, out, dim, start, end, nontemporal)
        if computed < end and careful:
            scaled_row(probs, grad, out, computed * dim, dim)
            computed += 1
        elif in_place:
            computed = end
        careful, start = True, computed


@jit(nogil=True, fastmath={"reassoc", "contract"})
def are_small(grad: Pointer, begin: int, end: int) -> bool:
    """Whether elements are so small that neither g - c, nor h - Σ p h, nor the sum of all (Σ p h)² overflows."""
    total = vec.as_element(grad, 0.0)
    for k in range(begin, end):
        total += grad[k] * grad[k]
    return bool(np.isfinite(16 * total))  # |Σ p h| is at most twice the largest |g| of its row


@jit(nogil=True, forceinline=True)
def _first_masked_row(dim: int, elements: int, start: int, stop: int, in_place: bool) -> int:
    # Loads and stores of earlier rows may pass the end of the row: the next rows overwrite these lanes. The last rows
    # have no next rows. In place, such lanes would overwrite an input.
    return start if in_place and dim < elements else max(start, stop - (elements - 1) // dim)


@jit(nogil=True, fastmath={"contract"})
def _tiny_rows(
    probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, in_place: bool, careful: bool
) -> int:
    """Compute rows of up to a vector in registers, two at a time, because they do not wait for each other."""
    width, zero = vec.lanes(probs), vec.broadcast(probs, 0)
    used = vec.first_lanes(probs, dim)
    total = vec.as_element(probs, 0.0)
    masked = start if careful else _first_masked_row(dim, width, start, stop, in_place)
    masked -= (masked - start) % 2
    for i in range(start, masked, 2):
        k0, k1 = i * dim, (i + 1) * dim
        p0, g0 = vec.select(used, vec.load(probs, k0), zero), vec.select(used, vec.load(grad, k0), zero)
        p1, g1 = vec.select(used, vec.load(probs, k1), zero), vec.select(used, vec.load(grad, k1), zero)
        c0, c1 = vec.argmax(p0, g0)[1], vec.argmax(p1, g1)[1]
        h0, h1 = g0 - vec.broadcast(probs, c0), g1 - vec.broadcast(probs, c1)
        t0, t1 = p0 * h0, p1 * h1
        s0, s1 = vec.reduce_add(t0), vec.reduce_add(t1)
        total += s0 * s0 + s1 * s1
        vec.store(out, k0, t0 - p0 * vec.broadcast(probs, s0))
        vec.store(out, k1, t1 - p1 * vec.broadcast(probs, s1))
    for i in range(masked, stop):
        k = i * dim
        p, g = vec.masked_load(probs, k, used), vec.masked_load(grad, k, used)
        h = g - vec.broadcast(probs, vec.argmax(p, g)[1])
        t = p * h
        s = vec.reduce_add(t)
        total += s * s
        if careful and not np.isfinite(s):
            return i
        vec.masked_store(out, k, used, t - p * vec.broadcast(probs, s))
    return stop if careful or np.isfinite(total) else start


@jit(nogil=True, fastmath={"contract"})
def _short_rows(
    probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, in_place: bool, careful: bool
) -> int:
    """Compute rows of more than a vector and up to two, in registers."""
    width, zero = vec.lanes(probs), vec.broadcast(probs, 0)
    used = vec.first_lanes(probs, dim - width)  # of the second vector
    total = vec.as_element(probs, 0.0)
    masked = start if careful else _first_masked_row(dim, 2 * width, start, stop, in_place)
    for i in range(start, masked):
        k0, k1 = i * dim, i * dim + width
        p0, g0 = vec.load(probs, k0), vec.load(grad, k0)
        p1, g1 = vec.select(used, vec.load(probs, k1), zero), vec.select(used, vec.load(grad, k1), zero)
        t0, t1, dot = _short_row(probs, p0, g0, p1, g1)
        total += dot * dot
        s = vec.broadcast(probs, dot)
        vec.store(out, k0, t0 - p0 * s)
        vec.store(out, k1, t1 - p1 * s)
    for i in range(masked, stop):
        k0, k1 = i * dim, i * dim + width
        p0, g0 = vec.load(probs, k0), vec.load(grad, k0)
        p1, g1 = vec.masked_load(probs, k1, used), vec.masked_load(grad, k1, used)
        t0, t1, dot = _short_row(probs, p0, g0, p1, g1)
        total += dot * dot
        if careful and not np.isfinite(dot):
            return i
        s = vec.broadcast(probs, dot)
        vec.store(out, k0, t0 - p0 * s)
        vec.masked_store(out, k1, used, t1 - p1 * s)
    return stop if careful or np.isfinite(total) else start


@jit(nogil=True, forceinline=True)
def _short_row(probs: Pointer, p0: Vector, g0: Vector, p1: Vector, g1: Vector) -> tuple[Vector, Vector, Any]:
    """Return p h in two vectors, and its sum."""
    c = vec.broadcast(probs, vec.argmax(*vec.update_max(p1, g1, p0, g0))[1])
    t0, t1 = p0 * (g0 - c), p1 * (g1 - c)
    return t0, t1, vec.reduce_add(t0 + t1)


@jit(nogil=True, fastmath={"contract"})
def _medium_rows(probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int) -> int:
    """Compute rows of a few vectors one after the other: the processor itself overlaps a row with the next rows."""
    width = vec.lanes(probs)
    whole, last = dim // width * width, dim - width  # the end of the whole vectors, the beginning of the last vector
    shared = vec.first_lanes(probs, -dim % width)
    total = vec.as_element(probs, 0.0)
    for i in range(start, stop):
        row = i * dim
        max_p, max_g = vec.load(probs, row), vec.load(grad, row)
        a = max_p * max_g
        for j in range(width, whole, width):
            a, max_p, max_g = reduce_at(probs, grad, row + j, a, max_p, max_g)
        dot: Any = np.float64(vec.reduce_add(a))
        p, g = vec.load(probs, row + last), vec.load(grad, row + last)
        if whole < dim:
            dot += vec.reduce_add(vec.select(shared, vec.broadcast(probs, 0), p * g))
            max_p, max_g = vec.update_max(p, g, max_p, max_g)
        shift, dot = row_sums(probs, grad, row, dim, vec.argmax(max_p, max_g)[1], dot)
        element = vec.as_element(probs, dot)
        total += element * element
        c, s = vec.broadcast(probs, shift), vec.broadcast(probs, dot)
        last_result = p * ((g - c) - s)  # before the vector that it may share elements with is written
        for k in range(row, row + last, width):
            vec.store(out, k, result_at(probs, grad, k, c, s))
        vec.store(out, row + last, last_result)
    return stop if np.isfinite(total) else start


@jit(nogil=True)
def _long_rows(probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, nontemporal: bool) -> int:
    """Compute rows of a vector or more: each step reduces row i and writes row i - lag, which the cache still holds.

    Short rows lag by two steps, because it takes a while until the sums of a reduced row are known.
    """
    width = vec.lanes(probs)
    lag = 2 if dim < LAG_TWO_BELOW * width else 1
    index, i = start * dim, start  # the next element to write, the next row to reduce
    # The sums of four rows: the row that is written, the row before it, and the last two rows that were reduced.
    sums = sums_before = newest = second_newest = (0.0, 0.0)
    while i < stop + lag:
        written = i - lag
        row_end = index
        if written >= start:
            row_end = (written + 1) * dim
            sums_before, sums = sums, newest if lag == 1 else second_newest
            if written == start and (nontemporal or dim >= ALIGNED_FROM * width):
                aligned = index + vec.elements_to_line(out, index)
                write_edge(probs, grad, out, index, aligned, sums)
                index = aligned
            if index < written * dim:
                _write_across(probs, grad, out, index, written * dim, sums_before, sums, nontemporal)
                index += width
        second_newest = newest
        if i < stop:
            index, _, max_g, dot = write_and_reduce(probs, grad, out, index, row_end, sums, nontemporal, i * dim, dim)
            newest = row_sums(probs, grad, i * dim, dim, max_g, dot)
            if overflows(probs, newest[1]):
                stop = i  # the rows before it are still to be written
        else:
            index = write_body(probs, grad, out, index, row_end, sums, nontemporal)
        i += 1
    write_edge(probs, grad, out, index, stop * dim, sums)
    return stop


@jit(nogil=True, forceinline=True)
def _write_across(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, row: int, before: Sums, sums: Sums, nontemporal: bool
) -> None:
    """Write the vector that begins in the row before `row` and ends in `row`."""
    first = vec.first_lanes(probs, row - index)
    c = vec.select(first, vec.broadcast(probs, before[0]), vec.broadcast(probs, sums[0]))
    s = vec.select(first, vec.broadcast(probs, before[1]), vec.broadcast(probs, sums[1]))
    if nontemporal:
        vec.store_nontemporal(out, index, result_at(probs, grad, index, c, s))
    else:
        vec.store(out, index, result_at(probs, grad, index, c, s))
