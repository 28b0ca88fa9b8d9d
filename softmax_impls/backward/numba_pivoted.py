"""The pivoted closed form as compiled loops: exact where rows saturate, and no temporary at all.

See `pivoted` for why g is shifted by its value at the row's most probable class. It has to be that very value: the mean
Σ p g, which a loop could have without looking for a maximum, is itself rounded, and where g hardly varies over the
heavy classes that rounding is larger than what is left of g (two equal logits, g = 0.1 at both: off by percents).

Probabilities are never negative, so their bits compare as integers do, and a maximum over integers vectorises without
touching NaN's rules: with a comparison of floats this kernel took 2 to 3 times as long, from 64 classes on.
"""

from typing import Any

import numpy as np
from numba.extending import overload

from softmax_impls.implementation import Array
from softmax_impls.registry import register
from softmax_impls.simd.jit import jit

# Helpers take the array and the row's number: a row's slice would be reference-counted, atomically, in every call.


def _bits(probs: Array) -> Any:
    """Return the same memory as integers."""
    return probs.view(np.int32 if probs.itemsize == 4 else np.int64)


@overload(_bits)
def _compiled_bits(probs):  # type: ignore[no-untyped-def]  # Numba compares the two signatures, annotations included
    integer = np.int32 if probs.dtype.bitwidth == 32 else np.int64
    return lambda probs: probs.view(integer)


@jit()
def _top(bits: Any, i: int) -> int:
    """Return the first of row i's most probable classes; a class of NaN, if there is one."""
    largest = bits[i, 0]
    for j in range(bits.shape[1]):
        largest = max(largest, bits[i, j])
    for j in range(bits.shape[1]):
        if bits[i, j] == largest:
            return j
    return 0


@jit(fastmath={"reassoc", "contract"})
def _shifted_dot(probs: Array, grad_output: Array, i: int, shift: np.floating) -> np.float64:
    """Return row i's Σ p (g - shift), carried in float64 for both dtypes."""
    total = np.float64(0)
    for j in range(probs.shape[1]):
        total += np.float64(probs[i, j]) * np.float64(grad_output[i, j] - shift)
    return total


@register(
    summary="the pivoted form, compiled by Numba: exact where rows saturate, one row at a time",
    family="numba",
    accurate_for="logits",
    temporaries=lambda batch, dim, itemsize: 0,
    in_place=("probs", "grad_output"),
    requires=("numba",),
)
@jit()  # without reassoc: (g - shift) - total must not be regrouped into g - (shift + total), which cancels
def numba_pivoted(probs: Array, grad_output: Array, out: Array) -> None:
    """With h = g - g[argmax p]: p (h - p·h)."""
    rows, classes = probs.shape
    bits = _bits(probs)
    for i in range(rows):
        shift = grad_output[i, _top(bits, i)]
        total = probs.dtype.type(_shifted_dot(probs, grad_output, i, shift))
        for j in range(classes):
            out[i, j] = probs[i, j] * ((grad_output[i, j] - shift) - total)
