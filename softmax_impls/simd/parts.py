"""Few long rows: all threads compute each row together. Each pass (reduce, shifted_dot, write) loops over its parts.

The forward pass also uses `loop`, with its own three passes, see `forward`.
"""

import numpy as np

from softmax_impls.simd import pool
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import apart, task
from softmax_impls.simd.passes import needs_shift, overflows, scaled_row, shifted_dot, write
from softmax_impls.simd.pipeline import write_and_reduce
from softmax_impls.simd.vectors import Pointer, call_task

REDUCE, SHIFTED_DOT, WRITE = range(3)  # numbers of the loops; call[INNER] is the current loop
# Indices of the sums of a row, in float64: the shift, Σ p (g + shift), and a cache line for the results of each part.
# The results are a sum, a maximum, and a number that belongs to the maximum: for REDUCE, Σ p g, max p, and its g.
SHIFT, DOT, RESULTS = 0, 1, pool.LINE
SUMS = RESULTS + pool.LINE * pool.MAX_CHUNKS


@apart
def loop(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, row: int, number: int) -> tuple[float, ...]:
    """Run a loop over the row that begins at index `row`; the threads share the parts of the row.

    `number` states which loop: REDUCE, SHIFTED_DOT, WRITE or a pass of `forward`. Return three results. For REDUCE,
    they are Σ p g, the largest p, and g at the largest p. For SHIFTED_DOT, the first result is Σ p (g + shift). For a
    pass of `forward` that adds, the first result is the sum. For a pass that looks for the maximum, the second result
    is the maximum. All other results have no meaning.
    """
    sums, dim, best, total = vec.pointer_to(call[pool.SUMS], np.float64(0)), call[pool.DIM], RESULTS, 0.0
    call[pool.INNER] = number
    call_task(call[pool.LEAD], call, probs, grad, out, row, row + dim)
    for results in range(RESULTS, RESULTS + pool.LINE * max(1, dim // call[pool.STEP]), pool.LINE):
        if sums[results + 1] > sums[best + 1]:
            best = results
        total += sums[results]
    return total, sums[best + 1], sums[best + 2]


@task()
def rows_in_parts(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the rows from `start` to `stop` one after the other, each by all threads; return `stop`.

    The thread that calls this task computes a row alone if the row may overflow.
    """
    call[pool.SUMS] = vec.address(vec.stack(call, SUMS))
    dim, sums = call[pool.DIM], vec.pointer_to(call[pool.SUMS], np.float64(0))
    for row in range(start * dim, stop * dim, dim):
        sums[SHIFT] = 0.0
        dot, _, max_g = loop(call, probs, grad, out, row, REDUCE)
        if needs_shift(max_g, dot):
            sums[SHIFT] = -max_g
            dot = loop(call, probs, grad, out, row, SHIFTED_DOT)[0]
        if overflows(probs, dot):
            scaled_row(probs, grad, out, row, dim, 1)
        else:
            sums[DOT] = dot
            loop(call, probs, grad, out, row, WRITE)
    return stop


@task()
def part_of_row(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute one of the loops REDUCE, SHIFTED_DOT and WRITE over the elements from `start` to `stop` of a row.

    Return `stop`. call[INNER] states which loop. call[SUMS] is the address of an array with the sums of the row.
    SHIFTED_DOT and WRITE read this array. REDUCE and SHIFTED_DOT store their results for these elements in it.
    """
    sums, number = vec.pointer_to(call[pool.SUMS], np.float64(0)), call[pool.INNER]
    results = RESULTS + pool.LINE * (start % call[pool.DIM] // call[pool.STEP])
    if number == REDUCE:  # write_and_reduce writes the elements from `start` to `start`: none
        _, p, g, dot = write_and_reduce(probs, grad, out, start, start, (0.0, 0.0), False, start, stop - start)
        sums[results], sums[results + 1], sums[results + 2] = dot, p, g
    elif number == SHIFTED_DOT:
        sums[results] = shifted_dot(probs, grad, start, stop - start, sums[SHIFT])
    else:
        write(probs, grad, out, start, stop, (sums[SHIFT], sums[DOT]), call[pool.NONTEMPORAL] != 0)
    return stop


@task()
def moved_part(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Write p g for the elements from `start` to `stop`, and return `stop`.

    The roofline is the time of this pass, which reads two arrays, writes one, and does little else.
    """
    write(probs, grad, out, start, stop, (-0.0, 0.0), call[pool.NONTEMPORAL] != 0)  # LLVM leaves out g + -0
    return stop
