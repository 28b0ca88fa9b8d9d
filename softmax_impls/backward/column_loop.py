"""dx_j = Σ_i g_i ∂p_i/∂x_j, for each column j. This is the algorithm that the project began with."""

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="the original algorithm: for each column j, sum grad_output * d probs / d x_j",
    family="loop",
    temporaries=lambda batch, dim, itemsize: 3 * batch * dim * itemsize,  # one is d_probs of the previous column
)
def column_loop(probs: Array, grad_output: Array, out: Array) -> None:
    """Compute Σ_i g_i ∂p_i/∂x_j for each row, where ∂p_i/∂x_j = -p_i p_j, plus p_j where i = j."""
    for j in range(probs.shape[1]):
        d_probs = -(probs * probs[:, j : j + 1])
        d_probs[:, j] += probs[:, j]
        out[:, j] = (d_probs * grad_output).sum(axis=1)
