"""The closed form, as one would type it."""

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="p * (g - sum(g * p)), as one would type it",
    family="closed form",
    temporaries=lambda batch, dim, itemsize: 2 * rows * classes * itemsize,
    in_place=("probs", "grad_output"),
)
def closed_form(probs: Array, grad_output: Array, out: Array) -> None:
    """(diag(p) - p pᵀ) g, multiplied out: p g - p (p·g)."""
    out[...] = probs * (grad_output - np.sum(grad_output * probs, axis=-1, keepdims=True))
