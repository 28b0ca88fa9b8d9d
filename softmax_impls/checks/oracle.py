"""The exact answer, in mpmath: what every implementation is measured against.

Two questions hide in "is it right?":

* given the probabilities: the value of p (g - Σ p g) for the rounded p and g that came in (`given_probs`);
* given the logits: the true gradient with respect to them, which is what a user wants (`given_logits`).

They differ, because rounded p do not sum to 1. Both are computed by the textbook formula, on purpose: it shares no
trick with the implementations. What it cancels is made up for by digits. `DIGITS` is enough for every case whose
answer a float can hold: the formula is off by about 10**-DIGITS times max|g|, and the smallest float64 above zero is
5e-324.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from softmax_impls.implementation import Array

DIGITS = 400

_Numbers = list[Any]  # of mpmath.mpf


@dataclass(frozen=True)
class Exact:
    """Numbers to about 32 digits: the unevaluated sum of two float64 arrays (B, D), the second far smaller."""

    high: NDArray[np.float64]
    low: NDArray[np.float64]

    def error_of(self, approximate: Array) -> NDArray[np.float64]:
        """Return |approximate - exact| of each element, right also far below a unit in the last place."""
        return np.abs((approximate.astype(np.float64) - self.high) - self.low)


def softmax(logits: Array, digits: int = DIGITS) -> Exact:
    """Return the exact softmax of each row; NaN throughout rows of nothing but -inf, or with NaN or +inf."""
    with mpmath.workdps(digits):
        return _split([_softmax_row(tuple(row.tolist()), digits) for row in logits], logits.shape)


def given_probs(probs: Array, grad_output: Array, digits: int = DIGITS) -> Exact:
    """Return p (g - Σ p g) of the very numbers given; NaN throughout rows with NaN or inf."""
    with mpmath.workdps(digits):
        rows = [_backward_row(_exact(p.tolist()), _exact(g.tolist())) for p, g in zip(probs, grad_output, strict=True)]
        return _split(rows, probs.shape)


def given_logits(logits: Array, grad_output: Array, digits: int = DIGITS) -> Exact:
    """Return the gradient with respect to the logits, from the exact softmax; NaN throughout rows without one."""
    with mpmath.workdps(digits):
        rows = [
            _backward_row(_softmax_row(tuple(x.tolist()), digits), _exact(g.tolist()))
            for x, g in zip(logits, grad_output, strict=True)
        ]
        return _split(rows, logits.shape)


def _exact(row: Iterable[float]) -> _Numbers:
    return [mpmath.mpf(value) for value in row]


@functools.lru_cache(maxsize=4096)  # asked for twice: for the probabilities, and for the gradient
def _softmax_row(row: tuple[float, ...], digits: int) -> _Numbers:
    """Exact softmax of a row, in the precision that is set; `digits` says which one that is."""
    logits = _exact(row)
    top = max(logits, default=mpmath.mpf(0))
    if any(mpmath.isnan(x) for x in logits) or mpmath.isinf(top):
        return [mpmath.nan] * len(logits)
    powers = [mpmath.exp(x - top) for x in logits]
    total = mpmath.fsum(powers)
    return [power / total for power in powers]


def _backward_row(probs: _Numbers, grad_output: _Numbers) -> _Numbers:
    if not all(mpmath.isfinite(value) for value in (*probs, *grad_output)):
        return [mpmath.nan] * len(probs)
    total = mpmath.fdot(probs, grad_output)
    return [p * (g - total) for p, g in zip(probs, grad_output, strict=True)]


def _split(rows: list[_Numbers], shape: tuple[int, ...]) -> Exact:
    high = np.array([[float(value) for value in row] for row in rows], dtype=np.float64).reshape(shape)
    low = np.zeros(shape)
    for index in np.argwhere(np.isfinite(high)):
        i, j = index
        low[i, j] = float(rows[i][j] - mpmath.mpf(high[i, j]))
    return Exact(high, low)
