"""p (g - Σ p g) without a (B, D) temporary: the result is computed in `out`, step by step."""

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="the closed form by np.vecdot, computed in `out` without a (B, D) temporary",
    family="closed form",
    temporaries=lambda batch, dim, itemsize: batch * itemsize,
    in_place=("grad_output",),
    threaded=True,  # NumPy's BLAS library computes the dot products of long rows
)
def closed_form_vecdot(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute p (g - Σ p g) for each row."""
    dot = np.vecdot(grad_output, probs)
    np.subtract(grad_output, dot[:, np.newaxis], out=out)
    np.multiply(out, probs, out=out)
