"""Both passes where the classes are not on the last axis. Arrays are seen as (outer, D, inner).

A vector holds neighbouring columns, and each lane computes a column. In the backward pass, that is p (h - Σ p h), where
h = g - c and c is g at the column's largest p. A block is some neighbouring vectors of an outer index, with all their
classes. It is copied to a buffer that the cache holds, because its rows are far apart in memory and compete for a few
sets of the cache. Each step writes a block and reads the next block, row by row, so that it waits neither for loads nor
for stores::

    step                0          1          2          3
    exchange            read 0     read 1     read 2
                                   write 0    write 1    write 2
    reduce: backward    block 0    block 1    block 2                c, Σ p h
            forward     block 0    block 1    block 2                exp(x - max x), 1 / Σ exp(x - max x)

Where all rows allow it, vectors begin at a cache line. The first and the last vector of an outer index may overlap
their neighbours, which are in the same block. Small arrays need no buffer, see `direct`.
"""

from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.implementation import Array
from softmax_impls.simd import pool
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.column_sums import column_sums, ordinary_lanes, reduce_backward, reduce_forward
from softmax_impls.simd.jit import Task, inner, task
from softmax_impls.simd.passes import result_at
from softmax_impls.simd.sizes import (
    BLOCK_BYTES,
    CHUNKS_PER_THREAD,
    DIRECT_BYTES,
    MAX_BLOCK_VECTORS,
    MIN_CHUNK_BYTES,
    NONTEMPORAL_FROM,
    SHARED_FROM,
    VECTOR_BYTES,
)
from softmax_impls.simd.vectors import Pointer
from softmax_impls.threads import num_threads

Block = tuple[int, int, int]  # index of its first row, column of its first vector, number of vectors


def backward(probs: Array, grad: Array, out: Array, threads: int | None = None) -> None:
    """Compute the backward pass of C-contiguous (outer, D, inner) arrays; `inner` is at least the lanes of a vector."""
    outer, dim, columns = out.shape
    threads = _threads(3 * out.nbytes, threads)
    if dim * columns * out.itemsize <= DIRECT_BYTES:
        smallest = 1 + MIN_CHUNK_BYTES // (3 * dim * columns * out.itemsize)
        if pool.run(direct, probs, grad, out, outer, threads, smallest, dim, columns, in_place=False):
            return
    _run(backward_blocks, probs, grad, out, 3 * out.nbytes, threads)


def forward(x: Array, out: Array, threads: int | None = None) -> None:
    """Compute the forward pass of C-contiguous (outer, D, inner) arrays; `inner` is at least the lanes of a vector."""
    _run(forward_blocks, x, x, out, 2 * out.nbytes, _threads(2 * out.nbytes, threads))


def _threads(moved: int, threads: int | None) -> int:
    return 1 if DISABLE_JIT or moved < SHARED_FROM else threads or num_threads()


