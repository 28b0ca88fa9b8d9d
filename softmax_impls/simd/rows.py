"""The tasks that compute rows: the order of their passes, and how they find results that may overflow.

Tiny rows have at most one vector, short rows at most two, and medium rows at most twelve. Longer rows are long rows. A
vector of long rows may begin in a row and end in the next row. Streamed rows have more than two vectors. They are
written like long rows, but with non-temporal stores.

The result is p (h - Σ p h), where h = g + c and c is the shift of the row. If h or h - Σ p h may overflow in a row,
`scaled_row` computes this row. Each task finds such rows in its own way:

* `long_rows` and `streamed_rows` look at each row. They write all rows before such a row, stop there, and return the
  number of the row.
* `medium_rows` writes all rows, and adds up the squares of the sums Σ p h. If a sum is so large that its row may
  overflow, its square is inf.
* `tiny_rows` and `short_rows` write all rows, and add up the sums. They compute p h - p Σ p h, where only h can
  overflow. If an h overflows, its sum is inf or NaN.

If the total of the sums or squares is not finite, the task returns `start`, and `careful_rows` computes the rows again.
If `out` is an input, this is impossible, because the input is already overwritten. So a call whose `out` is an input is
computed by `careful_rows` from the start: it writes blocks of rows to the stack, and copies each block to `out`. To
look at each row instead would take 4 to 40 % of the time in tiny, short and medium rows.
"""

from typing import Any

import numpy as np

from softmax_impls.simd import pool
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import task
from softmax_impls.simd.passes import (
    Sums,
    lane_sums,
    lane_tops,
    overflows,
    row_sums,
    scaled_row,
    write_at,
    write_body,
    write_edge,
)
from softmax_impls.simd.pipeline import write_and_reduce
from softmax_impls.simd.sizes import BLOCK_ELEMENTS, PIPELINED_ABOVE
from softmax_impls.simd.small_rows import short_rows, tiny_rows
from softmax_impls.simd.vectors import Pointer, call_task

# Kinds of rows. Each number is the index of a task. CAREFUL is the task for rows of any kind if `out` is an input, or
# if a row may overflow. SHARED and PART are the tasks in `parts`.
TINY, SHORT, MEDIUM, LONG, STREAMED, CAREFUL, SHARED, PART = range(8)


def kind_of(dim: int, width: int, nontemporal: bool) -> int:
    """Return the kind of rows of `dim` elements: TINY, SHORT, MEDIUM, LONG or STREAMED.

    A vector has `width` elements.
    """
    if dim <= width:
        return TINY
    if dim <= 2 * width:
        return SHORT
    if nontemporal:
        return STREAMED
    return LONG if dim > PIPELINED_ABOVE * width else MEDIUM


def place(kind: int, width: int) -> int:
    """Return the index of a task's address in the table of `tasks.Tasks`, for a kind of rows (TINY, …).

    `width` is the number of elements of a vector: 16 for float32, 8 for float64. Each dtype has its own task.
    """
    return 2 * kind + (width == 8)


@task()
def long_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of more than twelve vectors with plain stores, until a row may overflow.

    Return the number of this row, or `stop`.
    """
    return _long_rows(probs, grad, out, call[pool.DIM], start, stop, False)


@task()
def streamed_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of more than two vectors with non-temporal stores, until a row may overflow.

    Return the number of this row, or `stop`.
    """
    return _long_rows(probs, grad, out, call[pool.DIM], start, stop, True)


