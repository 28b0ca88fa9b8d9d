"""p (g - Σ p g): the product of the Jacobian diag(p) - p pᵀ with g, multiplied out."""

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="p * (g - sum(g * p)), in NumPy",
    family="closed form",
    temporaries=lambda batch, dim, itemsize: 2 * batch * dim * itemsize,
    in_place=("probs", "grad_output"),
)
def closed_form(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute p (g - Σ p g) for each row."""
    out[...] = probs * (grad_output - np.sum(grad_output * probs, axis=-1, keepdims=True))