def _run(blocks_of: Task, probs: Array, grad: Array, out: Array, moved: int, threads: int) -> None:
    outer, dim, columns = out.shape
    blocks, largest = _split(dim, columns, VECTOR_BYTES // out.itemsize)
    blocks *= outer
    step = -(-blocks // (1 if threads == 1 else CHUNKS_PER_THREAD * threads))
    lines = largest * (2 * dim + 3)  # of a chunk's buffer
    memory = np.empty((lines * -(-blocks // step) + 1) * VECTOR_BYTES, np.uint8)
    address = memory.__array_interface__["data"][0]
    first = -address % VECTOR_BYTES
    buffer = memory[first : first - VECTOR_BYTES].view(out.dtype) if DISABLE_JIT else address + first
    pool.run(blocks_of, probs, grad, out, blocks, threads, step, dim, columns, moved > NONTEMPORAL_FROM, buffer)


def _split(dim: int, columns: int, width: int) -> tuple[int, int]:
    """Return the number of blocks of an outer index, and the largest number of vectors of a block."""
    most = max(3, min(MAX_BLOCK_VECTORS, BLOCK_BYTES // (2 * VECTOR_BYTES * dim)))  # 3: at least 2 in each block
    blocks = (columns // width + most - 1) // most
    return blocks, (columns // width + blocks - 1) // blocks + 1


split: Any = inner()(_split)


@task()
def direct(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the backward pass where the first-level cache holds an outer index; stop where a column overflows."""
    dim, columns, width = call[pool.DIM], call[pool.INNER], vec.lanes(probs)
    size = dim * columns
    for row in range(start * size, stop * size, size):
        ordinary = vec.broadcast(probs, 1)
        for column in range(0, columns, width):
            begin = row + min(column, columns - width)
            c, s = column_sums(probs, grad, begin, begin + size, columns)
            for k in range(begin, begin + size, columns):
                vec.store(out, k, result_at(probs, grad, k, c, s))
            ordinary = ordinary_lanes(probs, s, ordinary)
        if vec.reduce_add(ordinary) < width:
            return start
    return stop


@task()
def backward_blocks(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the backward pass of blocks."""
    return _blocks(call, probs, grad, out, start, stop, False)


@task()
def forward_blocks(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the forward pass of blocks."""
    return _blocks(call, probs, grad, out, start, stop, True)


@inner(forceinline=True)
def _blocks(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int, is_forward: bool) -> int:
    dim, columns, width = call[pool.DIM], call[pool.INNER], vec.lanes(probs)
    vectors, aligned = columns // width, columns % width == 0
    blocks, largest = split(dim, columns, width)
    number_of_buffer = start // call[pool.STEP]
    buffer = vec.pointer_to(call[pool.TABLE], vec.as_element(probs, 0))
    buffer = vec.advance(buffer, number_of_buffer * largest * (2 * dim + 3) * width)
    nontemporal = call[pool.NONTEMPORAL] != 0 and aligned
    first_column = vec.elements_to_line(out, 0) if aligned else 0
    old = new = (0, 0, 0)
    for number in range(start, stop + 1):
        old, new = new, (0, 0, 0)
        if number < stop:
            block = number % blocks
            begin, end = block * vectors // blocks, (block + 1) * vectors // blocks
            row, column, n = number // blocks * dim * columns, first_column + begin * width, end - begin
            if block == 0 and first_column > 0:
                column, n = column - width, n + 1
            if block == blocks - 1 and not aligned:
                n += 1
            new = (row, column, n)
        _exchange(probs, grad, out, buffer, dim, columns, old, new, nontemporal, is_forward)
        if is_forward:
            reduce_forward(buffer, dim, new[2])
        else:
            reduce_backward(buffer, dim, new[2])
    return stop


@inner(forceinline=True)
def _exchange(
    probs: Pointer, grad: Pointer, out: Pointer, buffer: Pointer, dim: int, columns: int, old: Block, new: Block,
    nontemporal: bool, is_forward: bool,
) -> None:  # fmt: skip
    """Write a block from the buffer, and read the next block into it."""
    width = vec.lanes(probs)
    step, last = (2 * dim + 3) * width, columns - width
    (old_row, old_column, old_n), (row, column, n) = old, new
    # The vectors from `begin` to `end` are in both blocks, and inside the array.
    begin = 1 if old_column < 0 or column < 0 else 0
    end = min(min(old_n, (columns - old_column) // width), min(n, (columns - column) // width))
    for d in range(dim):
        k, i, j = (2 * d + 2) * width, row + d * columns + column, old_row + d * columns + old_column
        for v in range(begin, end):
            _write(out, buffer, v * step, k, j + v * width, nontemporal, is_forward)
            _read(probs, grad, buffer, v * step + k, i + v * width, columns, is_forward)
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
                _read(probs, grad, buffer, v * step + k, i + d * columns, columns, is_forward)


@inner(forceinline=True)
def _write(out: Pointer, buffer: Pointer, base: int, k: int, i: int, nontemporal: bool, is_forward: bool) -> None:
    width = vec.lanes(out)
    result, s = vec.load(buffer, base + k), vec.load(buffer, base + width)
    result = result * s if is_forward else result * ((vec.load(buffer, base + k + width) - vec.load(buffer, base)) - s)
    if nontemporal:
        vec.store_nontemporal(out, i, result)
    else:
        vec.store(out, i, result)


@inner(forceinline=True)
def _read(probs: Pointer, grad: Pointer, buffer: Pointer, k: int, i: int, columns: int, is_forward: bool) -> None:
    vec.store(buffer, k, vec.load(probs, i))
    vec.prefetch(probs, i + columns)
    if not is_forward:
        vec.store(buffer, k + vec.lanes(probs), vec.load(grad, i))
        vec.prefetch(grad, i + columns)
