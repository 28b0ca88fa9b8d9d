"""The pivoted form in whole vectors: as exact as `numba_pivoted`, and made for speed at every size.

Short rows stay in registers; longer ones take three passes, of which only the first waits for memory. Results that
outgrow the last-level cache are stored past it, which spares reading what is about to be overwritten. Large calls are
shared among threads.

Below this file: `_rows`, how rows of each length are done; `_passes`, by which steps; `_vectors`, in which terms;
`pool`, by how many threads; `threads`, what is large.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.implementation import Array
from softmax_impls.registry import register
from softmax_impls.simd import pool
from softmax_impls.simd.jit import jit
from softmax_impls.simd.rows import rows
from softmax_impls.simd.sizes import DONE, LARGE, NONTEMPORAL_FROM, SHARED_FROM, UNFIT
from softmax_impls.simd.vectors import address, pointer


@jit(nogil=True)
def _fits(probs: Array, grad_output: Array, out: Array) -> bool:
    """Whether the three are of one shape, and `out` overlaps an input exactly or not at all."""
    if probs.shape != grad_output.shape or probs.shape != out.shape:
        return False
    here, size = address(pointer(out)), out.size * out.itemsize
    for there in (address(pointer(probs)), address(pointer(grad_output))):
        if there != here and there < here + size and here < there + size:
            return False
    return True


@jit(nogil=True)
def _alone(probs: Array, grad_output: Array, out: Array, streamed_from: int) -> None:
    """Do a call in one thread."""
    if probs.size:
        classes = probs.shape[-1]
        p, g, o = pointer(probs), pointer(grad_output), pointer(out)
        in_place = address(o) == address(p) or address(o) == address(g)
        start: Any = np.int64(0)  # typed, since for a literal Numba would compile `rows` once more
        streaming = 3 * probs.size * probs.itemsize > streamed_from
        rows(p, g, o, classes, start, probs.size // classes, streaming, in_place)


@jit()
def run_if_small(probs: Array, grad_output: Array, out: Array) -> int:
    """Do a call if it is a small one; returns `DONE`, or else why not, having done nothing: `LARGE` or `UNFIT`.

    The arrays are C-contiguous (..., D), of one dtype and one number of dimensions. Python's lock is kept: to give it
    up takes a tenth of the time of a small call. No cache is too small for these.
    """
    if not _fits(probs, grad_output, out):
        return UNFIT
    if 3 * probs.size * probs.itemsize >= SHARED_FROM:
        return LARGE
    _alone(probs, grad_output, out, 3 * SHARED_FROM)
    return DONE


def run_large(probs: Array, grad_output: Array, out: Array) -> None:
    """Do a call that may pay to be shared among threads."""
    threads = 1 if DISABLE_JIT else num_threads()
    if threads == 1 or not pool.run(probs, grad_output, out, threads):
        _alone(probs, grad_output, out, NONTEMPORAL_FROM)


@register(
    summary="the pivoted form in whole vectors and by several threads: exact where rows saturate, made for speed",
    family="numba",
    accurate_for="logits",
    temporaries=lambda batch, dim, itemsize: 0,
    in_place=("probs", "grad_output"),
    requires=("numba",),
    threaded=True,
)
def numba_simd(probs: Array, grad_output: Array, out: Array) -> None:
    """With h = g - g[argmax p]: p (h - p·h)."""
    if run_if_small(probs, grad_output, out) == LARGE:
        run_large(probs, grad_output, out)
