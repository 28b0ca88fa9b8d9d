"""p (h - Σ p h), where h = g - c and c is g at the row's largest p: accurate with respect to the logits.

The gradient of softmax does not change when a constant is added to a row of g. In the closed form, g - Σ p g cancels
where a p is near 1, and rounding errors remain. With c = g[argmax p], the largest p contributes exactly 0 to the sum,
and all other terms are small, because their p are small. Only what cancels in the true gradient still cancels.
"""

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="the closed form with g shifted by its value at the row's largest p: accurate on saturated rows",
    family="closed form",
    accurate_for="logits",
    temporaries=lambda batch, dim, itemsize: batch * (16 + 2 * itemsize),  # argmax and a copy, g there, the sums
    in_place=("grad_output",),
    threaded=True,  # NumPy's BLAS library computes the dot products of long rows
)
def pivoted(probs: Array, grad_output: Array, out: Array) -> None:
    """p (h - Σ p h), with h = g - g[argmax p]."""
    top = np.argmax(probs, axis=-1, keepdims=True)
    np.subtract(grad_output, np.take_along_axis(grad_output, top, axis=-1), out=out)
    np.subtract(out, np.vecdot(probs, out)[:, np.newaxis], out=out)
    np.multiply(out, probs, out=out)
