"""The textbook closed form as a compiled loop, one row at a time: read twice, the second time from cache."""

from softmax_impls.implementation import Array
from softmax_impls.registry import register
from softmax_impls.simd.jit import jit


@register(
    summary="the closed form, compiled by Numba, one row at a time",
    family="numba",
    temporaries=lambda batch, dim, itemsize: 0,
    in_place=("probs", "grad_output"),
    requires=("numba",),
)
@jit(fastmath={"reassoc", "contract"})  # lets the sum run in SIMD lanes, and keeps NaN and inf what they are
def numba_rows(probs: Array, grad_output: Array, out: Array) -> None:
    """p (g - p·g)."""
    rows, classes = probs.shape
    zero = probs.dtype.type(0)
    for i in range(rows):
        total = zero
        for j in range(classes):
            total += probs[i, j] * grad_output[i, j]
        for j in range(classes):
            out[i, j] = probs[i, j] * (grad_output[i, j] - total)
