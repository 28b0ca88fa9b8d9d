"""Numeric gradients by differences: the reference of a gradient check."""

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_impls.checks.bounds import LARGEST, Floats
from softmax_impls.layout import as_array, as_real_array

Function = Callable[[NDArray[Any]], Any]

EPSILON = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 1e-20  # beside 1, h² is lost in float64; h times a slope of 1e-15 is a normal number in float32


def numeric_gradient(f: Function, x: ArrayLike, *, method: str = "central", step: float | None = None) -> Floats:
    """Compute the gradient of a scalar function by differences in one element at a time.

    Parameters
    ----------
    f : callable
        A function that maps an array of the shape of `x` to a scalar. The array is float64, or complex128 for
        ``method="complex"``.
    x : array_like
        The point at which to take the gradient, of any shape. It is converted to float64 and not modified.
    method : {"central", "complex"}, optional
        "central": ``(f(x + h) - f(x - h)) / 2h``. Its truncation error is O(h²), and its rounding error grows as 1/h.
        "complex": ``imag(f(x + ih)) / h`` (Squire and Trapp, SIAM Review 40 (1), 1998). It subtracts nothing, so it is
        exact to rounding. `f` must be analytic and accept complex arrays.
    step : float, optional
        h. By default ``factor * max(1, |x|)``. For "complex", the factor is 1e-20. For "central", it is the cube root
        of the machine epsilon of the values of `f`: 6e-6 for float64 and 5e-3 for float32. A float64 value that float32
        holds exactly counts as float32, because `f` probably computes in float32.

    Returns
    -------
    ndarray of float64
        The gradient, with the shape of `x`.

    Raises
    ------
    TypeError
        If `f` is not callable, if `x` does not hold real numbers, or if `f` does not return a number: a real number for
        "central", a complex number for "complex".
    ValueError
        If the method is unknown, if the step is not positive and finite, if the step is so small that adding it does
        not change `x`, or if `f` does not return a scalar.

    Examples
    --------
    >>> from softmax_impls import numeric_gradient
    >>> numeric_gradient(lambda x: (x**3).sum(), [1.0, 2.0], method="complex")
    array([ 3., 12.])
    """
    if not callable(f):
        raise TypeError(f"f must be callable, got {type(f).__name__}")
    if method not in ("central", "complex"):
        raise ValueError(f"method must be 'central' or 'complex', got {method!r}")
    point = np.array(as_real_array("x", x), dtype=np.float64)
    if step is not None and not (isinstance(step, Real) and 0 < step < np.inf):
        raise ValueError(f"step must be positive and finite, got {step!r}")
    slope = _central_slope if method == "central" else _complex_slope
    gradient = np.empty_like(point)
    for index in np.ndindex(point.shape):
        gradient[index] = slope(f, point, index, step)
    return gradient


def _central_slope(f: Function, point: Floats, index: tuple[int, ...], step: float | None) -> float:
    """Return the slope of `f` at `point` along the element at `index`, by central differences.

    If `step` is None, the slope is computed with a step for values of `f` in float64. If the values have fewer digits,
    for example in float32, it is computed again with a larger step. Raise ValueError if adding a given `step` does not
    change the element.
    """
    if step is not None:
        given = _difference(f, point, index, step)
        if given.lost:
            unchanged = f"x{list(index)} = {point[index]} does not change when it is added"
            raise ValueError(f"step {step} is too small: {unchanged}")
        return given.slope
    fine = _difference(f, point, index, _size(point[index]) * EPSILON ** (1 / 3))
    if fine.epsilon == EPSILON:
        return fine.slope
    coarse = _difference(f, point, index, _size(point[index]) * fine.epsilon ** (1 / 3))
    return coarse.slope if coarse.epsilon >= fine.epsilon else fine.slope


class _Difference(NamedTuple):
    slope: float
    epsilon: float  # machine epsilon of the values of f, which may be float32 numbers in another type
    lost: bool  # whether adding the step leaves x unchanged


def _difference(f: Function, point: Floats, index: tuple[int, ...], step: float) -> _Difference:
    x = float(point[index])
    above, below = min(x + step, max(x, LARGEST)), max(x - step, min(x, -LARGEST))
    values = _value_at(f, point, index, above), _value_at(f, point, index, below)
    with np.errstate(all="ignore"):
        dtypes = {np.result_type(value.dtype, np.float16) for value in values}
        coarsest = max(dtypes, key=lambda dtype: float(np.finfo(dtype).eps))
        rounded = [coarsest.type(number) for number in (x, above, below)]  # as f sees them if it computes in this dtype
        lost = x in (above, below) or (values[0] == values[1] and rounded[0] in rounded[1:])
        if coarsest.itemsize > 4 and all(np.float32(value) == value for value in values):
            coarsest = np.dtype(np.float32)
        difference = float(np.longdouble(values[0]) - np.longdouble(values[1]))
        slope = np.float64(difference) / (above - below)  # the step as it was rounded
    return _Difference(float(slope), max(EPSILON, float(np.finfo(coarsest).eps)), lost and bool(np.isfinite(x)))


def _complex_slope(f: Function, point: Floats, index: tuple[int, ...], step: float | None) -> float:
    h = COMPLEX_STEP * _size(point[index]) if step is None else step
    return float(_value_at(f, point.astype(np.complex128), index, complex(point[index], h)).imag) / h


def _size(x: float) -> float:
    """Return max(1, |x|), by which the default step is multiplied; 1 if x is NaN or infinite."""
    return max(1.0, abs(float(x))) if np.isfinite(x) else 1.0


def _value_at(f: Function, point: NDArray[Any], index: tuple[int, ...], x: complex) -> Any:
    """Return the value of `f` at `point` with the element at `index` replaced by `x`.

    Raise TypeError or ValueError if the value is not a number of the right type.
    """
    changed = point.copy()
    changed[index] = x
    value = f(changed)
    array = as_array("the value of f", value)
    kinds, wanted, method = ("c", "complex", "complex") if np.iscomplexobj(point) else ("iuf", "real", "central")
    if array.dtype.kind not in kinds:
        got = f"dtype {array.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"f must return a {wanted} number for method={method!r}, got {got}")
    if array.size != 1:
        raise ValueError(f"f must return a scalar, got shape {array.shape}")
    return array.reshape(())[()]
