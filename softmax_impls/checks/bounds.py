"""How large the error of a right implementation may be. The bounds follow from rounding analysis; nothing is tuned.

Notation: u is the unit of rounding and γ_n = n u / (1 - n u) the bound on n successive roundings (N. J. Higham,
"Accuracy and Stability of Numerical Algorithms", 2002, §3.1). For each row, σ = Σ p, M = max|g|, and D is its length.

**Given the probabilities.** The exact value is p_i (g_i - Σ p g). Every form computes p_i (h_i - Σ p h), where
h = g - c and c is within the range of g; the textbook form and the Jacobian have c = 0. So |h| ≤ 2 M. The computed sum
of D products has an error of at most γ_{D+1} Σ p|h|, in any order of summation. At most 5 more roundings follow. So the
rounding error is at most p_i · 2 (1 + σ) M γ_{D+6}. The shift by c does not change the gradient of softmax, but rounded
probabilities do not sum to 1, so it changes the value by p_i c (1 - σ). This adds p_i M |1 - σ| to the bound.

**The true gradient is within this bound.** Let P be the exact probabilities. Where p is P rounded once, |P_i - p_i| ≤
γ_1 p_i, so P_i (g_i - Σ P g) differs from the exact value by at most p_i M (2 + σ) γ_1, a small part of the bound. So
an implementation with ``accurate_for="probs"`` passes, too, if it returns the true gradient. A form that first divides
p by σ also passes: it changes the value by about 3 p_i M |1 - σ|, which is within the bound where |1 - σ| ≤ γ_{D+6}.

**Given the logits**, where the probabilities are correctly rounded: let k be the most probable class of the row,
h = g - g_k and E = Σ P|h|. By the same steps, a form with the shift c = g_k has an error of at most
γ_{D+6} P_i (|h_i| + E). M does not occur in it, so a large offset of g does not loosen the bound. The bound is
4 γ_{D+6} P_i (|h_i| + E): rounding the probabilities can make or break ties, so that another class is chosen as k,
and the factor 4 allows for that.

**The forward pass.** Rounding x - max(x) causes two relative errors of p_i: u |x_i - max(x)| in the numerator, and in
the sum the mean of u |x - max(x)| over the row, weighted by P. exp is accurate to 4 units in the last place, which is 8
u, in the numerator and in the sum. D additions and a division remain. Together they give γ_{D+18}.

**Underflow.** Each product has an additional error of at most η/2, where η is the smallest subnormal number. This
concerns D products in a sum, which is multiplied by p_i ≤ 1, or D entries of a Jacobian, which are multiplied by
|h| ≤ 2 M, and the last product itself. For implementations that flush subnormal numbers to zero, inputs included, η/2
is the smallest normal number.

**Overflow.** The result is p_i Σ_j p_j (g_i - g_j), so its size is at most p_i (1 - p_i) 2 M ≤ M / 2: it is in range
for all finite g. A kernel with ``accurate_for="logits"`` must return it. The formula computes g_i - Σ p g, whose size
can be up to 2 M. Where this size plus its rounding error is in range, a kernel with ``accurate_for="probs"`` must
return the result, too. Where it is out of range, the kernel may return anything in that element. So a kernel that
computes g - c fails the check where g - c overflows and the formula does not.

**When no shift is needed.** A kernel may compute with c = 0 where its error is within the bound given the logits. For
c = 0, the error of the sum is at most γ_{D+2} Σ P|g| ≤ γ_{D+2} (E + |g_k|). This allows for a p that does not sum to 1.
So the error of the result is at most γ_{D+6} P_i (|h_i| + 2 E + |g_k|). Since |Σ P g - g_k| ≤ E, this is within the
bound where |g_k| ≤ K |Σ P g - g_k| and K ≤ 2. The kernels take `simd.sizes.MAX_UNSHIFTED_RATIO` as K.

**Numeric gradients.** The loss is L(x) = Σ g · softmax(x); its gradient is the backward pass of g. The error of central
differences with step h is at most h²/6 max|L'''|. If x_j alone changes, p = p_j has the third derivative
p (1 - p) (1 - 6 p (1 - p)), at most 1/8 in size, and each other probability is a constant times 1 - p. So
|L'''| ≤ M / 4, and the truncation error is at most h² M / 24. The rounding errors of two losses, divided by 2 h, are
added. The complex step subtracts nothing. It has rounding errors only, and they are not divided by h.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls.implementation import Array

Floats = NDArray[np.float64]
LARGEST = float(np.finfo(np.float64).max)


def gamma(n: int, dtype: np.dtype[Any]) -> float:
    """Return γ_n, the bound on the relative error of n roundings; inf where the analysis does not hold (n u ≥ 1)."""
    nu = n * float(np.finfo(dtype).eps) / 2
    return nu / (1 - nu) if nu < 1 else np.inf


def underflow(dim: int, dtype: np.dtype[Any], largest: Floats, flush_to_zero: bool = False) -> Floats:
    """Return the largest error that underflow may add to an element, for each row, (B,).

    `largest` is the largest |g| of each row, for the bound given the probabilities. For the bound given the logits, it
    is the largest |h|, where h is g - g_top.
    """
    info = np.finfo(dtype)
    smallest = float(info.smallest_normal if flush_to_zero else info.smallest_subnormal)
    return (dim + 1) * (smallest + 2 * (smallest * largest))  # 2 * largest might overflow


def given_logits(exact_probs: Floats, grad_output: Array) -> Floats:
    """Return how far each element of a result may be from the gradient with respect to the logits, (B, D).

    `exact_probs` is the exact softmax of the logits. The bound is for a kernel that receives it as `probs`, rounded.
    """
    dim, dtype = grad_output.shape[1], grad_output.dtype
    g = grad_output.astype(np.float64) / 4  # no difference of two g overflows
    most_probable = np.argmax(exact_probs, axis=-1, keepdims=True)
    shifted = np.abs(g - np.take_along_axis(g, most_probable, axis=-1))
    spread = np.vecdot(exact_probs, shifted)[:, np.newaxis]
    floor = underflow(dim, dtype, 4 * np.minimum(shifted.max(axis=-1), LARGEST / 4))[:, np.newaxis]
    return np.asarray(16 * gamma(dim + 6, dtype) * exact_probs * (shifted + spread) + floor)


def forward(logits: Array, exact_probs: Floats) -> Floats:
    """Return the bound on the error of softmax itself, (B, D)."""
    info = np.finfo(logits.dtype)
    x = logits.astype(np.float64)
    depth = np.where(exact_probs > 0, x.max(axis=-1, keepdims=True, initial=-np.inf) - x, 0)
    spread = np.vecdot(exact_probs, depth)[:, np.newaxis]
    relative = float(info.eps) / 2 * (depth + spread) + gamma(x.shape[1] + 18, logits.dtype)
    return np.asarray(exact_probs * relative + float(info.smallest_subnormal))


def numeric(probs: Array, grad_output: Array, method: str, step: float) -> Floats:
    """Return the bound on the error of each element of a numeric gradient, (B, D).

    `method` and `step` are the arguments of `numeric_gradient`. The bound holds if no logit is larger than a few units.
    """
    g = np.abs(grad_output)
    largest = g.max(axis=-1, keepdims=True)
    rounding = gamma(probs.size + probs.shape[1] + 40, probs.dtype)  # forward pass, products, sum over all elements
    if method == "complex":
        return np.asarray(2 * rounding * probs * largest)
    bound = step**2 / 24 * largest + rounding * float(np.sum(probs * g)) / step
    return np.asarray(np.broadcast_to(bound, probs.shape))
