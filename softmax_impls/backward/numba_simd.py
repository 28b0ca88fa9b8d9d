"""p (h - Σ p h) with h = g - g[argmax p], in SIMD vectors and by several threads: accurate, and fast at every size.

Short rows stay in registers. Long rows take two or three passes; only the first waits for memory. Large results are
written by non-temporal stores, which do not read the memory that they overwrite. `softmax_impls.simd` has the parts.
"""

from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.blocks import run_rows
from softmax_impls.implementation import Array
from softmax_impls.registry import register
from softmax_impls.simd import columns, parts, pool, rows
from softmax_impls.simd.jit import WORD, call_task, jit, task
from softmax_impls.simd.sizes import (
    CHUNKS_PER_THREAD,
    DONE,
    LARGE,
    MIN_CHUNK_BYTES,
    MIN_CHUNK_ROWS,
    NONTEMPORAL_FROM,
    SHARED_FROM,
    UNFIT,
    VECTOR_BYTES,
)
from softmax_impls.simd.vectors import Pointer, address, lanes, pointer, pointer_to, stack_words
from softmax_impls.threads import MAX_THREADS, num_threads


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
    if run_if_small(probs, grad_output, out, TABLE) == LARGE:
        run_large(probs, grad_output, out)


@jit(nogil=True, forceinline=True)
def _are_apart_or_same(probs: Array, grad_output: Array, out: Array) -> bool:
    """Whether the three shapes are equal, and `out` overlaps an input exactly or not at all."""
    if probs.shape != grad_output.shape or probs.shape != out.shape:
        return False
    begin, size = address(pointer(out)), out.size * out.itemsize
    for other in (address(pointer(probs)), address(pointer(grad_output))):
        if other != begin and other < begin + size and begin < other + size:
            return False
    return True


@jit(_nrt=False)
def fits(probs: Array, grad_output: Array, out: Array) -> bool:
    """Whether the arrays have one shape (B, D), are not empty, and `out` overlaps no input: what a kernel relies on."""
    if probs.ndim != 2 or probs.size == 0 or not _are_apart_or_same(probs, grad_output, out):
        return False
    o = address(pointer(out))
    return o != address(pointer(probs)) and o != address(pointer(grad_output))


# The addresses of the tasks, for float32 and for float64. A task is compiled when a call first needs it; until then its
# address is 0.
_TASKS = (*rows.TASKS, parts.part_of_row, parts.rows_in_parts)
_PART, _PARTS = len(rows.TASKS), len(rows.TASKS) + 1
_addresses: Any = np.zeros(2 * len(_TASKS), np.int64)
if DISABLE_JIT:
    _addresses = [task.function for task in _TASKS for _ in range(2)]
TABLE = _addresses if DISABLE_JIT else _addresses.ctypes.data
_kind_of: Any = getattr(rows.kind_of, "py_func", rows.kind_of)
_place: Any = getattr(rows.place, "py_func", rows.place)


@jit(_nrt=False)  # without nogil: to release Python's global lock takes a tenth of the time of a small call
def run_if_small(probs: Array, grad_output: Array, out: Array, table: Any) -> int:
    """Compute a call on C-contiguous (..., D) arrays of one dtype if it is small, and return DONE.

    Otherwise return LARGE if the call is for `run_large`, UNFIT if the shapes differ or `out` partly overlaps an input.
    """
    if not _are_apart_or_same(probs, grad_output, out):
        return UNFIT
    if 3 * probs.size * probs.itemsize >= SHARED_FROM:
        return LARGE
    if probs.size == 0:
        return DONE
    p, g, o, dim = pointer(probs), pointer(grad_output), pointer(out), probs.shape[-1]
    call, in_place = stack_words(pool.CALL_WORDS), address(o) == address(p) or address(o) == address(g)
    call[pool.DIM], call[pool.IN_PLACE], call[pool.NONTEMPORAL], call[pool.CAREFUL] = dim, in_place, 0, 0
    call[pool.TABLE] = table
    kind = rows.CAREFUL if in_place else rows.kind_of(dim, lanes(p), False)
    chosen, batch = pointer_to(table, np.int64(0))[rows.place(kind, lanes(p))], probs.size // dim
    if chosen == 0:  # not compiled yet
        return LARGE
    return DONE if call_task(chosen, call, p, g, o, 0, batch) == batch else LARGE


