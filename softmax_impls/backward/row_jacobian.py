"""J g, row by row: build the Jacobian J = diag(p) - p pᵀ of a row, and multiply."""

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="for each row, (diag(p) - p pᵀ) @ g",
    family="jacobian",
    temporaries=lambda batch, dim, itemsize: 3 * dim * dim * itemsize,
    in_place=("grad_output",),
    threaded=True,  # NumPy's BLAS library computes the matrix-vector products
)
def row_jacobian(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute (diag(p) - p pᵀ) g for each row. The Jacobian is symmetric, so it is not transposed."""
    for p, g, row in zip(probs, grad_output, out, strict=True):
        row[:] = (np.diag(p) - np.outer(p, p)) @ g
