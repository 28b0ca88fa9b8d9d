"""The forward pass for rows, p = exp(x - max x) / Σ exp(x - max x), in three passes: maximum, exponentials, scale.

The pass that computes exponentials prefetches the next row. If the arrays do not fit the caches, a call is 1.2 times
as fast as without prefetching. All stores are plain stores: to write rows to a buffer, and to copy them with
non-temporal stores, took 1.1 to 1.3 times as long (Zen 3, 4096×1024, 40000×100).

If a row of x contains NaN or +inf, x - max x is NaN in at least one element, so the sum and all p of this row are NaN.
So it does not matter which maximum is found in a row with NaN.
"""

from typing import Any

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.simd import pool, rows
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.exponential import exp
from softmax_impls.simd.jit import task
from softmax_impls.simd.parts import RESULTS, SUMS, loop
from softmax_impls.simd.tasks import Tasks
from softmax_impls.simd.vectors import Pointer

MAXIMUM, EXPONENTIALS, SCALE = range(3)  # the passes over a part of a row
# Number of exponentials that a lane adds up. Then their sum is added to the total, and the rounding error of this
# addition is kept.
POWERS_PER_LANE = 6


def maximum(x: Pointer, row: int, n: int) -> Any:
    """Return the largest of n elements from index `row` on; n is at least the number of lanes."""
    width, j = vec.lanes(x), row
    body = row + (n - 1) // width * width
    largest = vec.load(x, row + n - width)
    while j < body:
        largest = vec.larger(vec.load(x, j), largest)
        j += width
    return vec.argmax(largest, largest)[0]


def exponentials(x: Pointer, out: Pointer, row: int, n: int, top: Any) -> Any:
    """Write e = 2^SCALE exp(x - top) of n elements from index `row` on, and return the sum of all e.

    `top` is the largest x of the row, and n is at least the number of lanes.
    """
    width, j, zero = vec.lanes(x), 0, vec.broadcast(x, 0)
    body, m = (n - 1) // width * width, vec.broadcast(x, top)
    last = exp(x, vec.load(x, row + n - width) - m)  # now, because in place the loop overwrites a part of it
    total, rest = vec.select(vec.first_lanes(x, width - n + body), zero, last), zero
    while j < body:
        stop = min(body, j + POWERS_PER_LANE * width)
        part = zero
        while j < stop:
            e = exp(x, vec.load(x, row + j) - m)
            vec.prefetch(x, row + j + n)  # the next row
            vec.store(out, row + j, e)
            part = part + e
            j += width
        before = total
        total = total + part
        rest = rest + ((before - total) + part)  # what rounding lost
    vec.store(out, row + n - width, last)
    return vec.reduce_add_double(total) + vec.reduce_add_double(rest)


def scale(out: Pointer, row: int, n: int, total: float) -> None:
    """Divide the exponentials of a row by `total`, their sum. The row is longer than a vector."""
    width = vec.lanes(out)
    factor = vec.broadcast(out, 1 / total)
    last = vec.load(out, row + n - width) * factor
    for k in range(row, row + (n - 1) // width * width, width):
        vec.store(out, k, vec.load(out, k) * factor)
    vec.store(out, row + n - width, last)


def tiny_rows(x: Pointer, out: Pointer, dim: int, start: int, stop: int, in_place: bool) -> None:
    """Compute rows of at most one vector, in registers."""
    width = vec.lanes(x)
    used, lowest = vec.first_lanes(x, dim), vec.broadcast(x, -np.inf)
    # Loads and stores go past the end of a row, and the next rows overwrite these lanes. The last rows have no next
    # rows, so their loads and stores are masked. In place, all are masked, because the next rows are still inputs.
    masked = start if in_place else max(start, stop - (width - 1) // dim)
    for i in range(start, stop):
        v = vec.load(x, i * dim) if i < masked else vec.masked_load(x, i * dim, used)
        v = vec.select(used, v, lowest)
        e = exp(x, v - vec.broadcast(x, vec.argmax(v, v)[0]))
        e = e * vec.broadcast(x, 1 / np.float64(vec.reduce_add(e)))
        if i < masked:
            vec.store(out, i * dim, e)
        else:
            vec.masked_store(out, i * dim, used, e)


@task()
def whole_rows(call: Pointer, x: Pointer, _: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the softmax of the rows from `start` to `stop`, each row in one thread; return `stop`."""
    dim = call[pool.DIM]
    if dim <= vec.lanes(x):
        tiny_rows(x, out, dim, start, stop, call[pool.IN_PLACE] != 0)
    else:
        for row in range(start * dim, stop * dim, dim):
            scale(out, row, dim, exponentials(x, out, row, dim, maximum(x, row, dim)))
    return stop


@task()
def part_of_row(call: Pointer, x: Pointer, _: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Run a pass of the softmax over a part of a row, the elements from `start` to `stop`; return `stop`.

    The other threads run the same pass over the other parts of the row. call[INNER] is the number of the pass:
    MAXIMUM, EXPONENTIALS or SCALE.
    """
    sums = vec.pointer_to(call[pool.SUMS], np.float64(0))
    result = RESULTS + pool.LINE * (start % call[pool.DIM] // call[pool.STEP])
    if call[pool.INNER] == MAXIMUM:
        sums[result + 1] = maximum(x, start, stop - start)
    elif call[pool.INNER] == EXPONENTIALS:
        sums[result] = exponentials(x, out, start, stop - start, vec.as_element(x, sums[0]))
    else:
        scale(out, start, stop - start, sums[0])
    return stop


@task()
def rows_in_parts(call: Pointer, x: Pointer, _: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute few long rows one after the other, each by all threads; return `stop`."""
    call[pool.SUMS] = vec.address(vec.stack(call, SUMS))
    dim, sums = call[pool.DIM], vec.pointer_to(call[pool.SUMS], np.float64(0))
    for row in range(start * dim, stop * dim, dim):
        sums[0] = loop(call, x, x, out, row, MAXIMUM)[1]
        sums[0] = loop(call, x, x, out, row, EXPONENTIALS)[0]
        loop(call, x, x, out, row, SCALE)
    return stop


TASKS = Tasks(*[whole_rows] * len(rows.TASKS), rows_in_parts, part_of_row)


def run(x: Array, out: Array, threads: int | None = None) -> None:
    """Compute the softmax of the rows of a C-contiguous array of any size; `out` may be `x`."""
    TASKS.run(x, x, out, threads)
