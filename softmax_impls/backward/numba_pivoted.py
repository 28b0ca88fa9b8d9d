"""The pivoted closed form as compiled loops: the textbook kernel's one weakness removed, in one more pass from cache.

See `pivoted` for why a shift of g helps. Which constant is subtracted need not be exact, so it is found without an
argmax, in a pass that vectorises: g at the class with p > ½ where there is one; the mean Σ p g where there is none,
since then no class dominates and nothing is near cancelling. What must be exact is the sum that follows, which is
carried in float64 for both dtypes.
"""

import numpy as np

from softmax_impls.backward._jit import jit
from softmax_impls.contract import Array, register

# Helpers take the array and the row's number: a row's slice would be reference-counted, atomically, in every call.


@jit(fastmath={"reassoc", "contract"})
def _shift(probs: Array, grad_output: Array, i: int) -> np.floating:
    """g at the class of row i with p > ½, else the row's Σ p g."""
    zero, one, half = probs.dtype.type(0), probs.dtype.type(1), probs.dtype.type(0.5)
    mean, at_top, found = zero, zero, zero
    for j in range(probs.shape[1]):
        mean += probs[i, j] * grad_output[i, j]
        top = probs[i, j] > half
        at_top += grad_output[i, j] if top else zero
        found += one if top else zero
    return at_top if found > zero else mean


@jit(fastmath={"reassoc", "contract"})
def _shifted_dot(probs: Array, grad_output: Array, i: int, shift: np.floating) -> np.float64:
    """Row i's Σ p (g - shift)."""
    total = np.float64(0)
    for j in range(probs.shape[1]):
        total += np.float64(probs[i, j]) * np.float64(grad_output[i, j] - shift)
    return total


@register(
    summary="the pivoted form, compiled by Numba: exact where rows saturate, one row at a time",
    family="numba",
    accurate_for="logits",
    temporaries=lambda rows, classes, itemsize: 0,
    in_place=("probs", "grad_output"),
    requires=("numba",),
)
@jit()  # without reassoc: (g - shift) - total must not be regrouped into g - (shift + total), which cancels
def numba_pivoted(probs: Array, grad_output: Array, out: Array) -> None:
    """With h = g - shift: p (h - p·h)."""
    rows, classes = probs.shape
    for i in range(rows):
        shift = _shift(probs, grad_output, i)
        total = probs.dtype.type(_shifted_dot(probs, grad_output, i, shift))
        for j in range(classes):
            out[i, j] = probs[i, j] * ((grad_output[i, j] - shift) - total)
