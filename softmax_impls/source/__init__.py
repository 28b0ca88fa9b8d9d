"""The program that this project began with: a softmax layer, two losses, and a gradient check.

``python -m softmax_impls.source`` runs the program. It compares the backward pass with numeric gradients for each loss.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_impls import api
from softmax_impls.checks.numeric import numeric_gradient
from softmax_impls.implementation import Array, Impl
from softmax_impls.layout import as_array, as_real_array

SOURCE_STEP = 1e-3  # the step of the original program's central differences


class Softmax:
    """A softmax layer with a forward pass, and a backward pass for any loss.

    Parameters
    ----------
    impl : str, callable or Implementation, optional
        The implementation of the backward pass, as in `softmax_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_impls import Softmax
    >>> layer = Softmax()
    >>> x = np.array([[1.0, 2.0], [0.0, 0.0]])
    >>> probs = layer.forward(x)
    >>> layer.backward(x, probs, bp_err=np.array([[1.0, 0.0], [1.0, 0.0]])).round(3)
    array([[ 0.197, -0.197],
           [ 0.25 , -0.25 ]])
    """

    def __init__(self, impl: Impl = "auto") -> None:
        self.impl = impl

    def __repr__(self) -> str:
        return f"Softmax(impl={self.impl!r})"

    def forward(self, x: ArrayLike) -> Array:
        """Return the probabilities of logits `x`, (..., D). Each row sums to 1."""
        return api.softmax(x)

    def backward(self, x: ArrayLike, probs: ArrayLike, bp_err: ArrayLike) -> Array:
        """Return dL/dx, (..., D).

        Parameters
        ----------
        x : array_like
            The logits. Only their shape is used.
        probs : array_like
            The result of `forward` for these logits.
        bp_err : array_like
            dL/dprobs, (..., D).

        Raises
        ------
        TypeError, ValueError
            As in `softmax_backward`. ValueError also if `x` and `probs` differ in shape.
        """
        if np.shape(x) != np.shape(probs):
            raise ValueError(f"x and probs must have the same shape, got x {np.shape(x)} and probs {np.shape(probs)}")
        return api.softmax_backward(probs, bp_err, impl=self.impl)


def loss_fn(probs: ArrayLike, ys: ArrayLike, loss_type: str) -> tuple[np.floating[Any], Array]:
    """Compute a loss, and its gradient with respect to the probabilities.

    Parameters
    ----------
    probs : array_like
        (B, D) with B ≥ 1.
    ys : array_like of int
        (B,), the label of each row, 0 to D - 1.
    loss_type : {"mse", "xent"}
        "mse": ``sum((p_y - 1)²) / B``. "xent": ``-sum(log p_y) / B``. p_y is the probability of the label.

    Returns
    -------
    loss : float
    grad : ndarray
        dL/dprobs, (B, D). It is ``2 (p_y - 1) / B`` or ``-1 / (p_y B)`` at the labels and 0 elsewhere.

    Raises
    ------
    TypeError
        If `probs` is not real, or `ys` does not hold integers.
    ValueError
        If a shape is wrong, a label is out of range, or the loss is unknown.

    Examples
    --------
    >>> from softmax_impls.source import loss_fn
    >>> loss, grad = loss_fn([[0.25, 0.75]], [1], "mse")
    >>> float(loss), grad
    (0.0625, array([[ 0. , -0.5]]))
    """
    given = as_real_array("probs", probs)
    p = given.astype(np.result_type(given, np.float32), copy=False)  # float16 cannot hold a large number of rows
    if p.ndim != 2 or not p.shape[0]:
        raise ValueError(f"probs must be (B, D) with at least one row, got shape {p.shape}")
    labels = _labels(ys, *p.shape)
    at_label = (np.arange(len(p)), labels)
    p_y = p[at_label]
    if loss_type == "mse":
        loss, slope = np.sum((p_y - 1) ** 2) / len(p), 2 * (p_y - 1) / len(p)
    elif loss_type == "xent":
        loss, slope = -np.sum(np.log(p_y)) / len(p), -1 / (p_y * len(p))
    else:
        raise ValueError(f"loss_type must be 'mse' or 'xent', got {loss_type!r}")
    grad = np.zeros_like(given)
    grad[at_label] = slope
    return loss, grad


def _labels(ys: ArrayLike, batch: int, dim: int) -> NDArray[np.integer[Any]]:
    """Return the labels as an array, after checking them."""
    labels = as_array("ys", ys)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"ys must hold integers, got dtype {labels.dtype}")
    if labels.shape != (batch,):
        raise ValueError(f"ys must have shape ({batch},), one label for each row of probs, got {labels.shape}")
    wrong = labels[(labels < 0) | (labels >= dim)]
    if wrong.size:
        raise ValueError(f"ys must lie in 0 to {dim - 1}, got {wrong[0]}")
    return labels


def gradient_check(x: ArrayLike, ys: ArrayLike, loss_type: str, impl: Impl = "auto") -> float:
    """Return the difference between the backward pass and numeric gradients: sum((backward - numeric)²) / B.

    The numeric gradients are central differences in float64, with the step of the original program, 1e-3.

    Parameters
    ----------
    x : array_like
        Logits, (B, D).
    ys, loss_type, impl
        As in `loss_fn` and `softmax_backward`.
    """
    layer = Softmax(impl)
    logits = np.array(as_real_array("x", x), dtype=np.float64)
    probs = layer.forward(logits)
    _, bp_err = loss_fn(probs, ys, loss_type)
    grads = layer.backward(logits, probs, bp_err)
    numeric = numeric_gradient(lambda at: loss_fn(layer.forward(at), ys, loss_type)[0], logits, step=SOURCE_STEP)
    return float(np.sum((grads - numeric) ** 2) / len(logits))
