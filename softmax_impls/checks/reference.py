"""A reference for arrays of any size: sums in twice the working precision, by error-free transformations.

The oracle takes microseconds for each element; this reference checks a gigabyte in a second. The tests compare it with
the oracle on every family of inputs. The algorithm is Dot2 (T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot
product", SIAM Journal on Scientific Computing 26 (6), 2005): `_two_sum` and `_two_product` return a result and its
exact error, and the errors are summed separately. All arithmetic is float64, for either dtype.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls.checks import bounds
from softmax_impls.checks.bounds import Floats
from softmax_impls.implementation import Array
from softmax_impls.simd.jit import jit


@dataclass(frozen=True)
class RowSums:
    """Sums of each row, (B,), from which the exact value of every element, and the bound of its error, are computed."""

    factor: Floats  # a power of two; factor * g is far from the largest and the smallest numbers
    dot: Floats  # factor * Σ p g is dot + dot_low; NaN where the row contains NaN or inf
    dot_low: Floats
    defect: Floats  # 1 - σ, where σ = Σ p; from a rounded σ, it would be inaccurate. 1 + σ is 2 - defect
    largest: Floats  # M = max|g|

    def bound(self, probs: Array, flush_to_zero: bool = False) -> Floats:
        """Return the bound on the error of each element, (B, D)."""
        scale, floor = self.bound_terms(probs, flush_to_zero)
        return np.asarray(probs * scale[:, np.newaxis] + floor[:, np.newaxis])

    @np.errstate(all="ignore")
    def formula_in_range(self, probs: Array, grad_output: Array) -> NDArray[np.bool_]:
        """Return where no step of the formula p (g - Σ p g) overflows, as `bounds` explains; (B, D)."""
        limit = (1 - 4 * bounds.gamma(probs.shape[1] + 6, probs.dtype)) * float(np.finfo(probs.dtype).max)
        difference = np.abs(grad_output * self.factor[:, np.newaxis] - self.dot[:, np.newaxis])
        return (difference <= self.factor[:, np.newaxis] * limit) & (self.largest <= limit)[:, np.newaxis]

    def bound_terms(self, probs: Array, flush_to_zero: bool) -> tuple[Floats, Floats]:
        """Return the bound on the errors of each row as two arrays (B,), s and t.

        The error of element i of a row must not exceed p_i s + t. The probabilities count as exact: see "given the
        probabilities" in `bounds`. With `flush_to_zero`, results below the smallest normal number may be 0.
        """
        dim, dtype = probs.shape[1], probs.dtype
        scale = self.largest * (2 * (2 - self.defect) * bounds.gamma(dim + 6, dtype) + np.abs(self.defect))
        return scale, bounds.underflow(dim, dtype, self.largest, flush_to_zero)


@dataclass(frozen=True)
class Discrepancy:
    """The element of a result with the largest error, relative to its bound."""

    ratio: float  # the error divided by its bound
    row: int
    column: int

    @property
    def wrong(self) -> bool:
        """Whether the error is larger than rounding explains, or NaN."""
        return not self.ratio <= 1

    def in_words(self) -> str:
        """Return the size of the error and its position, for people."""
        return f"off by {self.ratio:.3g} times what rounding explains, at row {self.row}, column {self.column}"


@np.errstate(all="ignore")
def row_sums(probs: Array, grad_output: Array) -> RowSums:
    """Return the sums that `RowSums` lists, for each row of `probs` and `grad_output`, (B, D) each."""
    return RowSums(*_row_sums(probs, grad_output))


@np.errstate(all="ignore")
def worst(probs: Array, grad_output: Array, result: Array, sums: RowSums, flush_to_zero: bool = False) -> Discrepancy:
    """Return the element of `result`, (B, D), with the largest error relative to its bound.

    `sums` is the result of `row_sums` for these arrays.
    """
    scale, floor = sums.bound_terms(probs, flush_to_zero)
    terms = sums.factor, sums.dot, sums.dot_low, scale, floor
    return Discrepancy(*_worst(probs, grad_output, result, terms))


@jit()
def _two_sum(a: Any, b: Any) -> Any:
    total = a + b
    rounded_b = total - a
    return total, (a - (total - rounded_b)) + (b - rounded_b)


@jit()
def _two_product(a: Any, b: Any) -> Any:
    product = a * b
    # Split both numbers into halves of 26 bits: the products of halves are exact (Veltkamp, Dekker).
    split_a, split_b = 134217729.0 * a, 134217729.0 * b
    high_a, high_b = split_a - (split_a - a), split_b - (split_b - b)
    low_a, low_b = a - high_a, b - high_b
    return product, low_a * low_b - (((product - high_a * high_b) - low_a * high_b) - high_a * low_b)


@jit()
def _row_sums(probs: Array, grad_output: Array) -> Floats:
    sums = np.empty((5, probs.shape[0]))  # in the order of `RowSums`
    for i in range(probs.shape[0]):
        sums[:, i] = _sums_of_row(probs, grad_output, i, 1.0)
        if sums[4, i] > 2.0**900:  # the halves of a product might overflow
            sums[:, i] = _sums_of_row(probs, grad_output, i, 2.0**-200)
        elif 0 < sums[4, i] < 2.0**-800:  # the error of a product might underflow
            sums[:, i] = _sums_of_row(probs, grad_output, i, 2.0**200)
    return sums


@jit()
def _sums_of_row(probs: Array, grad_output: Array, i: int, factor: float) -> Any:
    high, low, excess, excess_low, maximum, finite = 0.0, 0.0, -1.0, 0.0, 0.0, True
    for j in range(probs.shape[1]):
        p, g = np.float64(probs[i, j]), np.float64(grad_output[i, j])
        finite &= np.isfinite(p) and np.isfinite(g)
        product, product_error = _two_product(p, factor * g)
        high, sum_error = _two_sum(high, product)
        low += product_error + sum_error
        excess, excess_error = _two_sum(excess, p)
        excess_low += excess_error
        maximum = max(maximum, abs(g))
    if not finite:
        high = low = np.nan
    return factor, high, low, -(excess + excess_low), maximum


@jit()
def exact_value(p: Any, g: Any, factor: Any, dot: Any, dot_low: Any) -> Any:
    """Return p (g - Σ p g) of an element, accurate to a few roundings.

    `factor`, `dot` and `dot_low` are the values of the element's row, as in `RowSums`.
    """
    difference, error = _two_sum(factor * g, -dot)
    return p * (difference + (error - dot_low)) / factor


@jit()
def _worst(probs: Array, grad: Array, result: Array, terms: tuple[Floats, ...]) -> Any:
    factor, dot, dot_low, scale, floor = terms
    ratio, row, column = 0.0, 0, 0
    for i in range(probs.shape[0]):
        # Few rows contain a ratio that is NaN or larger than the largest so far. Counting such ratios is vectorised and
        # takes a quarter of the time of a search (4096×4096 float64), so only rows with a positive count are searched.
        larger = 0
        for j in range(probs.shape[1]):
            p, computed = np.float64(probs[i, j]), np.float64(result[i, j])
            error = abs(computed - exact_value(p, np.float64(grad[i, j]), factor[i], dot[i], dot_low[i]))
            larger += not error <= ratio * (p * scale[i] + floor[i])
        for j in range(probs.shape[1] if larger else 0):
            p, computed = np.float64(probs[i, j]), np.float64(result[i, j])
            if np.isnan(dot[i]):  # the row contains NaN or inf: a finite result is wrong
                off = np.inf if np.isfinite(computed) else 0.0
            else:
                error = abs(computed - exact_value(p, np.float64(grad[i, j]), factor[i], dot[i], dot_low[i]))
                off = error / (p * scale[i] + floor[i])
            if not off <= ratio:  # also if it is NaN
                ratio, row, column = (np.inf if np.isnan(off) else off), i, j
    return ratio, row, column
