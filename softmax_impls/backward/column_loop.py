"""The answer this project began with: one pass over a (B, D) temporary per class."""

from softmax_impls.implementation import Array
from softmax_impls.registry import register


@register(
    summary="the original answer: for each class j, sum grad_output * d probs / d x_j",
    family="loop",
    temporaries=lambda batch, dim, itemsize: 3 * rows * classes * itemsize,  # the last class's d_probs still lives
)
def column_loop(probs: Array, grad_output: Array, out: Array) -> None:
    """d probs_i / d x_j = -p_i p_j, and p_j more where i = j; column j of the result sums it against the gradient."""
    for j in range(probs.shape[1]):
        d_probs = -(probs * probs[:, j : j + 1])
        d_probs[:, j] += probs[:, j]
        out[:, j] = (d_probs * grad_output).sum(axis=1)
