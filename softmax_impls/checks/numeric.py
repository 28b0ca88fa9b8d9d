"""Gradients by differences, always in float64: what a gradient check compares an implementation against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_impls.layout import as_real_array

CENTRAL_STEP = 1e-5
COMPLEX_STEP = 1e-30


def numeric_gradient(
    f: Callable[[NDArray[Any]], Any],
    x: ArrayLike,
    *,
    method: str = "central",
    step: float | None = None,
) -> NDArray[np.float64]:
    """Gradient of a scalar function by differences in one element at a time.

    Parameters
    ----------
    f : callable
        Maps an array of the shape of `x`, float64 or (for ``method="complex"``) complex128, to a scalar.
    x : array_like
        Where to take the gradient, of any shape; computed in float64 and never modified.
    method : {"central", "complex"}, optional
        "central": ``(f(x + h) - f(x - h)) / 2h``, off by O(h²) and by rounding error over h. "complex":
        ``imag(f(x + ih)) / h`` [1]_, exact to rounding since nothing is subtracted, for functions that are analytic
        and take complex arrays.
    step : float, optional
        h; 1e-5 for "central" and 1e-30 for "complex" by default.

    Returns
    -------
    ndarray of float64
        Of the shape of `x`.

    Raises
    ------
    TypeError
        If `f` is not callable, `x` is not of real numbers, or `f` returns a real number for a complex argument.
    ValueError
        If the method is unknown, the step is not positive and finite or vanishes beside `x`, or `f` does not return
        a scalar.

    References
    ----------
    .. [1] W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review
       40 (1), 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_impls import numeric_gradient
    >>> numeric_gradient(lambda x: (x**3).sum(), [1.0, 2.0], method="complex")
    array([ 3., 12.])
    """
    if not callable(f):
        raise TypeError(f"f must be callable, got {type(f).__name__}")
    if method not in ("central", "complex"):
        raise ValueError(f"method must be 'central' or 'complex', got {method!r}")
    at = np.array(as_real_array("x", x), dtype=np.float64)
    h = float(step) if step is not None else CENTRAL_STEP if method == "central" else COMPLEX_STEP
    if not (h > 0 and np.isfinite(h)):
        raise ValueError(f"step must be positive and finite, got {step!r}")
    return _central(f, at, h) if method == "central" else _complex(f, at, h)


def _central(f: Callable[[NDArray[Any]], Any], at: NDArray[np.float64], h: float) -> NDArray[np.float64]:
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        centre = at[index]
        if np.isfinite(centre) and (centre + h == centre or centre - h == centre):
            raise ValueError(f"step {h} vanishes beside x{list(index)} = {centre}: take a larger one")
        ends = []
        for moved in (centre + h, centre - h):
            at[index] = moved
            ends.append(_scalar(f(at.copy())))
        at[index] = centre
        gradient[index] = (ends[0] - ends[1]) / ((centre + h) - (centre - h))  # the step as it was rounded
    return gradient


def _complex(f: Callable[[NDArray[Any]], Any], at: NDArray[np.float64], h: float) -> NDArray[np.float64]:
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        moved = at.astype(np.complex128)
        moved[index] += 1j * h
        value = _scalar(f(moved))
        if not np.iscomplexobj(value):
            raise TypeError(f"f must compute in complex numbers for method='complex', got {type(value).__name__} back")
        gradient[index] = value.imag / h
    return gradient


def _scalar(value: Any) -> Any:
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(f"f must return a scalar, got shape {array.shape}")
    return array.reshape(())[()]
