"""Every row's Jacobian at once, contracted by einsum: short, general, and O(B·D²) in memory."""

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="the (B, D, D) Jacobian, contracted by einsum",
    family="jacobian",
    temporaries=lambda batch, dim, itemsize: rows * classes * (classes + 1) * itemsize,
)
def einsum_jacobian(probs: Array, grad_output: Array, out: Array) -> None:
    """J_bij = δ_ij p_bi - p_bi p_bj, with its diagonal filled in through einsum's writable view of it."""
    jacobian = np.einsum("bi,bj->bij", probs, -probs)
    np.einsum("bii->bi", jacobian)[...] += probs
    np.einsum("bij,bj->bi", jacobian, grad_output, out=out)