@task()
def careful_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of any length, in calls where `out` is an input or a row may overflow; return `stop`."""
    dim, width, table = call[pool.DIM], vec.lanes(probs), vec.pointer_to(call[pool.TABLE], np.int64(0))
    kind = kind_of(dim, width, call[pool.NONTEMPORAL] != 0)
    rows = table[place(kind, width)]
    if kind >= LONG:
        while start < stop:
            start = call_task(rows, call, probs, grad, out, start, stop)
            if start < stop:
                scaled_row(probs, grad, out, start * dim, dim, 1)
                start += 1
        return stop
    block = max(1, BLOCK_ELEMENTS // dim)
    results = vec.stack(probs, BLOCK_ELEMENTS)
    for first in range(start, stop, block):
        p, g, o = vec.advance(probs, first * dim), vec.advance(grad, first * dim), vec.advance(out, first * dim)
        n = min(block, stop - first)
        if call_task(rows, call, p, g, results, 0, n) != n:
            for i in range(n):
                if call_task(rows, call, p, g, results, i, i + 1) == i:
                    scaled_row(p, g, results, i * dim, dim, 1)
        for k in range(n * dim):
            o[k] = results[k]
    return stop


@task(fastmath={"contract"})
def medium_rows(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute rows of a few vectors; return `stop`, or `start` if a row may overflow.

    A row takes three steps: its largest p, its sum Σ p h, and its result. The first two steps end with a vector. To
    reduce the vector to a number is slow, and the next step needs the number. So the steps of three rows alternate, and
    each turn begins by reducing the vectors that the previous turn has completed::

        turn            0        1        2        3        4
        largest p       row 2    row 3    row 4
        sum             row 1    row 2    row 3    row 4
        result          row 0    row 1    row 2    row 3    row 4

    The largest p of rows 0 and 1, and the sum of row 0, come before turn 0. On Zen 1, 1024×64 took 0.87 to 0.95 of the
    time with two rows in turn, and rows of 100 to 190 took 0.95 to 0.99.
    """
    dim, total, row = call[pool.DIM], vec.as_element(probs, 0.0), start * call[pool.DIM]
    last_row = (stop - 1) * dim
    shift = -vec.argmax(*lane_tops(probs, grad, row, dim))[1]
    sums, tops = lane_sums(probs, grad, row, dim, shift), lane_tops(probs, grad, min(row + dim, last_row), dim)
    while row <= last_row:
        c, shift, s = shift, vec.at_once(-vec.argmax(*tops)[1]), vec.reduce_add(sums)
        total += s * s
        tops = lane_tops(probs, grad, min(row + 2 * dim, last_row), dim)
        sums = lane_sums(probs, grad, min(row + dim, last_row), dim, shift)
        _write_medium(probs, grad, out, row, dim, c, s)
        row += dim
    return stop if np.isfinite(total) else start


def _write_medium(probs: Pointer, grad: Pointer, out: Pointer, row: int, dim: int, shift: Any, dot: Any) -> None:
    """Write a medium row. The last vector may share elements with the vector before it."""
    width, c, s = vec.lanes(probs), vec.broadcast(probs, shift), vec.broadcast(probs, dot)
    for k in range(row, row + dim - width, width):
        write_at(probs, grad, out, k, c, s, False)
    write_at(probs, grad, out, row + dim - width, c, s, False)


def _long_rows(probs: Pointer, grad: Pointer, out: Pointer, dim: int, start: int, stop: int, nontemporal: bool) -> int:
    """Compute rows of a vector or more: each step reduces row i and writes row i - 1, which the cache still holds."""
    index = start * dim  # the next element to write
    sums = sums_before = (0.0, 0.0)  # `sums` of the row that is written, `sums_before` of the row before it
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
            if nontemporal and dim <= PIPELINED_ABOVE * vec.lanes(probs):  # the same result as in `medium_rows`
                c = -vec.argmax(*lane_tops(probs, grad, row, dim))[1]
                newest: Sums = np.float64(c), np.float64(vec.reduce_add(lane_sums(probs, grad, row, dim, c)))
                index = write_body(probs, grad, out, index, row, sums, True)
            else:
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


def _write_across(
    probs: Pointer, grad: Pointer, out: Pointer, index: int, row: int, before: Sums, sums: Sums, nontemporal: bool
) -> None:
    """Write the vector at `index`, which begins in the row before `row` and ends in `row`.

    `before` has the shift and the sum of the row before, `sums` has the shift and the sum of `row`.
    """
    first = vec.first_lanes(probs, row - index)
    c = vec.select(first, vec.broadcast(probs, before[0]), vec.broadcast(probs, sums[0]))
    s = vec.select(first, vec.broadcast(probs, before[1]), vec.broadcast(probs, sums[1]))
    write_at(probs, grad, out, index, c, s, nontemporal)


TASKS = (tiny_rows, short_rows, medium_rows, long_rows, streamed_rows, careful_rows)  # by kind, up to CAREFUL
