"""Interpolate times between measured shapes, and estimate the error of that.

Over the logarithms of batch and dim, the logarithm of a time is close to a plane wherever a single cost dominates:
the cost of a call, of a row or of an element. So it is interpolated linearly between the nearest measured shapes, and
never extrapolated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError

Shape = tuple[int, int]  # batch, dim
Shapes = tuple[Shape, ...]
Vector = NDArray[np.float64]

MIN_ERRORS = 5  # errors that are needed to estimate a quantile
LIKELY = 0.9  # the quantile
UNKNOWN = 2.0  # factor to assume with fewer errors
SAME = 1e-9  # difference between the logarithms of equal sizes


class Surface:
    """A positive quantity, of which the values at some shapes (batch, dim) are known."""

    def __init__(self, known: Mapping[Shape, float]) -> None:
        self._shapes = tuple(known)
        self._logs = np.log(np.array(list(known.values()), dtype=float))

    def at(self, shape: tuple[float, float]) -> float:
        """Return the value at a shape; NaN outside of the known shapes."""
        return float(np.exp(_weights(self._shapes, shape) @ self._logs)) if self._shapes else np.nan

    @cached_property
    def likely_error(self) -> float:
        """The factor, 1 or more, within which nine of ten inner values are if they are interpolated from the others.

        The others are twice as far apart as the shapes of an answer, so the factor is too large rather than too small.
        """
        if len(self._shapes) < MIN_ERRORS:
            return UNKNOWN
        errors = np.abs(_held_out_weights(self._shapes) @ self._logs - self._logs)
        seen = errors[~np.isnan(errors)]
        return float(np.exp(np.quantile(seen, LIKELY))) if len(seen) >= MIN_ERRORS else UNKNOWN


# A value between shapes is a weighted sum of the known values. The weights depend on the shapes only, and most kernels
# are measured at the same shapes. So the functions below keep their results for the next kernel.


@lru_cache(maxsize=256)
def _weights(shapes: Shapes, shape: tuple[float, float]) -> Vector:
    """Return the weight of each known shape in the value at `shape`; NaN outside of the known shapes."""
    points, point = np.log2(shapes), np.log2(shape)
    distances = np.abs(points - point)
    same = distances.max(axis=1) < SAME
    if same.any():
        return np.asarray(same, dtype=float)
    for fixed, axis in ((0, 1), (1, 0)):  # between the two nearest shapes of the same batch, or of the same dim
        (line,) = np.nonzero(distances[:, fixed] < SAME)
        line = line[np.argsort(points[line, axis])]
        right = int(np.searchsorted(points[line, axis], point[axis]))
        if 0 < right < len(line):
            ends = line[right - 1 : right + 1]
            weights = np.zeros(len(shapes))
            weights[ends] = distances[ends[::-1], axis] / distances[ends, axis].sum()
            return weights
    return _triangles(shapes)(point).reshape(-1)


@lru_cache(maxsize=64)
def _held_out_weights(shapes: Shapes) -> Vector:
    """Return the weights at each known shape if it is left out itself; a row for each shape."""
    rows = [np.insert(_weights(shapes[:i] + shapes[i + 1 :], shape), i, 0.0) for i, shape in enumerate(shapes)]
    return np.array(rows)


@lru_cache(maxsize=64)
def _triangles(shapes: Shapes) -> Callable[[Vector], Vector]:
    """Return a function that interpolates the weights: that of a shape is 1 at this shape and 0 at all others."""
    try:
        interpolate: Callable[[Vector], Vector] = LinearNDInterpolator(np.log2(shapes), np.eye(len(shapes)))
    except QhullError:  # there are less than three shapes, or all are on a line
        return lambda _: np.full(len(shapes), np.nan)
    return interpolate