@jit(nogil=True, _nrt=False)
def _run(
    probs: Array, grad_output: Array, out: Array, plan: Any, table: Any, leader: Any, memory: Any, threads: int,
    nontemporal_from: int, careful: int,
) -> bool:  # fmt: skip
    """Compute a call of any size. Return False if a task is not compiled, or if rows may overflow and not `careful`."""
    p, g, o, dim = pointer(probs), pointer(grad_output), pointer(out), probs.shape[-1]
    call, batch = stack_words(pool.CALL_WORDS), probs.size // dim
    call[pool.IN_PLACE] = careful or address(o) == address(p) or address(o) == address(g)
    call[pool.DIM], call[pool.INNER], call[pool.CAREFUL], call[pool.THREADS] = dim, lanes(p), 0, threads
    call[pool.NONTEMPORAL] = 3 * probs.size * probs.itemsize > nontemporal_from
    call[pool.TABLE], call[pool.LEAD], call[pool.POOL] = table, leader, memory
    return call_task(plan, call, p, g, o, 0, batch) == batch  # type: ignore[no-any-return]


@task()
def _plan(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Choose the task of a call and the length of its chunks. INNER is the number of elements of a vector."""
    dim, threads, width, batch = call[pool.DIM], call[pool.THREADS], call[pool.INNER], stop
    table, row_bytes = pointer_to(call[pool.TABLE], np.int64(0)), 3 * VECTOR_BYTES // width * dim
    if threads > 1 and batch < 2 * threads and row_bytes >= 2 * MIN_CHUNK_BYTES:
        call[pool.TASK], chosen = table[rows.place(_PART, width)], table[rows.place(_PARTS, width)]
        return start if chosen == 0 else call_task(chosen, call, probs, grad, out, start, stop)
    kind = rows.kind_of(dim, width, call[pool.NONTEMPORAL] != 0)
    chosen = table[rows.place(rows.CAREFUL if call[pool.IN_PLACE] else kind, width)]
    if chosen == 0:
        return start
    if threads > 1:
        smallest = max(MIN_CHUNK_BYTES // row_bytes, min(MIN_CHUNK_ROWS, batch // threads))
        call[pool.STEP] = max(1, smallest, batch // min(CHUNKS_PER_THREAD * threads, MAX_THREADS))
        call[pool.TASK], chosen = chosen, call[pool.LEAD]
    return call_task(chosen, call, probs, grad, out, start, stop)  # type: ignore[no-any-return]


def run_large(probs: Array, grad_output: Array, out: Array, threads: int | None = None) -> None:
    """Compute a call that `run_if_small` left: the arrays are large, or a task has to be compiled first."""
    moved = 3 * probs.nbytes
    if moved < SHARED_FROM:
        _compile_kind(probs, careful=out is probs or out is grad_output)
        if run_if_small(probs, grad_output, out, TABLE) == DONE:
            return
        threads = 1
    threads, leader, memory = pool.prepare(1 if DISABLE_JIT else threads or num_threads())
    plan, careful = _plan.address(WORD), 0
    while not _run(probs, grad_output, out, plan, TABLE, leader, memory, threads, NONTEMPORAL_FROM, careful):
        batch = probs.size // probs.shape[-1]
        if threads > 1 and batch < 2 * threads and _compile(probs.dtype, _PART, _PARTS):
            continue
        if not _compile_kind(probs):  # it was compiled, so rows may overflow
            careful = 1
            _compile_kind(probs, careful=True)


def _compile_kind(probs: Array, careful: bool = False) -> bool:
    """Compile the tasks for rows of this length; return whether there was one that was not compiled yet."""
    kind = _kind_of(probs.shape[-1], VECTOR_BYTES // probs.itemsize, 3 * probs.nbytes > NONTEMPORAL_FROM)
    return _compile(probs.dtype, kind, *((rows.LONG, rows.CAREFUL) if careful else ()))


def _compile(dtype: np.dtype[Any], *tasks: int) -> bool:
    """Compile tasks; return whether there was one that was not compiled yet."""
    places = {_place(number, VECTOR_BYTES // dtype.itemsize): number for number in tasks}
    missing = [place for place in places if _addresses[place] == 0]
    for place in missing:
        _addresses[place] = _TASKS[places[place]].address(dtype)
    return bool(missing)


def run_columns(probs: Array, grad_output: Array, out: Array, threads: int | None = None) -> None:
    """Compute a call on C-contiguous (outer, D, inner) arrays of one dtype. `out` may be an input."""

    def run(probs: Array, grad_output: Array, out: Array) -> None:
        if run_if_small(probs, grad_output, out, TABLE) == LARGE:
            run_large(probs, grad_output, out, threads)

    if probs.shape[2] >= VECTOR_BYTES // probs.itemsize:
        columns.backward(probs, grad_output, out, threads)
    else:  # vectors of columns would be nearly empty
        run_rows(run, probs, grad_output, out)
