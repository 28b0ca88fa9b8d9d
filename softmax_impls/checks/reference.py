"""A reference fast enough for arrays of any size: sums in twice the working precision, by error-free steps.

The oracle takes microseconds for one element; here a gigabyte is checked in a second. The tests have the oracle
vouch for it on every input family. The arithmetic is Dot2 (T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot
product", SIAM Journal on Scientific Computing 26 (6), 2005): `_two_sum` and `_two_product` return a result and its
exact error, and the errors are summed beside the results. Everything is float64, whatever the dtype checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls.checks import bounds
from softmax_impls.implementation import Array
from softmax_impls.simd.jit import jit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RowSums:
    """What is to be known of each row to tell any element's exact value and bound, (B,) each.

    `dot` + `dot_low` is Σ p g, `total` is Σ p, `defect` is 1 - Σ p and `largest` is max|g|; NaN where the row holds NaN
    or inf.
    """

    dot: Floats
    dot_low: Floats
    total: Floats
    defect: Floats
    largest: Floats


@dataclass(frozen=True)
class Discrepancy:
    """Where a result is worst, as a multiple of its bound; more than 1 is wrong."""

    ratio: float
    row: int
    column: int

    @property
    def wrong(self) -> bool:
        """Whether the result is off by more than rounding explains."""
        return not self.ratio <= 1

    def in_words(self) -> str:
        """Return how far it is off, and where."""
        return f"off by {self.ratio:.3g} times what rounding explains, at row {self.row}, class {self.column}"


@np.errstate(all="ignore")
def row_sums(probs: Array, grad_output: Array) -> RowSums:
    """Return the sums of each row; the arrays are (B, D)."""
    sums = RowSums(*(np.empty(len(probs)) for _ in range(5)))
    _row_sums(probs, grad_output, sums.dot, sums.dot_low, sums.total, sums.defect, sums.largest)
    return sums


@np.errstate(all="ignore")
def worst(probs: Array, grad_output: Array, result: Array, sums: RowSums, flush_to_zero: bool = False) -> Discrepancy:
    """Return where `result` is farthest from the exact value for these inputs, in units of its bound.

    In rows that hold NaN or inf, a finite element counts as infinitely wrong. `flush_to_zero` says that the implementation
    flushes subnormal numbers to zero.
    """
    classes, dtype = probs.shape[1], probs.dtype
    scale = bounds.value_scale(classes, dtype, sums.largest, sums.total, sums.defect)
    floor = bounds.underflow(classes, dtype, sums.largest, flush_to_zero)
    return Discrepancy(*_worst(probs, grad_output, result, sums.dot, sums.dot_low, scale, floor))


@np.errstate(all="ignore")
def exact_value(probs: Array, grad_output: Array) -> Floats:
    """Return p (g - Σ p g) for these inputs, rounded about once: what `worst` compares with."""
    sums = row_sums(probs, grad_output)
    value = np.empty(probs.shape)
    for i, j in np.ndindex(probs.shape):
        value[i, j] = _value(np.float64(probs[i, j]), np.float64(grad_output[i, j]), sums.dot[i], sums.dot_low[i])
    return value


@jit()
def _two_sum(a: Any, b: Any) -> Any:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@jit()
def _two_product(a: Any, b: Any) -> Any:
    product = a * b
    # Halves of 26 bits, whose products are exact (Veltkamp, Dekker).
    split_a, split_b = 134217729.0 * a, 134217729.0 * b
    high_a, high_b = split_a - (split_a - a), split_b - (split_b - b)
    low_a, low_b = a - high_a, b - high_b
    return product, low_a * low_b - (((product - high_a * high_b) - low_a * high_b) - high_a * low_b)


@jit()
def _row_sums(
    probs: Array, grad_output: Array, dot: Floats, dot_low: Floats, total: Floats, defect: Floats, largest: Floats
) -> None:
    for i in range(probs.shape[0]):
        high, low, mass, mass_low, top, finite = 0.0, 0.0, -1.0, 0.0, 0.0, True
        for j in range(probs.shape[1]):
            p, g = np.float64(probs[i, j]), np.float64(grad_output[i, j])
            finite &= np.isfinite(p) and np.isfinite(g)
            product, product_error = _two_product(p, g)
            high, sum_error = _two_sum(high, product)
            low += product_error + sum_error
            mass, mass_error = _two_sum(mass, p)
            mass_low += mass_error
            top = max(top, abs(g))
        dot[i], dot_low[i] = (high, low) if finite else (np.nan, np.nan)
        defect[i] = -(mass + mass_low)
        total[i] = 1.0 - defect[i]
        largest[i] = top


@jit()
def _value(p: Any, g: Any, dot: Any, dot_low: Any) -> Any:
    difference, error = _two_sum(g, -dot)
    return p * (difference + (error - dot_low))


@jit()
def _worst(
    probs: Array, grad_output: Array, result: Array, dot: Floats, dot_low: Floats, scale: Floats, floor: Floats
) -> Any:
    ratio, row, column = 0.0, 0, 0
    for i in range(probs.shape[0]):
        # Most rows have nothing worse than was seen before. To count what is takes a quarter of the time of finding it
        # (4096×4096 float64), being done in whole vectors. NaN counts.
        worse = 0
        for j in range(probs.shape[1]):
            p, found = np.float64(probs[i, j]), np.float64(result[i, j])
            error = abs(found - _value(p, np.float64(grad_output[i, j]), dot[i], dot_low[i]))
            worse += not error <= ratio * (p * scale[i] + floor[i])
        for j in range(probs.shape[1] if worse else 0):
            p, found = np.float64(probs[i, j]), np.float64(result[i, j])
            if np.isnan(dot[i]):
                off = np.inf if np.isfinite(found) else 0.0
            else:
                error = abs(found - _value(p, np.float64(grad_output[i, j]), dot[i], dot_low[i]))
                off = error / (p * scale[i] + floor[i])
            if not off <= ratio:  # NaN too
                ratio, row, column = (np.inf if np.isnan(off) else off), i, j
    return ratio, row, column
