"""The forward and the backward pass of arrays (outer, D, inner): the classes are on the axis in the middle.

A vector holds neighbouring columns, and each lane computes a column. The backward pass computes p (h - Σ p h), where
h = g - c and c is g at the column's largest p. An outer index i stands for its elements ``array[i]``, (D, inner). A
block consists of some neighbouring vectors of one outer index, with all classes. Each block is copied to a buffer that
fits the cache, because the rows of a block are far apart in memory and compete for a few sets of the cache. Each step
writes a block and reads the next block, row by row, so that the processor waits neither for loads nor for stores::

    step                0          1          2          3
    read                block 0    block 1    block 2
    write                          block 0    block 1    block 2
    reduce: backward    block 0    block 1    block 2                c, Σ p h
            forward     block 0    block 1    block 2                exp(x - max x), 1 / Σ exp(x - max x)

If `inner` is a multiple of the number of lanes, the vectors of the result begin at cache lines. The first and the last
vector of an outer index may overlap their neighbours, which are in the same block. Small arrays need no buffer, see
`direct`. Large calls use non-temporal stores of 16 bytes if all rows begin at multiples of 16 bytes: 64×100×5000
float32 took 0.76 of the time with plain stores (Zen 1).
"""

import functools
import math
from typing import Any

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.simd import pool, sizes
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.column_sums import column_sums, reduce_backward, reduce_forward
from softmax_impls.simd.jit import DISABLE_JIT, Task, apart, task
from softmax_impls.simd.passes import result_at
from softmax_impls.simd.vectors import Pointer
from softmax_impls.threads import MAX_THREADS

Block = tuple[int, int, int]  # index of its first row's first element, column of its first vector, number of vectors


def backward(probs: Array, grad: Array, out: Array, threads: int | None = None) -> None:
    """Compute the backward pass of C-contiguous (outer, D, inner) arrays. `inner` is at least the lanes of a vector."""
    if not direct_call(probs, grad, out, 1, threads):
        _run(backward_blocks, probs, grad, out, 3 * out.nbytes, threads)


def direct_call(probs: Array, grad: Array, out: Array, axis: int, threads: int | None = None) -> bool:
    """Compute the backward pass of arrays by `direct` if possible; return whether it was possible.

    `axis` is the axis of the classes. The call is possible if the arrays fit (see `arrays.common_size`), the
    first-level cache holds the elements of an outer index, the elements after the axis are at least a vector, `out`
    overlaps no input, and nothing overflows. `grad` and `out` need not be arrays: this is checked, too. If the call
    moves more than `sizes.NONTEMPORAL_COLUMNS` bytes, return False, because `backward_blocks` then takes 0.8 of the
    time of `direct` (Zen 3, 1600×10×100).
    """
    moved, ndim = 3 * probs.nbytes, probs.ndim
    if moved > sizes.NONTEMPORAL_COLUMNS or not (probs.dtype.char in "fd" and -ndim <= axis < ndim):
        return False
    if not (probs.flags.c_contiguous and type(grad) is np.ndarray and grad.dtype == probs.dtype):
        return False  # nothing is compiled, and no thread is woken, for a call that `enter` would refuse
    _, words = _direct_words(probs.shape, axis, probs.itemsize, pool.team_for(moved, threads))
    return bool(words and pool.enter.compiled(probs, grad, out, words) == sizes.DONE)


@functools.lru_cache(1024)
def _direct_words(shape: tuple[int, ...], axis: int, itemsize: int, team: pool.Team) -> tuple[Any, Any]:
    """Return the words of a call that `direct` computes, see `pool.words_of`.

    Return (0, 0) if `backward_blocks` is faster, or if the elements of an index on the axis of the classes are less
    than a vector.
    """
    axis, bytes_of = axis % len(shape), math.prod(shape[axis:]) * itemsize  # bytes of an outer index
    outer, dim, columns = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis:][1:])
    if columns * itemsize < sizes.VECTOR_BYTES or not 0 < bytes_of <= sizes.DIRECT_BYTES:
        return 0, 0
    task, smallest = direct.address(np.dtype(f"f{itemsize}")), 1 + sizes.MIN_CHUNK_BYTES // (3 * bytes_of)
    items = {pool.TASK: task, pool.ITEMS: outer, pool.SMALLEST: smallest}
    return pool.words_of(team, items | {pool.DIM: dim, pool.INNER: columns, pool.SEPARATE: 1})


