"""Numeric gradients by differences, in float64: the reference of a gradient check."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_impls.checks.bounds import Floats
from softmax_impls.layout import as_real_array

Function = Callable[[NDArray[Any]], Any]

STEPS = {"central": 1e-5, "complex": 1e-30}  # the default of each method


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
        h, by default 1e-5 for "central" and 1e-30 for "complex".

    Returns
    -------
    ndarray of float64
        The gradient, with the shape of `x`.

    Raises
    ------
    TypeError
        If `f` is not callable, `x` does not hold real numbers, or `f` returns a real number for a complex argument.
    ValueError
        If the method is unknown, the step is not positive and finite or is lost when it is added to `x`, or `f` does
        not return a scalar.

    Examples
    --------
    >>> from softmax_impls import numeric_gradient
    >>> numeric_gradient(lambda x: (x**3).sum(), [1.0, 2.0], method="complex")
    array([ 3., 12.])
    """
    if not callable(f):
        raise TypeError(f"f must be callable, got {type(f).__name__}")
    if method not in STEPS:
        raise ValueError(f"method must be 'central' or 'complex', got {method!r}")
    point = np.array(as_real_array("x", x), dtype=np.float64)
    h = float(STEPS[method] if step is None else step)
    if not (h > 0 and np.isfinite(h)):
        raise ValueError(f"step must be positive and finite, got {step!r}")
    slope = _central_slope if method == "central" else _complex_slope
    gradient = np.empty_like(point)
    for index in np.ndindex(point.shape):
        gradient[index] = slope(f, point, index, h)
    return gradient


def _central_slope(f: Function, point: Floats, index: tuple[int, ...], h: float) -> Any:
    x = point[index]
    if np.isfinite(x) and (x + h == x or x - h == x):
        raise ValueError(f"step {h} is too small: x{list(index)} = {x} does not change when it is added")
    above, below = point.copy(), point.copy()
    above[index] += h
    below[index] -= h
    return (_scalar(f(above)) - _scalar(f(below))) / ((x + h) - (x - h))  # the step as it was rounded


def _complex_slope(f: Function, point: Floats, index: tuple[int, ...], h: float) -> Any:
    shifted = point.astype(np.complex128)
    shifted[index] += 1j * h
    value = _scalar(f(shifted))
    if not np.iscomplexobj(value):
        raise TypeError(f"f must return a complex number for method='complex', got {type(value).__name__}")
    return value.imag / h


def _scalar(value: Any) -> Any:
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(f"f must return a scalar, got shape {array.shape}")
    return array.reshape(())[()]
