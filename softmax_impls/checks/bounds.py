"""How far a right implementation may be off: from rounding analysis, nothing tuned.

Notation: u the unit of rounding, γ_n = n u / (1 - n u) the bound on n roundings in a row (N. J. Higham, "Accuracy and
Stability of Numerical Algorithms", 2002, §3.1), σ = Σ p of a row, M its max|g|, D its length.

**Given the probabilities.** Each form computes p_i (h_i - Σ p h) with h = g - c for a c within the range of g (the
textbook form and the Jacobian have c = 0), so |h| ≤ 2 M. The dot product of D terms is off by γ_{D+1} Σ p|h|, however
it is summed; what is left are 5 roundings at the most. Hence an error of at most p_i · 2 (1 + σ) M γ_{D+6}. A shift
by c is allowed since softmax's gradient does not change with it, but rounded probabilities do not sum to 1, so that it
moves the value by p_i c (1 - σ): p_i M |1 - σ| more.

**Given the logits**, with correctly rounded probabilities, h = g - g_k at the row's most probable class k and
E = Σ P|h| for the exact probabilities P: a form whose shift is g_k is off by at most γ_{D+6} P_i (|h_i| + E), by the
same steps. It knows no M: an offset in g, however large, is no excuse. The bound is 4 γ_{D+6} P_i (|h_i| + E): the
factor is for ties that rounding the probabilities makes or breaks, so that another class may be k.

**The forward pass**: rounding x - max(x) moves p_i by u |x_i - max(x)|, relatively, and through the sum by the mean
of that over the row; exp is good to 4 units in the last place, 8 u, in the numerator and in the sum; D additions and a
division are left: γ_{D+18}.

**Underflow** adds at most half the smallest subnormal number η to each product: D products in a sum times
p_i ≤ 1, or D entries of a Jacobian times |h| ≤ 2 M, and the last product itself. For implementations that flush
subnormal numbers to zero, inputs included, η/2 is the smallest normal number.

**When no shift is needed.** For c = 0 the sum is off by γ_{D+2} Σ P|g| ≤ γ_{D+2} (E + |g_k|), which includes that
the p do not sum to 1, and so the result by γ_{D+6} P_i (|h_i| + 2 E + |g_k|). Where |g_k| ≤ K |Σ P g - g_k|, which is
at most K E, that is within the bound above for K ≤ 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls.implementation import Array

Floats = NDArray[np.float64]


def unit(dtype: np.dtype[Any]) -> float:
    """Return u, half the distance from 1 to the next number."""
    return float(np.finfo(dtype).eps) / 2


def gamma(n: int, dtype: np.dtype[Any]) -> float:
    """Return γ_n."""
    nu = n * unit(dtype)
    return nu / (1 - nu) if nu < 1 else np.inf


def value_scale(classes: int, dtype: np.dtype[Any], largest: Floats, total: Floats, defect: Floats) -> Floats:
    """Return, for each row, what to multiply p_i with for the bound given the probabilities.

    Parameters
    ----------
    classes : int
        D.
    dtype : dtype
        Of the computation.
    largest, total, defect : ndarray
        M, σ and 1 - σ of each row, (B,); 1 - σ on its own because it would cancel here.
    """
    return largest * (2 * (1 + total) * gamma(classes + 6, dtype) + np.abs(defect))


def underflow(classes: int, dtype: np.dtype[Any], largest: Floats, flush_to_zero: bool = False) -> Floats:
    """Return, for each row, (B,), what underflow may add to the error of any element."""
    limits = np.finfo(dtype)
    smallest = limits.smallest_normal if flush_to_zero else limits.smallest_subnormal
    return float(smallest) * (classes + 1) * (1 + 2 * largest)


def given_probs(probs: Array, largest: Floats, total: Floats, defect: Floats, flush_to_zero: bool = False) -> Floats:
    """Return the bound on the error given the probabilities, (B, D)."""
    classes = probs.shape[1]
    scale = value_scale(classes, probs.dtype, largest, total, defect)
    floor = underflow(classes, probs.dtype, largest, flush_to_zero)
    return np.asarray(probs * scale[:, np.newaxis] + floor[:, np.newaxis])


def given_logits(exact_probs: Floats, grad_output: Array) -> Floats:
    """Return the bound on the error given the logits, (B, D); the kernel got the exact probabilities, rounded once."""
    classes, dtype = grad_output.shape[1], grad_output.dtype
    g = grad_output.astype(np.float64)
    top = np.argmax(exact_probs, axis=-1, keepdims=True)
    shifted = np.abs(g - np.take_along_axis(g, top, axis=-1))
    spread = np.vecdot(exact_probs, shifted)[:, np.newaxis]
    floor = underflow(classes, dtype, shifted.max(axis=-1))[:, np.newaxis]
    return np.asarray(4 * gamma(classes + 6, dtype) * exact_probs * (shifted + spread) + floor)


def forward(logits: Array, exact_probs: Floats) -> Floats:
    """Return the bound on the error of softmax itself, (B, D)."""
    dtype = logits.dtype
    x = logits.astype(np.float64)
    depth = np.where(exact_probs > 0, x.max(axis=-1, keepdims=True) - x, 0)
    spread = np.vecdot(exact_probs, depth)[:, np.newaxis]
    relative = unit(dtype) * (depth + spread) + gamma(x.shape[1] + 18, dtype)
    return np.asarray(exact_probs * relative + float(np.finfo(dtype).smallest_subnormal))
