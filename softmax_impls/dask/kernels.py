"""Compiled passes over a chunk that has a part of each row: sums, and results.

The passes compute with h = factor·g - shift, in float64. `factor` and `shift` have a number for each row, (B,). Inputs
are read-only, because Numba would compile each function again for writeable arrays.
"""

import numpy as np
from numpy.typing import NDArray

from softmax_impls.implementation import Array
from softmax_impls.simd.jit import inner, jit

Floats = NDArray[np.float64]

TERMS = 512  # terms of a partial sum; the rounding errors of adding partial sums are kept


@jit(nogil=True)
def dots(probs: Array, grad_output: Array, factor: Floats, shift: Floats) -> Floats:
    """Return Σ p h of each row; 0 where the factor is 0."""
    batch, dim = probs.shape
    sums = np.zeros(batch)
    for i in range(batch):
        total = lost = 0.0
        for start in range(0, dim if factor[i] != 0 else 0, TERMS):
            before, term = total, _part(probs, grad_output, i, start, min(start + TERMS, dim), factor[i], shift[i])
            total += term
            lost += (before - (total - (total - before))) + (term - (total - before))  # Knuth's TwoSum
        sums[i] = total + lost
    return sums


@inner(fastmath={"reassoc", "contract"})  # allows SIMD
def _part(probs: Array, grad_output: Array, i: int, start: int, stop: int, factor: float, shift: float) -> float:
    total = 0.0
    for j in range(start, stop):
        total += np.float64(probs[i, j]) * (factor * np.float64(grad_output[i, j]) - shift)
    return total


@jit(nogil=True)
def write(probs: Array, grad_output: Array, factor: Floats, shift: Floats, dot: Floats, out: Array) -> None:
    """Write p (h - Σ p h) / factor."""
    batch, dim = probs.shape
    for i in range(batch):
        f, inverse, c, s = factor[i], 1 / factor[i], shift[i], dot[i]
        for j in range(dim):
            h = f * np.float64(grad_output[i, j]) - c
            out[i, j] = inverse * (np.float64(probs[i, j]) * (h - s))