def forward(x: Array, out: Array, threads: int | None = None) -> None:
    """Compute the forward pass of C-contiguous (outer, D, inner) arrays. `inner` is at least the lanes of a vector."""
    _run(forward_blocks, x, x, out, 2 * out.nbytes, threads)


def _run(blocks_of: Task, probs: Array, grad: Array, out: Array, moved: int, threads: int | None) -> None:
    (outer, dim, columns), team = out.shape, pool.team_for(3 * out.nbytes, threads)  # forward as many as backward
    blocks, largest = split(dim, columns, sizes.VECTOR_BYTES // out.itemsize)
    blocks *= outer
    step = -(-blocks // (1 if team[0] == 1 else min(sizes.CHUNKS_PER_THREAD * team[0], MAX_THREADS)))
    lines = largest * (2 * dim + 3)  # cache lines of a chunk's buffer
    memory = np.empty((lines * -(-blocks // step) + 1) * sizes.VECTOR_BYTES, np.uint8)
    address = memory.__array_interface__["data"][0]
    first = -address % sizes.VECTOR_BYTES
    buffer = memory[first : first - sizes.VECTOR_BYTES].view(out.dtype) if DISABLE_JIT else address + first
    words = {pool.ITEMS: blocks, pool.SMALLEST: step, pool.DIM: dim, pool.INNER: columns, pool.TABLE: buffer}
    pool.run(blocks_of, probs, grad, out, team, words | {pool.NONTEMPORAL: moved > sizes.NONTEMPORAL_COLUMNS})


@apart
def split(dim: int, columns: int, width: int) -> tuple[int, int]:
    """Return the number of blocks that an outer index is cut into, and the largest number of vectors of a block.

    An outer index has (dim, columns) elements. A vector holds `width` neighbouring columns of a row.
    """
    vector = 2 * sizes.VECTOR_BYTES * dim  # bytes of p and g in a vector of columns
    most = max(sizes.BLOCK_BYTES // vector, min(sizes.MIN_BLOCK_VECTORS, sizes.LARGE_BLOCK_BYTES // vector))
    most = max(3, min(sizes.MAX_BLOCK_VECTORS, most))  # 3: several blocks have 2 or more each
    blocks = (columns // width + most - 1) // most
    return blocks, columns // width // blocks + 1


@task()
def direct(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the backward pass of the outer indices from `start` to `stop`, without a buffer.

    Return `stop`, or `start` if a result may overflow; then `backward_blocks` has to compute the call.
    """
    dim, columns, width = call[pool.DIM], call[pool.INNER], vec.lanes(probs)
    size, rest = dim * columns, columns % width
    # Where this takes few more vectors or none, vectors of p begin at cache lines or at halves of lines. So do vectors
    # of g and the result if the arrays have equal offsets from a line, as large arrays of NumPy have. On Zen 3,
    # 64×10×100 float64 took 0.85 to 0.92 of the time, 64×8×256 took 0.6; 200×5×40 would take 1.1 of the time.
    unit = (rest or width) if rest == width // 2 or (rest == 0 and columns > 8 * width) else 1
    for row in range(start * size, stop * size, size):
        squares, begin, last = vec.broadcast(probs, 0), row, row + columns - width
        following = row + width - ((width - vec.elements_to_line(probs, row)) & (unit - 1))
        while following < last + 2 * width:
            c, s = column_sums(probs, grad, begin, begin + size, columns)
            shift, k = vec.broadcast(probs, 0) - c, begin
            while k < begin + size:
                vec.store(out, k, result_at(probs, grad, k, shift, s))
                k += columns
            squares = squares + s * s
            begin, following = min(following, last), following + width
        if not np.isfinite(vec.reduce_add(squares)):
            return start
    return stop


@task()
def backward_blocks(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the backward pass of the blocks with the numbers `start` to `stop` - 1, and return `stop`.

    It is a task for `pool.run`. `call` points to the numbers that describe the call, such as ``call[pool.DIM]``. The
    module's docstring says what a block is. The numbers of the blocks go on from each outer index to the next.
    """
    block = (0, 0, 0)
    for number in range(start, stop + 1):
        buffer, block = _exchange(call, probs, grad, out, block, number, start, stop, False)
        reduce_backward(buffer, call[pool.DIM], block[2])
    return stop


@task()
def forward_blocks(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the softmax of the blocks with the numbers `start` to `stop` - 1, and return `stop`.

    It is a task like `backward_blocks`, but `probs` points to the logits, and `grad` is not used.
    """
    block = (0, 0, 0)
    for number in range(start, stop + 1):
        buffer, block = _exchange(call, probs, grad, out, block, number, start, stop, True)
        reduce_forward(buffer, call[pool.DIM], block[2])
    return stop


def _exchange(
    call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, old: Block, number: int, start: int, stop: int,
    is_forward: bool,
) -> tuple[Pointer, Block]:  # fmt: skip
    """Write block `old` from the buffer, read block `number` into the buffer; return the buffer and the new block."""
    dim, columns, width = call[pool.DIM], call[pool.INNER], vec.lanes(probs)
    step, last, aligned = (2 * dim + 3) * width, columns - width, columns % width == 0
    part = width // 4  # elements of a non-temporal store
    nontemporal = call[pool.NONTEMPORAL] != 0 and columns % part == 0 and vec.elements_to_line(out, 0) % part == 0
    blocks, largest = split(dim, columns, width)
    buffer = vec.pointer_to(call[pool.TABLE], vec.as_element(probs, 0))
    buffer = vec.advance(buffer, start // call[pool.SMALLEST] * largest * step)
    origin = -((width - vec.elements_to_line(out, 0)) % width) if aligned else 0  # column of the first vector
    vectors, block = (columns - origin + width - 1) // width, number % blocks
    first, row = block * vectors // blocks, number // blocks * dim * columns
    column, n = origin + first * width, (block + 1) * vectors // blocks - first if number < stop else 0
    old_row, old_column, old_n = old
    # The vectors from `begin` to `end` are in both blocks, and inside the array. While a row is read, the next row is
    # prefetched. On Zen 3, 8×21×65536 took 0.9 to 0.95 of the time without prefetching, and 1000×4096 took 0.75 to 0.8.
    begin = 1 if old_column < 0 or column < 0 else 0
    end = min(min(old_n, (columns - old_column) // width), min(n, (columns - column) // width))
    for d in range(dim):
        k, i, j = (2 * d + 2) * width, row + d * columns + column, old_row + d * columns + old_column
        for v in range(begin, end):
            _write(out, buffer, v * step, k, j + v * width, nontemporal, is_forward)
            _read(probs, grad, buffer, v * step + k, i + v * width, is_forward)
            vec.prefetch(probs, i + columns + v * width)  # the next row
            vec.prefetch(grad, i + columns + v * width)
    for v in range(max(old_n, n)):
        if begin <= v < end:
            continue
        at = old_column + v * width
        i, j = row + min(max(column + v * width, 0), last), old_row + min(max(at, 0), last)
        for d in range(dim):
            k = (2 * d + 2) * width
            if v < old_n:
                _write(out, buffer, v * step, k, j + d * columns, nontemporal and 0 <= at <= last, is_forward)
            if v < n:
                _read(probs, grad, buffer, v * step + k, i + d * columns, is_forward)
    return buffer, (row, column, n)


def _write(out: Pointer, buffer: Pointer, base: int, k: int, i: int, nontemporal: bool, is_forward: bool) -> None:
    width = vec.lanes(out)
    result, s = vec.load(buffer, base + k), vec.load(buffer, base + width)
    result = result * s if is_forward else result * ((vec.load(buffer, base + k + width) - vec.load(buffer, base)) - s)
    if nontemporal:
        vec.store_nontemporal_parts(out, i, result)
    else:
        vec.store(out, i, result)


def _read(probs: Pointer, grad: Pointer, buffer: Pointer, k: int, i: int, is_forward: bool) -> None:
    vec.store(buffer, k, vec.load(probs, i))
    if not is_forward:
        vec.store(buffer, k + vec.lanes(probs), vec.load(grad, i))
