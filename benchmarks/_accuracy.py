"""How far a kernel is from the gradient with respect to the logits, which it never sees: they are softmaxed before.

The truth is computed in hundreds of digits, here and not by the commit that is measured.
"""

from __future__ import annotations

import functools
from typing import Any

import mpmath
import numpy as np

from benchmarks._cells import Call, kernel

ROWS = 12
DIGITS = 400  # enough for probabilities down to exp(-400) beside others near 1
# Classes, scale of the logits, and what is added to the gradient.
FAMILIES = {
    "ordinary": (33, 1.0, 0.0),
    "offset": (33, 1.0, 1e4),
    "saturated": (10, 40.0, 0.0),
    "long": (1000, 5.0, 0.0),
}


@functools.cache
def problem(family: str, dtype: str) -> tuple[Any, Any, Any]:
    """Return probabilities, correctly rounded, gradient, and the exact answer for each row."""
    classes, scale, offset = FAMILIES[family]
    rng = np.random.default_rng([classes, int(scale)])
    logits = scale * rng.standard_normal((ROWS, classes))
    grad = (rng.standard_normal((ROWS, classes)) + offset).astype(dtype)
    probs, exact = np.empty_like(grad), []
    with mpmath.workdps(DIGITS):
        for row, (x, g) in enumerate(zip(logits.tolist(), grad.tolist(), strict=True)):
            powers = [mpmath.exp(one) for one in x]
            p = [one / mpmath.fsum(powers) for one in powers]
            s = mpmath.fdot(p, g)
            probs[row] = [float(one) for one in p]
            exact.append([one * (h - s) for one, h in zip(p, g, strict=True)])
    return probs, grad, exact


def measurement(name: str, family: str, dtype: str) -> Call | None:
    """Return what measures a kernel's worst row, or None if this commit has not got the kernel."""
    run = kernel(name, ROWS, FAMILIES[family][0], dtype)
    return run and functools.partial(worst, run, family, dtype)


def worst(run: Any, family: str, dtype: str) -> float:
    """Return the worst row's error over its largest gradient, in units of rounding."""
    probs, grad, exact = problem(family, dtype)
    out = np.full_like(probs, np.nan)
    run(probs, grad, out)
    with mpmath.workdps(DIGITS):
        rows = zip(out.tolist(), exact, strict=True)
        errors = [max(abs(a - b) for a, b in zip(got, true, strict=True)) / max(map(abs, true)) for got, true in rows]
    return float(max(errors)) / (float(np.finfo(dtype).eps) / 2)
