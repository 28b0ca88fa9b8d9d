"""p (h - Σ p h) with h = g - g[argmax p], in SIMD vectors and by several threads: accurate, and fast at every size.

Short rows stay in registers. Long rows take two or three passes; only the first waits for memory. Large results are
written by non-temporal stores, which do not read the memory that they overwrite. `softmax_impls.simd` has the parts.
"""

import functools
from typing import Any

from softmax_impls.blocks import run_rows
from softmax_impls.implementation import Array
from softmax_impls.registry import register
from softmax_impls.simd import arrays, columns, parts, pool, rows
from softmax_impls.simd.arrays import Entry
from softmax_impls.simd.sizes import DONE, VECTOR_BYTES
from softmax_impls.simd.tasks import Tasks
from softmax_impls.simd.vectors import address


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
    """Compute p (h - Σ p h) for each row, where h = g - g[argmax p]."""
    _run(probs, grad_output, out)


@Entry
def fits(probs: Any, grad_output: Any, out: Any) -> int:
    """Return 1 if a kernel can take these arrays (plain, (B, D), not empty, `out` overlaps no input), else 0."""
    if arrays.dimensions(probs) != 2 or arrays.common_size(probs, grad_output, out) <= 0:
        return 0
    o = address(arrays.data(out))
    return o != address(arrays.data(probs)) and o != address(arrays.data(grad_output))


TASKS = Tasks(*rows.TASKS, parts.rows_in_parts, parts.part_of_row)
run_large = TASKS.run


def _run(probs: Array, grad_output: Array, out: Array, threads: int | None = None) -> None:
    if pool.enter.compiled(probs, grad_output, out, TASKS.small) != DONE:
        run_large(probs, grad_output, out, threads)


def run_columns(probs: Array, grad_output: Array, out: Array, threads: int | None = None) -> None:
    """Compute a call on C-contiguous (outer, D, inner) arrays of one dtype. `out` may be an input."""
    if probs.shape[2] >= VECTOR_BYTES // probs.itemsize:
        columns.backward(probs, grad_output, out, threads)
    else:  # vectors of columns would be nearly empty
        run_rows(functools.partial(_run, threads=threads), probs, grad_output, out)
