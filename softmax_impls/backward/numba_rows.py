"""p (g - Σ p g) in compiled loops. A row is read twice, the second time from the cache."""

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
@jit(fastmath={"reassoc", "contract"})  # allows SIMD for the sum; NaN and inf stay as they are
def numba_rows(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute p (g - Σ p g) for each row."""
    batch, dim = probs.shape
    for i in range(batch):
        dot = probs.dtype.type(0)
        for j in range(dim):
            dot += probs[i, j] * grad_output[i, j]
        for j in range(dim):
            out[i, j] = probs[i, j] * (grad_output[i, j] - dot)
