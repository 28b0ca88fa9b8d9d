"""The error of a kernel against the gradient with respect to the logits.

A kernel never sees the logits, only the rounded probabilities. The exact gradient is computed with 300 digits, by
this file, so it is the same for every commit that is measured.
"""

from __future__ import annotations

import decimal
import functools
from decimal import Decimal
from typing import Any

import numpy as np

from benchmarks._cells import DTYPES, Call, custom, kernel

BATCH = 8
DIGITS = 300  # enough for probabilities down to exp(-300) beside probabilities near 1
# Dim, scale of the logits, and a constant that is added to the gradient.
FAMILIES = {"ordinary": (33, 1.0, 0.0), "offset": (33, 1.0, 1e4), "saturated": (10, 40.0, 0.0), "long": (300, 5.0, 0.0)}

Exact = list[list[Decimal]]  # B rows of D numbers


@functools.cache
def exact_probs(family: str) -> Exact:
    """Return the exact softmax of the logits of a family."""
    dim, scale, _ = FAMILIES[family]
    logits = scale * np.random.default_rng(dim).standard_normal((BATCH, dim))
    with decimal.localcontext(prec=DIGITS):
        powers = [[Decimal(x).exp() for x in row] for row in logits.tolist()]
        totals = [sum(row) for row in powers]
        return [[power / total for power in row] for row, total in zip(powers, totals, strict=True)]


@functools.cache
def problem(family: str, dtype: str) -> tuple[Any, Any, Exact]:
    """Return the probabilities (correctly rounded), `grad_output`, and the exact result; (B, D) each."""
    dim, _, offset = FAMILIES[family]
    grad = (np.random.default_rng(0).standard_normal((BATCH, dim)) + offset).astype(dtype)
    with decimal.localcontext(prec=DIGITS):
        probs = exact_probs(family)
        exact = []
        for row, grad_row in zip(probs, grad.tolist(), strict=True):
            g = [Decimal(x) for x in grad_row]
            mean = sum((a * b for a, b in zip(row, g, strict=True)), Decimal(0))
            exact.append([a * (b - mean) for a, b in zip(row, g, strict=True)])
    return np.array([[float(p) for p in row] for row in probs]).astype(dtype), grad, exact


def prepare(name: str, family: str, dtype: str) -> Call | None:
    """Return a call that measures the error of a kernel; None if this commit does not have the kernel."""
    run = kernel(name, custom(BATCH, FAMILIES[family][0], dtype))
    return run and functools.partial(largest_error, run, family, dtype)


def largest_error(run: Any, family: str, dtype: str) -> float:
    """Return the largest relative error of a row, in units of rounding.

    It is the row's largest error, divided by the largest size of an exact result in the row. The unit is eps / 2.
    """
    probs, grad, exact = problem(family, dtype)
    out = np.full_like(probs, np.nan)
    run(probs, grad, out=out)
    errors = []
    with decimal.localcontext(prec=DIGITS):
        for row, exact_row in zip(out.tolist(), exact, strict=True):
            error = max(abs(Decimal(a) - b) for a, b in zip(row, exact_row, strict=True))
            errors.append(float(error / max(map(abs, exact_row))))
    return max(errors) / (float(np.finfo(dtype).eps) / 2)


for _family in FAMILIES:  # once, before asv forks the processes that measure
    for _dtype in DTYPES:
        problem(_family, _dtype)
