"""p (h - Σ p h) with h = g - g[argmax p], in SIMD vectors and by several threads: accurate, and fast at every size.

Short rows stay in registers. Long rows take two or three passes; only the first waits for memory. Large results are
written by non-temporal stores, which do not read the memory that they overwrite. `softmax_impls.simd` has the parts.
"""

from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.implementation import Array
from softmax_impls.registry import register
from softmax_impls.simd import pool
from softmax_impls.simd.jit import jit
from softmax_impls.simd.rows import compute_rows
from softmax_impls.simd.sizes import DONE, LARGE, NONTEMPORAL_FROM, SHARED_FROM, UNFIT
from softmax_impls.simd.vectors import address, pointer
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
    if run_if_small(probs, grad_output, out) == LARGE:
        run_large(probs, grad_output, out)


@jit(nogil=True)
def _are_apart_or_same(probs: Array, grad_output: Array, out: Array) -> bool:
    """Whether the three shapes are equal, and `out` overlaps an input exactly or not at all."""
    if probs.shape != grad_output.shape or probs.shape != out.shape:
        return False
    begin, size = address(pointer(out)), out.size * out.itemsize
    for other in (address(pointer(probs)), address(pointer(grad_output))):
        if other != begin and other < begin + size and begin < other + size:
            return False
    return True


@jit()
def fits(probs: Array, grad_output: Array, out: Array) -> bool:
    """Whether the arrays have one shape (B, D), are not empty, and `out` overlaps no input: what a kernel relies on."""
    if probs.ndim != 2 or probs.size == 0 or not _are_apart_or_same(probs, grad_output, out):
        return False
    o = address(pointer(out))
    return o != address(pointer(probs)) and o != address(pointer(grad_output))


@jit(nogil=True)
def _run_in_this_thread(probs: Array, grad_output: Array, out: Array, nontemporal_from: int) -> None:
    """Compute a call; with non-temporal stores, if it moves more than `nontemporal_from` bytes."""
    if probs.size:
        p, g, o, dim = pointer(probs), pointer(grad_output), pointer(out), probs.shape[-1]
        in_place = address(o) == address(p) or address(o) == address(g)
        start: Any = np.int64(0)  # typed: for a literal 0, Numba would compile `compute_rows` once more
        nontemporal = 3 * probs.size * probs.itemsize > nontemporal_from
        compute_rows(p, g, o, dim, start, probs.size // dim, nontemporal, in_place)


@jit()  # without nogil: to release Python's global lock takes a tenth of the time of a small call
def run_if_small(probs: Array, grad_output: Array, out: Array) -> int:
    """Compute a call on C-contiguous (..., D) arrays of one dtype if it is small, and return DONE.

    Otherwise return LARGE if the call is for `run_large`, UNFIT if the shapes differ or `out` partly overlaps an input.
    """
    if not _are_apart_or_same(probs, grad_output, out):
        return UNFIT
    if 3 * probs.size * probs.itemsize >= SHARED_FROM:
        return LARGE
    _run_in_this_thread(probs, grad_output, out, 3 * SHARED_FROM)  # a small call never uses non-temporal stores
    return DONE


def run_large(probs: Array, grad_output: Array, out: Array, threads: int | None = None) -> None:
    """Compute a call for which `run_if_small` returned LARGE; with several threads if the thread pool is free."""
    threads = 1 if DISABLE_JIT else threads or num_threads()
    if threads == 1 or not pool.run(probs, grad_output, out, threads):
        _run_in_this_thread(probs, grad_output, out, NONTEMPORAL_FROM)
