"""How the passes of many rows are ordered, so that they wait neither for memory nor for each other.

Tiny rows have up to a vector, short rows up to two, medium rows up to eight. Long rows are written without gaps in
memory: a vector may begin in a row and end in the next row. Streamed rows are long rows with non-temporal stores.

A row in which g - c or h - Σ p h overflows is left to `scaled_row`. A function stops before such a row, with all rows
before it written, and returns the number of the row; `careful_rows` computes it and goes on. For rows of up to eight
vectors, a comparison for each row would take 4 to 40 % of the time. So they are all written first, and the squares of
their sums are added up. If the total is not finite, the function returns `start`, and the rows are computed again by a
`careful` function, which compares. In place, this would lose the inputs: there the squares of g are added up before, in
blocks. The results of tiny and short rows are p h - p Σ p h, where only h can overflow.
"""

from typing import Any

import numpy as np

from softmax_impls.simd import pool
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import call_task, inner, task
from softmax_impls.simd.passes import (
    Sums,
    head,
    overflows,
    reduce_at,
    result_at,
    row_sums,
    scaled_row,
    write_and_reduce,
    write_at,
    write_body,
    write_edge,
)
from softmax_impls.simd.sizes import IN_PLACE_BLOCK, PIPELINED_ABOVE
from softmax_impls.simd.vectors import Pointer, Vector

# Kinds of rows, which are indices of their tasks. The task CAREFUL is for rows of any kind, where `out` is an input, or
# where g may overflow.
TINY, SHORT, MEDIUM, LONG, STREAMED, CAREFUL = range(6)


@inner(forceinline=True)
def kind_of(dim: int, width: int, nontemporal: bool) -> int:
    """Return the kind of rows of `dim` elements, in vectors of `width` elements."""
    if dim <= width:
        return TINY
    if dim <= 2 * width:
        return SHORT
    if nontemporal:
        return STREAMED
    return LONG if dim > PIPELINED_ABOVE * width else MEDIUM


@inner(forceinline=True)
def place(kind: int, width: int) -> int:
    """Return the index of a task in the table of a call, see `numba_simd`."""
    return 2 * kind + (width == 8)


@task()
def long_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of many vectors."""
    return _long_rows(probs, grad, out, call[pool.DIM], start, stop, False)


@task()
def streamed_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of more than two vectors with non-temporal stores."""
    return _long_rows(probs, grad, out, call[pool.DIM], start, stop, True)


@task()
def careful_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of any kind where `out` is an input, or where rows may overflow."""
    dim, in_place, table = call[pool.DIM], call[pool.IN_PLACE], vec.pointer_to(call[pool.TABLE], np.int64(0))
    width = vec.lanes(probs)
    kind = kind_of(dim, width, call[pool.NONTEMPORAL] != 0)
    careful = kind >= LONG
    if table[place(kind, width)] == 0 or table[place(LONG, width)] == 0:  # not compiled yet
        return start
    own = vec.stack_words(pool.CALL_WORDS)
    own[pool.DIM], own[pool.IN_PLACE], own[pool.NONTEMPORAL] = dim, in_place, call[pool.NONTEMPORAL]
    while start < stop:
        end = stop
        if in_place and kind < LONG:
            end = min(stop, start + max(1, IN_PLACE_BLOCK // dim))
            careful = not are_small(grad, start * dim, end * dim)
        own[pool.CAREFUL] = careful
        rows = table[place(LONG if careful and kind == MEDIUM else kind, width)]
        computed = call_task(rows, own, probs, grad, out, start, end)
        if computed < end and careful:
            scaled_row(probs, grad, out, computed * dim, dim, 1)
            computed += 1
        elif in_place:
            computed = end
        careful, start = True, computed
    return stop


@inner(fastmath={"reassoc", "contract"})
def are_small(grad: Pointer, begin: int, end: int) -> bool:
    """Whether elements of g are so small that nothing overflows: no g - c, no h - Σ p h, and no sum of (Σ p h)²."""
    total = vec.as_element(grad, 0.0)
    for k in range(begin, end):
        total += grad[k] * grad[k]
    return bool(np.isfinite(16 * total))  # |Σ p h| is at most twice the largest |g| of its row


@inner(forceinline=True)
def _first_masked_row(dim: int, elements: int, start: int, stop: int, in_place: bool) -> int:
    # Loads and stores of earlier rows may pass the end of the row: the next rows overwrite these lanes. The last rows
    # have no next rows. In place, such lanes would overwrite an input.
    return start if in_place and dim < elements else max(start, stop - (elements - 1) // dim)


@task(fastmath={"contract"})
def tiny_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of up to a vector in registers, two at a time, because they do not wait for each other."""
    dim, in_place, careful = call[pool.DIM], call[pool.IN_PLACE] != 0, call[pool.CAREFUL] != 0
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


