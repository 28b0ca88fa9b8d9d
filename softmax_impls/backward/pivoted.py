"""The closed form after each row of g is shifted by its value at the most probable class: right about the logits.

Softmax's gradient does not change when a constant c is added to a row of g. In the textbook form, g - Σ p g cancels
when one p is near 1, and the rounded p do not sum to 1: what is left is rounding error. With c = g[argmax p] the
dominating class contributes exactly 0 to the sum, every term that is left is small because its own p is small, and
nothing cancels but what cancels in the true gradient.
"""

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="the closed form with g shifted by its value at the row's top class: exact where rows saturate",
    family="closed form",
    accurate_for="logits",
    # argmax and its gathered values, then the row sums; intp is 8 bytes wherever this is large
    temporaries=lambda batch, dim, itemsize: rows * (16 + 2 * itemsize),
    in_place=("grad_output",),
    threaded=True,  # long rows' dot product is the BLAS library's
)
def pivoted(probs: Array, grad_output: Array, out: Array) -> None:
    """With h = g - g[argmax p]: p (h - p·h)."""
    top = np.argmax(probs, axis=-1, keepdims=True)
    np.subtract(grad_output, np.take_along_axis(grad_output, top, axis=-1), out=out)
    np.subtract(out, np.vecdot(probs, out)[:, np.newaxis], out=out)
    np.multiply(out, probs, out=out)
