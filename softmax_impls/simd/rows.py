"""How the passes of many rows are ordered, so that they wait neither for memory nor for each other.

The length of the rows decides: up to a vector, up to two, up to eight, or longer. B rows of D elements are B·D
consecutive elements. Long rows are written in whole vectors, which may begin in one row and end in the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax_impls.simd.jit import jit
from softmax_impls.simd.passes import (
    Sums,
    elements_to_line,
    result_at,
    row_sums,
    update_max,
    write_and_reduce,
    write_scalars,
    write_vectors,
)
from softmax_impls.simd.sizes import ALIGNED_FROM, LAG_TWO_BELOW, PIPELINED_ABOVE
from softmax_impls.simd.vectors import (
    Pointer,
    argmax,
    broadcast,
    first_lanes,
    lanes,
    load,
    masked_load,
    masked_store,
    reduce_add,
    select,
    store,
    store_nontemporal,
)


@jit(nogil=True)
def compute_rows(
    probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, nontemporal: bool, in_place: bool
) -> None:
    """Compute the rows from `start` to `stop`. `in_place` states whether `out` is an input."""
    width = lanes(probs)
    if dim <= width:
        _rows_of_one_vector(probs, grad, out, dim, start, stop, in_place)
    elif dim <= 2 * width:
        _rows_of_two_vectors(probs, grad, out, dim, start, stop, in_place)
    elif dim <= PIPELINED_ABOVE * width and not nontemporal:
        _medium_rows(probs, grad, out, dim, start, stop)
    else:
        _pipelined_rows(probs, grad, out, dim, start, stop, nontemporal)


@jit(nogil=True, forceinline=True)
def _first_masked_row(dim: int, elements: int, start: int, stop: int, in_place: bool) -> int:
    """Return the first row whose loads and stores of `elements` elements must be masked, where a row is shorter.

    In the rows before it, lanes that are loaded past the end of a row are not used, and lanes that are written past the
    end of a row are overwritten by the next rows. The last rows have no next rows; in place, the lanes would overwrite
    an input.
    """
    if in_place and dim < elements:
        return start
    return max(start, stop - (elements - 1) // dim)


@jit(nogil=True)
def _rows_of_one_vector(
    probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, in_place: bool
) -> None:
    """Compute rows of up to a vector in registers, two at a time, since they do not wait for each other."""
    width = lanes(probs)
    zero = broadcast(probs, 0)
    used = first_lanes(probs, dim)
    masked = _first_masked_row(dim, width, start, stop, in_place)
    masked -= (masked - start) % 2
    for i in range(start, masked, 2):
        k0, k1 = i * dim, (i + 1) * dim
        p0, g0 = select(used, load(probs, k0), zero), select(used, load(grad, k0), zero)
        p1, g1 = select(used, load(probs, k1), zero), select(used, load(grad, k1), zero)
        c0, c1 = argmax(p0, g0)[1], argmax(p1, g1)[1]
        h0, h1 = g0 - broadcast(probs, c0), g1 - broadcast(probs, c1)
        s0, s1 = reduce_add(p0 * h0), reduce_add(p1 * h1)
        store(out, k0, p0 * (h0 - broadcast(probs, s0)))
        store(out, k1, p1 * (h1 - broadcast(probs, s1)))
    for i in range(masked, stop):
        k = i * dim
        p, g = masked_load(probs, k, used, zero), masked_load(grad, k, used, zero)
        h = g - broadcast(probs, argmax(p, g)[1])
        masked_store(out, k, used, p * (h - broadcast(probs, reduce_add(p * h))))


@jit(nogil=True)
def _rows_of_two_vectors(
    probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, in_place: bool
) -> None:
    """Compute rows of one to two vectors in registers."""
    width = lanes(probs)
    zero = broadcast(probs, 0)
    used = first_lanes(probs, dim - width)  # of the second vector
    masked = _first_masked_row(dim, 2 * width, start, stop, in_place)
    for i in range(start, stop):
        k0, k1 = i * dim, i * dim + width
        p0, g0 = load(probs, k0), load(grad, k0)
        if i < masked:
            p1, g1 = select(used, load(probs, k1), zero), select(used, load(grad, k1), zero)
        else:
            p1, g1 = masked_load(probs, k1, used, zero), masked_load(grad, k1, used, zero)
        c = broadcast(probs, argmax(*update_max(p1, g1, p0, g0))[1])
        h0, h1 = g0 - c, g1 - c
        s = broadcast(probs, reduce_add(p0 * h0 + p1 * h1))
        store(out, k0, p0 * (h0 - s))
        if i < masked:
            store(out, k1, p1 * (h1 - s))
        else:
            masked_store(out, k1, used, p1 * (h1 - s))


@jit(nogil=True)
def _medium_rows(probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int) -> None:
    """Compute rows of a few vectors one after the other: the processor itself overlaps a row with the next rows.

    A row's last vector may share elements with the vector before it, so it is computed before that vector is written.
    """
    width = lanes(probs)
    whole, last = dim // width * width, dim - width  # the end of the whole vectors, the beginning of the last vector
    shared = first_lanes(probs, -dim % width)
    for i in range(start, stop):
        row = i * dim
        max_p, max_g = load(probs, row), load(grad, row)
        a = max_p * max_g
        for j in range(width, whole, width):
            p, g = load(probs, row + j), load(grad, row + j)
            a = a + p * g
            max_p, max_g = update_max(p, g, max_p, max_g)
        dot: Any = np.float64(reduce_add(a))
        p, g = load(probs, row + last), load(grad, row + last)
        if whole < dim:
            dot += reduce_add(select(shared, broadcast(probs, 0), p * g))
            max_p, max_g = update_max(p, g, max_p, max_g)
        shift, dot = row_sums(probs, grad, row, dim, argmax(max_p, max_g)[1], dot)
        c, s = broadcast(probs, shift), broadcast(probs, dot)
        last_result = p * ((g - c) - s)
        for k in range(row, row + last, width):
            store(out, k, result_at(probs, grad, k, c, s))
        store(out, row + last, last_result)


@jit(nogil=True)
def _pipelined_rows(
    probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, nontemporal: bool
) -> None:
    """Compute rows of a vector or more: each step reduces row i and writes row i - lag, which the cache still holds.

    Short rows lag by two steps, because it takes a while until the sums of a reduced row are known.
    """
    width = lanes(probs)
    lag = 2 if dim < LAG_TWO_BELOW * width else 1
    index, end = start * dim, stop * dim  # of the next vector to write
    # The sums of four rows: the row that is written, the row before it, and the last two rows that were reduced.
    sums = sums_before = newest = second_newest = (0.0, 0.0)
    for i in range(start, stop + lag):
        written = i - lag
        row_end = index
        if written >= start:
            row_end = (written + 1) * dim
            sums_before, sums = sums, newest if lag == 1 else second_newest
            if written == start and (nontemporal or dim >= ALIGNED_FROM * width):
                aligned = index + elements_to_line(out, index)
                write_scalars(probs, grad, out, index, aligned, sums)
                index = aligned
            if index < written * dim:
                _write_across(probs, grad, out, index, written * dim, sums_before, sums, nontemporal)
                index += width
        second_newest = newest
        if i < stop:
            index, _, max_g, dot = write_and_reduce(probs, grad, out, index, row_end, sums, nontemporal, i * dim, dim)
            newest = row_sums(probs, grad, i * dim, dim, max_g, dot)
        else:
            index = write_vectors(probs, grad, out, index, row_end, sums, nontemporal)
    write_scalars(probs, grad, out, index, end, sums)


@jit(nogil=True, forceinline=True)
def _write_across(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, row: int, before: Sums, sums: Sums, nontemporal: bool
) -> None:
    """Write the vector that begins in the row before `row` and ends in `row`."""
    first = first_lanes(probs, row - index)
    c = select(first, broadcast(probs, before[0]), broadcast(probs, sums[0]))
    s = select(first, broadcast(probs, before[1]), broadcast(probs, sums[1]))
    if nontemporal:
        store_nontemporal(out, index, result_at(probs, grad, index, c, s))
    else:
        store(out, index, result_at(probs, grad, index, c, s))
