"""Numeric gradients of a loss through softmax, and how far a right backward pass may be from them.

The loss is L(x) = Σ g · softmax(x), whose gradient is the backward pass of g. Central differences with step h are off
by h²/6 max|L'''|. With x_j alone moving, p = p_j has p''' = p (1 - p) (1 - 6 p (1 - p)), at most 1/8 in size, and the
other probabilities share 1 - p in fixed proportion, so that |L'''| ≤ max|g| / 4: the truncation error is at most
h² max|g| / 24. To that comes the rounding of two losses, divided by 2 h. The complex step subtracts nothing: rounding
only, not divided.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls.checks import bounds, inputs
from softmax_impls.checks.inputs import Case
from softmax_impls.checks.numeric import COMPLEX_STEP, numeric_gradient

FAMILIES = ("uniform, as in the source", "standard normal")
METHODS = (("central", 1e-3), ("central", 1e-5), ("complex", COMPLEX_STEP))

Floats = NDArray[np.float64]


@functools.cache
def gradients(seed: int = 0) -> list[tuple[Case, str, Floats, Floats]]:
    """Return case, method in words, gradient and bound, (B, D), for each family and method, in float64."""
    found = []
    for case in inputs.cases("float64", seed):
        if case.family in FAMILIES:
            for method, step in METHODS:
                gradient = _gradient(case, method, step)
                found.append((case, f"{method} differences, step {step:g}", gradient, _bound(case, method, step)))
    return found


def _gradient(case: Case, method: str, step: float) -> Floats:
    def loss(x: NDArray[Any]) -> Any:
        powers = np.exp(x - x.real.max(axis=-1, keepdims=True))
        return np.sum(case.grad_output * powers / powers.sum(axis=-1, keepdims=True))

    return numeric_gradient(loss, case.logits, method=method, step=step)


def _bound(case: Case, method: str, step: float) -> Floats:
    probs, g = case.probs.astype(np.float64), np.abs(case.grad_output.astype(np.float64))
    largest = g.max(axis=-1, keepdims=True)
    # The forward pass, the products and the sum over all of them; the logits are of a few units' size.
    rounding = bounds.gamma(probs.size + probs.shape[1] + 40, probs.dtype)
    if method == "complex":
        return np.asarray(2 * rounding * probs * largest)
    loss = float(np.sum(probs * g))
    return np.asarray(np.broadcast_to(step**2 / 24 * largest + rounding * loss / step, probs.shape))
