"""p (h - Σ p h) with h = g - g[argmax p], in SIMD vectors and by several threads: accurate, and fast at every size.

Short rows stay in registers. Long rows take two or three passes; only the first waits for memory. Large results are
written by non-temporal stores, which do not read the memory that they overwrite. `softmax_impls.simd` has the parts.
"""

import functools
import math
from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.blocks import run_rows
from softmax_impls.implementation import Array
from softmax_impls.registry import register
from softmax_impls.simd import arrays, columns, parts, pool, rows
from softmax_impls.simd.arrays import reference
from softmax_impls.simd.jit import entry
from softmax_impls.simd.sizes import (
    DONE,
    LARGE,
    MIN_CHUNK_BYTES,
    MIN_CHUNK_ROWS,
    NONTEMPORAL_FROM,
    NONTEMPORAL_SHARED,
    SHARED_FROM,
    VECTOR_BYTES,
)
from softmax_impls.simd.tasks import Tasks
from softmax_impls.simd.vectors import address
from softmax_impls.threads import num_threads


@register(
    summary="the pivoted form in SIMD vectors, by several threads: accurate on saturated rows, fast at every size",
    family="numba",
    accurate_for="logits",
    temporaries=lambda batch, dim, itemsize: 0,
    in_place=("probs", "grad_output"),
    requires=("numba",),
    threaded=True,
)
def numba_simd(probs: Array, grad_output: Array, out: Array) -> None:
    """p (h - Σ p h), with h = g - g[argmax p]."""
    if _run_small(probs, grad_output, out) == LARGE:
        run_large(probs, grad_output, out)


@entry()
def fits(probs: Any, grad_output: Any, out: Any) -> int:
    """Whether the arrays have one shape (B, D), are not empty, and `out` overlaps no input: what a kernel relies on."""
    if arrays.dimensions(probs) != 2 or arrays.common_size(probs, grad_output, out) <= 0:
        return 0
    o = address(arrays.data(out))
    return o != address(arrays.data(probs)) and o != address(arrays.data(grad_output))


ALONE = 1, 0, 0  # the team of a call in one thread, see `pool.prepare`
TASKS = Tasks(*rows.TASKS)


def _run_small(probs: Array, grad_output: Array, out: Array) -> Any:
    return pool.enter.compiled(reference(probs), reference(grad_output), reference(out), TASKS.small)


@functools.lru_cache(1024)
def _words(
    shape: tuple[int, ...], itemsize: int, team: tuple[int, Any, int], nontemporal_from: int, careful: bool
) -> tuple[Any, Any]:
    """Return the words of a large call, see `pool.words_of`."""
    dim, threads, dtype = shape[-1], team[0], np.dtype(f"f{itemsize}")
    batch, row_bytes = math.prod(shape[:-1]), 3 * itemsize * dim
    nontemporal = batch * row_bytes > nontemporal_from * (NONTEMPORAL_SHARED if threads > 1 else 1)
    if threads > 1 and batch < 2 * threads and row_bytes >= 2 * MIN_CHUNK_BYTES:
        part, first = parts.part_of_row, parts.rows_in_parts
        return pool.words_of(part, dtype, batch, team, 1, dim, nontemporal=nontemporal, first=first)
    kind = rows.kind_of(dim, VECTOR_BYTES // itemsize, nontemporal)
    TASKS.compile(itemsize, kind, *((rows.LONG, rows.CAREFUL) if careful else ()))
    task, smallest = rows.TASKS[rows.CAREFUL if careful else kind], min(MIN_CHUNK_ROWS, batch // threads)
    smallest = max(MIN_CHUNK_BYTES // row_bytes, smallest)
    return pool.words_of(
        task, dtype, batch, team, smallest, dim, 0, nontemporal, TASKS.table, in_place=careful, careful=careful
    )


def run_large(probs: Array, grad_output: Array, out: Array, threads: int | None = None) -> None:
    """Compute a call that a small call left: the arrays are large, or a task has to be compiled first."""
    # The arrays have pushed Python's own data out of the caches, so each operation counts: calls of 0.4 to 0.8 MB take
    # 0.92 to 0.95 of the time if a single thread neither wakes helpers nor runs a loop.
    if DISABLE_JIT or 3 * probs.nbytes < SHARED_FROM:
        threads = 1
    elif threads is None:
        threads = num_threads()
    team = pool.prepare(threads) if threads > 1 else ALONE
    careful, enter = out is probs or out is grad_output, pool.enter.compiled
    words = _words(probs.shape, probs.itemsize, team, NONTEMPORAL_FROM, careful)
    if enter(reference(probs), reference(grad_output), reference(out), words[1]) != DONE and not careful:
        words = _words(probs.shape, probs.itemsize, team, NONTEMPORAL_FROM, True)
        enter(reference(probs), reference(grad_output), reference(out), words[1])


def run_columns(probs: Array, grad_output: Array, out: Array, threads: int | None = None) -> None:
    """Compute a call on C-contiguous (outer, D, inner) arrays of one dtype. `out` may be an input."""

    def run(probs: Array, grad_output: Array, out: Array) -> None:
        if _run_small(probs, grad_output, out) == LARGE:
            run_large(probs, grad_output, out, threads)

    if probs.shape[2] >= VECTOR_BYTES // probs.itemsize:
        columns.backward(probs, grad_output, out, threads)
    else:  # vectors of columns would be nearly empty
        run_rows(run, probs, grad_output, out)
