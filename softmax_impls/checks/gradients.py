"""Numeric gradients of a loss through softmax, and bounds on their distance from a right backward pass.

The loss is L(x) = Σ g · softmax(x). Its gradient with respect to x is the backward pass of g.

The error of central differences with step h is at most h²/6 max|L'''|. If x_j alone changes, p = p_j has the third
derivative p (1 - p) (1 - 6 p (1 - p)), at most 1/8 in size, and the other probabilities share 1 - p in fixed
proportion. So |L'''| ≤ max|g| / 4, and the truncation error is at most h² max|g| / 24. The rounding errors of two
losses, divided by 2 h, are added. The complex step subtracts nothing. It has rounding errors only, and they are not
divided by h.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmax_impls.checks import bounds
from softmax_impls.checks.bounds import Floats
from softmax_impls.checks.inputs import Case
from softmax_impls.checks.numeric import STEPS, numeric_gradient

FAMILIES = ("uniform logits", "standard normal")
METHODS = (("central", 1e-3), ("central", 1e-5), ("complex", STEPS["complex"]))


class NumericGradient(NamedTuple):
    """A numeric gradient and the bound on its distance from a right backward pass, (B, D) each."""

    method: str
    gradient: Floats
    bound: Floats


@functools.cache
def gradients(case: Case) -> tuple[NumericGradient, ...]:
    """Return the gradients of a case by every method; none unless the case is float64 and of one of `FAMILIES`."""
    if case.family not in FAMILIES or case.probs.dtype != np.float64:
        return ()

    def loss(x: NDArray[Any]) -> Any:
        powers = np.exp(x - x.real.max(axis=-1, keepdims=True))
        return np.sum(case.grad_output * powers / powers.sum(axis=-1, keepdims=True))

    def numeric(method: str, step: float) -> NumericGradient:
        gradient = numeric_gradient(loss, case.logits, method=method, step=step)
        return NumericGradient(f"{method} differences, step {step:g}", gradient, _bound(case, method, step))

    return tuple(numeric(method, step) for method, step in METHODS)


def _bound(case: Case, method: str, step: float) -> Floats:
    probs, g = case.probs, np.abs(case.grad_output)
    largest = g.max(axis=-1, keepdims=True)
    # The forward pass, the products, and the sum over all elements. The logits of `FAMILIES` are at most a few units.
    rounding = bounds.gamma(probs.size + probs.shape[1] + 40, probs.dtype)
    if method == "complex":
        return np.asarray(2 * rounding * probs * largest)
    loss = float(np.sum(probs * g))
    return np.asarray(np.broadcast_to(step**2 / 24 * largest + rounding * loss / step, probs.shape))
