"""p (h - Σ p h) with h = g - g[argmax p] in compiled loops: accurate on saturated rows, and without temporaries.

`pivoted` explains the shift. Shifting by Σ p g would save the search for the largest p. But where g hardly varies among
the large p, the rounding error of Σ p g is larger than the differences of g. (With two equal logits and g = 0.1 at
both, the result is wrong by percents.)
"""

from typing import Any

import numpy as np
from numba.extending import overload, register_jitable

from softmax_impls.implementation import Array
from softmax_impls.registry import register
from softmax_impls.simd.jit import jit
from softmax_impls.simd.passes import LIMIT_32, LIMIT_64, scaled_row
from softmax_impls.simd.vectors import two_sum

for _function in (two_sum, scaled_row):  # they use no other function of `simd`
    register_jitable(_function)


@register(
    summary="the pivoted form, compiled by Numba, one row at a time: accurate on saturated rows",
    family="numba",
    accurate_for="logits",
    temporaries=lambda batch, dim, itemsize: 0,
    in_place=("probs", "grad_output"),
    requires=("numba",),
)
@jit()
def numba_pivoted(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute p (h - Σ p h) for each row, where h = g - g[argmax p]."""
    in_place = out.ctypes.data in (probs.ctypes.data, grad_output.ctypes.data)
    careful = in_place and not _are_small(grad_output)  # in place, a first attempt would lose the inputs
    if careful or not (np.isfinite(_compute(probs, grad_output, out, False)) or in_place):
        _compute(probs, grad_output, out, True)


@jit(fastmath={"reassoc", "contract"})
def _are_small(grad_output: Array) -> bool:
    """Whether all g are so small that nothing overflows in `_compute`.

    That is: no h = g - g_top, no h - Σ p h, and not the sum of (Σ p h)² over all rows.
    """
    g, total = grad_output.reshape(-1), grad_output.dtype.type(0)
    for k in range(grad_output.size):
        total += g[k] * g[k]
    return bool(np.isfinite(16 * total))  # |Σ p h| is at most twice the largest |g| of its row


@jit()  # without "reassoc", which could turn (g - shift) - dot into g - (shift + dot), which cancels
def _compute(probs: Array, grad_output: Array, out: Array, careful: bool) -> np.floating:
    """Compute all rows. Return a number that is not finite if h = g - g_top overflowed in a row: the sum of (Σ p h)².

    If `careful`, `scaled_row` computes the rows in which such a difference may overflow. A careful call takes 1.1 times
    as long.
    """
    batch, dim = probs.shape
    bits, total = _bits(probs), probs.dtype.type(0)
    limit = LIMIT_64 if probs.itemsize == 8 else LIMIT_32
    for i in range(batch):
        shift = grad_output[i, _argmax(bits, i)]
        dot = probs.dtype.type(_shifted_dot(probs, grad_output, i, shift))
        total += dot * dot
        if careful and not abs(dot) < limit:
            scaled_row(probs.reshape(-1), grad_output.reshape(-1), out.reshape(-1), i * dim, dim, 1)
        else:
            for j in range(dim):
                out[i, j] = probs[i, j] * ((grad_output[i, j] - shift) - dot)
    return total


@jit(fastmath={"reassoc", "contract"})
def _shifted_dot(probs: Array, grad_output: Array, i: int, shift: np.floating) -> np.float64:
    # It takes whole arrays and the number of a row: for a slice, each call would count references, atomically.
    dot = np.float64(0)
    for j in range(probs.shape[1]):
        dot += np.float64(probs[i, j]) * np.float64(grad_output[i, j] - shift)
    return dot


@jit()
def _argmax(bits: Any, i: int) -> int:
    """Return the index of the largest p of row i, the first if several are equal; `bits` has the bits of p as integers.

    If a p of the row is NaN, any index may be returned.
    """
    largest = bits[i, 0]
    for j in range(bits.shape[1]):
        largest = max(largest, bits[i, j])
    for j in range(bits.shape[1]):
        if bits[i, j] == largest:
            return j
    return 0


def _bits(probs: Array) -> Any:
    """Return a view of the probabilities as integers, which have the same order, because p ≥ 0."""
    # A maximum of floats must respect NaN, so Numba computes it without SIMD, in 2 to 3 times the time from D = 64 on.
    return probs.view(np.int32 if probs.itemsize == 4 else np.int64)


@overload(_bits)
def _compiled_bits(probs):  # type: ignore[no-untyped-def]  # Numba compares the signatures, annotations included
    integer = np.int32 if probs.dtype.bitwidth == 32 else np.int64
    return lambda probs: probs.view(integer)
