"""J g, with the Jacobians J of all rows in a (B, D, D) array: short, but it takes O(B·D²) memory."""

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="the (B, D, D) Jacobian, contracted by einsum",
    family="jacobian",
    temporaries=lambda batch, dim, itemsize: batch * dim * (dim + 1) * itemsize,
)
def einsum_jacobian(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute Σ_j J_ij g_j for each row, where J_ij = δ_ij p_i - p_i p_j."""
    jacobian = np.einsum("bi,bj->bij", probs, -probs)
    np.einsum("bii->bi", jacobian)[...] += probs  # a writable view of the diagonals
    np.einsum("bij,bj->bi", jacobian, grad_output, out=out)
