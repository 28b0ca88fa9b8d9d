"""Interpolate times between measured shapes, and estimate the error of that.

Over the logarithms of batch and dim, the logarithm of a time is close to a plane wherever a single cost dominates:
the cost of a call, of a row or of an element. So it is interpolated linearly between the nearest measured shapes, and
never extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

Shape = tuple[int, int]  # batch, dim
Vector = NDArray[np.float64]

MIN_ERRORS = 5  # errors that are needed to estimate a quantile
LIKELY = 0.9  # the quantile
UNKNOWN = 2.0  # factor to assume with fewer errors
SAME = 1e-9  # difference between the logarithms of equal sizes


class Mesh:
    """Measured shapes, joined to triangles.

    A value between shapes is a weighted sum of measured values. The weights depend on the shapes only, so all kernels
    that were measured at the same shapes share a mesh.
    """

    def __init__(self, shapes: tuple[Shape, ...]) -> None:
        self._shapes = shapes
        self._points = np.log2(np.array(shapes, dtype=float).reshape(-1, 2))
        self._weights: dict[tuple[float, float], Vector] = {}

    def weights(self, shape: tuple[float, float]) -> Vector:
        """Return the weight of each measured shape in the value at `shape`; NaN outside of the measured shapes."""
        if shape not in self._weights:
            self._weights[shape] = self._find_weights(np.log2(np.array(shape, dtype=float)))
        return self._weights[shape]

    @cached_property
    def held_out_weights(self) -> Vector:
        """The weights at each measured shape if it is left out itself; a row for each shape."""
        rows = []
        for i, shape in enumerate(self._shapes):
            others = Mesh(self._shapes[:i] + self._shapes[i + 1 :])
            rows.append(np.insert(others.weights(shape), i, 0.0))
        return np.array(rows).reshape(len(rows), len(rows))

    @cached_property
    def _triangles(self) -> Any:
        try:
            return Delaunay(self._points) if len(self._points) > 2 else None
        except QhullError:  # all shapes are on a line
            return None

    def _find_weights(self, point: Vector) -> Vector:
        distances = np.abs(self._points - point)
        same = distances.max(axis=1, initial=0.0) < SAME
        if same.any():
            return np.asarray(same, dtype=float)
        for fixed in (0, 1):
            (line,) = np.nonzero(distances[:, fixed] < SAME)
            weights = self._weights_on_line(line, point, 1 - fixed)
            if weights is not None:
                return weights
        return self._weights_in_triangle(point)

    def _weights_in_triangle(self, point: Vector) -> Vector:
        """Return the weights of the corners of the triangle around a point; NaN if no triangle is around it."""
        triangle = -1 if self._triangles is None else int(self._triangles.find_simplex(point))
        if triangle < 0:
            return np.full(len(self._points), np.nan)
        transform = self._triangles.transform[triangle]
        weights = np.zeros(len(self._points))
        first, second = transform[:2] @ (point - transform[2])
        weights[self._triangles.simplices[triangle]] = first, second, 1 - first - second
        return weights

    def _weights_on_line(self, line: NDArray[np.intp], point: Vector, axis: int) -> Vector | None:
        """Return weights of the two nearest shapes of the same batch, or dim; None if the point is not between."""
        line = line[np.argsort(self._points[line, axis])]
        right = int(np.searchsorted(self._points[line, axis], point[axis]))
        if not 0 < right < len(line):
            return None
        start, end = self._points[line[right - 1 : right + 1], axis]
        share = (point[axis] - start) / (end - start)
        weights = np.zeros(len(self._points))
        weights[line[right - 1 : right + 1]] = 1 - share, share
        return weights


_mesh = lru_cache(maxsize=64)(Mesh)


class Surface:
    """A positive quantity, of which the values at some shapes (batch, dim) are known."""

    def __init__(self, known: Mapping[Shape, float]) -> None:
        self._mesh = _mesh(tuple(known))
        self._logs = np.log(np.array(list(known.values()), dtype=float))

    def at(self, shape: tuple[float, float]) -> float:
        """Return the value at a shape; NaN outside of the known shapes."""
        return float(np.exp(self._mesh.weights(shape) @ self._logs)) if len(self._logs) else np.nan

    @cached_property
    def likely_error(self) -> float:
        """The factor, 1 or more, within which nine of ten interpolated values are.

        Each inner shape is interpolated from the others. They are twice as far apart as the shapes that an answer is
        based on, so the factor is too large rather than too small.
        """
        errors = np.abs(self._mesh.held_out_weights @ self._logs - self._logs)
        seen = errors[~np.isnan(errors)]
        return float(np.exp(np.quantile(seen, LIKELY))) if len(seen) >= MIN_ERRORS else UNKNOWN