@task(fastmath={"contract"})
def short_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of more than a vector and up to two, in registers."""
    dim, in_place, careful = call[pool.DIM], call[pool.IN_PLACE] != 0, call[pool.CAREFUL] != 0
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


@inner(forceinline=True)
def _short_row(probs: Pointer, p0: Vector, g0: Vector, p1: Vector, g1: Vector) -> tuple[Vector, Vector, Any]:
    """Return p h in two vectors, and its sum."""
    c = vec.broadcast(probs, vec.argmax(*vec.update_max(p1, g1, p0, g0))[1])
    t0, t1 = p0 * (g0 - c), p1 * (g1 - c)
    return t0, t1, vec.reduce_add(t0 + t1)


@task(fastmath={"contract"})
def medium_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of a few vectors one after the other: the processor itself overlaps a row with the next rows."""
    dim = call[pool.DIM]
    width, last = vec.lanes(probs), dim - vec.lanes(probs)  # the beginning of the last vector
    total = vec.as_element(probs, 0.0)
    for i in range(start, stop):
        row = i * dim
        max_p, first = head(probs, row, dim)
        max_g = vec.load(grad, row)
        a = max_p * max_g
        for k in range(row + first, row + dim, width):
            a, max_p, max_g = reduce_at(probs, grad, k, a, max_p, max_g)
        sums = row_sums(probs, grad, row, dim, vec.argmax(max_p, max_g)[1], np.float64(vec.reduce_add(a)))
        c, s, dot = vec.broadcast(probs, sums[0]), vec.broadcast(probs, sums[1]), vec.as_element(probs, sums[1])
        total += dot * dot
        last_result = result_at(probs, grad, row + last, c, s)  # it may share elements with the vector before
        for k in range(row, row + last, width):
            vec.store(out, k, result_at(probs, grad, k, c, s))
        vec.store(out, row + last, last_result)
    return stop if np.isfinite(total) else start


@inner(forceinline=True)
def _long_rows(probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, nontemporal: bool) -> int:
    """Compute rows of a vector or more: each step reduces row i and writes row i - 1, which the cache still holds."""
    index = start * dim  # the next element to write
    sums = sums_before = (0.0, 0.0)  # of the row that is written, and of the row before it
    for i in range(start, stop + 1):
        row = i * dim
        if i == start + 1:
            aligned = index + vec.elements_to_line(out, index)
            write_edge(probs, grad, out, index, aligned, sums)
            index = aligned
        if index < row - dim:
            _write_across(probs, grad, out, index, row - dim, sums_before, sums, nontemporal)
            index += vec.lanes(probs)
        if i < stop:
            index, _, max_g, dot = write_and_reduce(probs, grad, out, index, row, sums, nontemporal, row, dim)
            newest = row_sums(probs, grad, row, dim, max_g, dot)
            if overflows(probs, newest[1]):
                stop = i
                break
            sums_before, sums = sums, newest
        else:
            index = write_body(probs, grad, out, index, row, sums, nontemporal)
    write_edge(probs, grad, out, index, stop * dim, sums)
    return stop


@inner(forceinline=True)
def _write_across(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, row: int, before: Sums, sums: Sums, nontemporal: bool
) -> None:
    """Write the vector that begins in the row before `row` and ends in `row`."""
    first = vec.first_lanes(probs, row - index)
    c = vec.select(first, vec.broadcast(probs, before[0]), vec.broadcast(probs, sums[0]))
    s = vec.select(first, vec.broadcast(probs, before[1]), vec.broadcast(probs, sums[1]))
    write_at(probs, grad, out, index, c, s, nontemporal)


TASKS = (tiny_rows, short_rows, medium_rows, long_rows, streamed_rows, careful_rows)  # by kind
