"""How far a kernel is from the gradient with respect to the logits, which it never sees: they are softmaxed before.

The truth is computed in hundreds of digits, here and not by the commit that is measured.
"""

from __future__ import annotations

import decimal
import functools
from decimal import Decimal
from typing import Any

import numpy as np

from benchmarks._cells import DTYPES, Call, kernel

ROWS = 8
DIGITS = 300  # enough for probabilities down to exp(-300) beside others near 1
# Classes, scale of the logits, and what is added to the gradient.
FAMILIES = {"ordinary": (33, 1.0, 0.0), "offset": (33, 1.0, 1e4), "saturated": (10, 40.0, 0.0), "long": (300, 5.0, 0.0)}

Exact = list[list[Decimal]]  # rows


@functools.cache
def softmaxed(family: str) -> Exact:
    """Return the exact probabilities of a family's logits."""
    classes, scale, _ = FAMILIES[family]
    logits = scale * np.random.default_rng(classes).standard_normal((ROWS, classes))
    with decimal.localcontext(prec=DIGITS):
        powers = [[Decimal(x).exp() for x in row] for row in logits.tolist()]
        totals = [sum(row) for row in powers]
        return [[power / total for power in row] for row, total in zip(powers, totals, strict=True)]


@functools.cache
def problem(family: str, dtype: str) -> tuple[Any, Any, Exact]:
    """Return probabilities, correctly rounded, gradient, and the exact answer."""
    classes, _, offset = FAMILIES[family]
    grad = (np.random.default_rng(0).standard_normal((ROWS, classes)) + offset).astype(dtype)
    with decimal.localcontext(prec=DIGITS):
        probs = softmaxed(family)
        exact = []
        for row, given in zip(probs, grad.tolist(), strict=True):
            g = [Decimal(one) for one in given]
            mean = sum((a * b for a, b in zip(row, g, strict=True)), Decimal(0))
            exact.append([a * (b - mean) for a, b in zip(row, g, strict=True)])
    return np.array([[float(one) for one in row] for row in probs]).astype(dtype), grad, exact


def measurement(name: str, family: str, dtype: str) -> Call | None:
    """Return what measures a kernel's worst row, or None if this commit has not got the kernel."""
    run = kernel(name, ROWS, FAMILIES[family][0], dtype)
    return run and functools.partial(worst, run, family, dtype)


def worst(run: Any, family: str, dtype: str) -> float:
    """Return the worst row's error over its largest gradient, in units of rounding."""
    probs, grad, exact = problem(family, dtype)
    out = np.full_like(probs, np.nan)
    run(probs, grad, out)
    found = []
    with decimal.localcontext(prec=DIGITS):
        for got, true in zip(out.tolist(), exact, strict=True):
            error = max(abs(Decimal(a) - b) for a, b in zip(got, true, strict=True))
            found.append(float(error / max(map(abs, true))))
    return max(found) / (float(np.finfo(dtype).eps) / 2)


for _family in FAMILIES:  # once, in the process that cells are forked from
    for _dtype in DTYPES:
        problem(_family, _dtype)
