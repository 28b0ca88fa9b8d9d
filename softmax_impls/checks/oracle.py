"""The exact answer, computed with mpmath. Every implementation is compared with it.

There are two questions:

* Given the probabilities: what is p (g - Σ p g) for the rounded p and g that the kernel receives? See `given_probs`.
* Given the logits: what is the true gradient with respect to the logits? A user wants this. See `given_logits`.

The answers differ, because rounded p do not sum to 1. Both are computed by the textbook formula, which shares no trick
with the implementations. Where the formula cancels, more digits make up for it: its error is about 10**-DIGITS times
max|g|, and the smallest positive float64 is 5e-324. So `DIGITS` is enough for every case whose answer a float can hold.
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
    """Numbers to about 32 digits: the sum ``high + low`` of two float64 arrays (B, D), where `low` is far smaller."""

    high: NDArray[np.float64]
    low: NDArray[np.float64]

    def error_of(self, approximate: Array) -> NDArray[np.float64]:
        """Return |approximate - exact| of each element, accurate also far below a unit in the last place."""
        return np.abs((approximate.astype(np.float64) - self.high) - self.low)


def softmax(logits: Array, digits: int = DIGITS) -> Exact:
    """Return the exact softmax of each row. A row with NaN or +inf, or of -inf only, is NaN throughout."""
    with mpmath.workdps(digits):
        return _split([_softmax_row(tuple(row.tolist()), digits) for row in logits], logits.shape)


def given_probs(probs: Array, grad_output: Array, digits: int = DIGITS) -> Exact:
    """Return p (g - Σ p g) for exactly these p and g. A row with NaN or inf is NaN throughout."""
    with mpmath.workdps(digits):
        rows = [_backward_row(_exact(p.tolist()), _exact(g.tolist())) for p, g in zip(probs, grad_output, strict=True)]
        return _split(rows, probs.shape)


def given_logits(logits: Array, grad_output: Array, digits: int = DIGITS) -> Exact:
    """Return the gradient with respect to the logits. A row without a softmax, or with NaN or inf in g, is NaN."""
    with mpmath.workdps(digits):
        rows = [
            _backward_row(_softmax_row(tuple(x.tolist()), digits), _exact(g.tolist()))
            for x, g in zip(logits, grad_output, strict=True)
        ]
        return _split(rows, logits.shape)


def _exact(row: Iterable[float]) -> _Numbers:
    return [mpmath.mpf(value) for value in row]


@functools.lru_cache(maxsize=4096)  # each row is needed for the probabilities and for the gradient
def _softmax_row(row: tuple[float, ...], digits: int) -> _Numbers:
    """Return the softmax of a row in the current precision; `digits` keeps precisions apart in the cache."""
    logits = _exact(row)
    largest = max(logits, default=mpmath.mpf(0))
    if any(mpmath.isnan(x) for x in logits) or mpmath.isinf(largest):
        return [mpmath.nan] * len(logits)
    powers = [mpmath.exp(x - largest) for x in logits]
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
    for i, j in np.argwhere(np.isfinite(high)):
        low[i, j] = float(rows[i][j] - mpmath.mpf(high[i, j]))
    return Exact(high, low)
