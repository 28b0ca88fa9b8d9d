"""The layer of the program this project began with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from softmax_impls import api
from softmax_impls.contract import Array, Impl


class Softmax:
    """A softmax layer: forward, and backward whatever the loss.

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
        """Return the probabilities of logits `x`, (..., D), each row of which sums to 1."""
        return api.softmax(x)

    def backward(self, x: ArrayLike, probs: ArrayLike, bp_err: ArrayLike) -> Array:
        """Return dL/dx, (..., D).

        Parameters
        ----------
        x : array_like
            The logits; only their shape is looked at.
        probs : array_like
            What `forward` returned for them.
        bp_err : array_like
            dL/dprobs, the error propagated back to this layer.

        Raises
        ------
        TypeError, ValueError
            As `softmax_backward`, and if the shape of `x` is not that of `probs`.
        """
        if np.shape(x) != np.shape(probs):
            raise ValueError(f"x and probs must have the same shape, got x {np.shape(x)} and probs {np.shape(probs)}")
        return api.softmax_backward(probs, bp_err, impl=self.impl)
