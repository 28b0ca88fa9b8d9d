"""Times between the sizes that were measured, and how far off such a time is likely to be.

Over the logarithms of batch and dim, the logarithm of a time is close to a plane in pieces: where the cost of a call, a
row or an element rules. So it is interpolated linearly between the nearest cells, never beyond the outermost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError

Shape = tuple[int, int]  # batch, dim
Logs = NDArray[np.float64]

FEWEST_ERRORS = 5  # for telling how large an error may be
LIKELY = 0.9  # of the errors that were seen
UNKNOWN = 2.0  # a factor either way, where too few were seen


class Surface:
    """A positive quantity, known at some shapes.

    Parameters
    ----------
    known : mapping of (int, int) to float
        What was measured, by batch and dim.
    """

    def __init__(self, known: Mapping[Shape, float]) -> None:
        self._points = np.log2(np.array(list(known), dtype=float).reshape(-1, 2))
        self._logs = np.log(np.array(list(known.values()), dtype=float))

    def at(self, shape: Shape) -> float:
        """Return it at a shape; NaN outside of what was measured."""
        return float(np.exp(_interpolated(self._points, self._logs, np.log2(np.array(shape, dtype=float)))))

    def likely_error(self) -> float:
        """Return the factor, 1 or more, that interpolated values stay within, mostly.

        Each inner shape in turn is left out and estimated from the others, which lie twice as far apart as those that
        an answer rests on: what is told is too much rather than too little.
        """
        rest = ~np.eye(len(self._logs), dtype=bool)
        off = [
            abs(_interpolated(self._points[keep], self._logs[keep], point) - log)
            for keep, point, log in zip(rest, self._points, self._logs, strict=True)
        ]
        seen = [error for error in off if not np.isnan(error)]
        return float(np.exp(np.quantile(seen, LIKELY))) if len(seen) >= FEWEST_ERRORS else UNKNOWN


def _interpolated(points: Logs, values: Logs, point: Logs) -> float:
    """Return the value at a point by linear interpolation; NaN if it is not among the points."""
    same = np.abs(points - point).max(axis=1) < 1e-9
    if same.any():
        return float(values[same][0])
    for fixed in (0, 1):  # along a line of one batch, or one dim, which a plane need not be laid through
        line = np.abs(points[:, fixed] - point[fixed]) < 1e-9
        along, order = points[line, 1 - fixed], np.argsort(points[line, 1 - fixed])
        if len(along) > 1 and along.min() < point[1 - fixed] < along.max():
            return float(np.interp(point[1 - fixed], along[order], values[line][order]))
    try:
        laid: Any = LinearNDInterpolator(points, values) if len(points) > 2 else None
    except QhullError:  # all on one line
        laid = None
    return float(laid(point)[0]) if laid else float("nan")
