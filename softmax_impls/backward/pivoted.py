"""p (h - Σ p h), where h = g - c and c is g at the row's largest p: accurate with respect to the logits.

The gradient of softmax does not change when a constant is added to a row of g. In the closed form, g - Σ p g cancels
where a p is near 1, and rounding errors remain. With c = g[argmax p], the largest p contributes exactly 0 to the sum,
and all other terms are small, because their p are small. Terms cancel only where they also cancel in the true gradient.
"""

import math

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="the closed form with g shifted by its value at the row's largest p: accurate on saturated rows",
    family="closed form",
    accurate_for="logits",
    temporaries=lambda batch, dim, itemsize: batch * (16 + 2 * itemsize),  # row numbers, argmax, g at it, sums
    in_place=("grad_output",),
    threaded=True,  # NumPy's BLAS library computes the dot products of long rows
)
def pivoted(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute p (h - Σ p h) for each row, where h = g - g[argmax p]."""
    top = grad_output[np.arange(len(probs)), np.argmax(probs, axis=-1)]
    if not math.isfinite(top @ top):  # with such large g, h might overflow
        return _scaled(probs, grad_output, out)
    np.subtract(grad_output, top[:, np.newaxis], out=out)
    dots = np.vecdot(probs, out)
    if not math.isfinite(dots @ dots):  # h - Σ p h might overflow. h has the same gradient as g.
        return _scaled(probs, out, out)
    np.subtract(out, dots[:, np.newaxis], out=out)
    np.multiply(out, probs, out=out)
    return None


def _scaled(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute the same as `pivoted`, with g / 4 in rows where a difference of two g may overflow."""
    largest = np.maximum(grad_output.max(axis=-1, keepdims=True), -grad_output.min(axis=-1, keepdims=True))
    scale = np.where(largest < np.finfo(out.dtype).max / 4, 1, 0.25).astype(out.dtype)
    g = scale * grad_output
    h = g - np.take_along_axis(g, np.argmax(probs, axis=-1, keepdims=True), axis=-1)
    np.divide(probs * (h - np.vecdot(probs, h)[:, np.newaxis]), scale, out=out)
