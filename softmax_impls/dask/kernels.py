"""Compiled passes over a chunk that has a part of each row: sums, and results.

The passes compute with h = factor·g - shift, in float64. `factor` and `shift` have a number for each row, (B,). Inputs
are read-only, because Numba would compile each function again for writeable arrays.
"""

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from softmax_impls.implementation import Array
from softmax_impls.simd.jit import jit
from softmax_impls.simd.vectors import two_sum

Floats = NDArray[np.float64]

register_jitable(two_sum)
LANES = 16  # independent partial sums of a row: they let the compiler use SIMD


@jit(nogil=True)
def dots(probs: Array, grad_output: Array, factor: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """Return Σ p h of each row, where h = factor·g - shift, and the part of each sum that rounding lost.

    Both are 0 for the rows whose factor is 0.
    """
    batch, dim = probs.shape
    sums, rests = np.zeros(batch), np.zeros(batch)
    totals, lost = np.empty(LANES), np.empty(LANES)
    whole = dim - dim % LANES
    for i in range(batch):
        f, c = factor[i], shift[i]
        if f == 0:
            continue
        totals[:] = lost[:] = 0.0
        for start in range(0, whole, LANES):
            for k in range(LANES):  # a constant count: with a variable, LLVM's code takes three times as long
                totals[k], lost[k] = two_sum(totals[k], lost[k], _term(probs, grad_output, i, start + k, f, c))
        for k in range(dim - whole):
            totals[k], lost[k] = two_sum(totals[k], lost[k], _term(probs, grad_output, i, whole + k, f, c))
        for k in range(1, LANES):
            totals[0], lost[0] = two_sum(totals[0], lost[0] + lost[k], totals[k])
        sums[i] = totals[0] + lost[0]
        rests[i] = lost[0] - (sums[i] - totals[0])
    return sums, rests


@register_jitable
def _term(probs: Array, grad_output: Array, i: int, j: int, factor: float, shift: float) -> float:
    return float(np.float64(probs[i, j]) * (factor * np.float64(grad_output[i, j]) - shift))


@jit(nogil=True)
def write(probs: Array, grad_output: Array, factor: Floats, shift: Floats, dot: Floats, out: Array) -> None:
    """Write p (h - Σ p h) / factor to `out`, where h = factor·g - shift, and `dot` has Σ p h of each whole row."""
    batch, dim = probs.shape
    for i in range(batch):
        f, inverse, c, s = factor[i], 1 / factor[i], shift[i], dot[i]
        for j in range(dim):
            h = f * np.float64(grad_output[i, j]) - c
            out[i, j] = inverse * (np.float64(probs[i, j]) * (h - s))
