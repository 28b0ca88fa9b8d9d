"""The measured cells that an answer can be based on, and interpolation between their shapes.

Over the logarithms of batch and dim, the logarithm of a time is close to a plane wherever a single cost dominates:
the cost of a call, of a row or of an element. So it is interpolated linearly between the nearest measured shapes, and
never extrapolated.
"""

import math
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError

from softmax_impls.choice.answer import Source
from softmax_impls.choice.ranking import Ranked, RankedRun
from softmax_impls.results.runs import OLDEST
from softmax_impls.timing.records import KernelResult

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


class Measurements:
    """The ranked cells of a run with one dtype and number of threads, and surfaces through them.

    If several workloads have the same shape, the newest cell counts.
    """

    def __init__(self, run: RankedRun, dtype: str, threads: int) -> None:
        self.run, self.dtype, self.threads = run.run, dtype, threads
        self.cells: dict[Shape, Ranked] = {}
        self.kernels: dict[str, dict[Shape, KernelResult]] = {}  # the verified results of each kernel
        self.errors: dict[str, float] = {}  # the worst error of each kernel over all shapes; NaN if unknown
        for cell in sorted(run.cells, key=lambda cell: cell.cell.time or OLDEST):
            if cell.comparison and (cell.key.dtype, cell.key.threads) == (dtype, threads):
                self.cells[cell.key.batch, cell.key.dim] = cell
        for shape, cell in self.cells.items():
            for name, kernel in cell.kernels.items():
                if kernel.ranked:
                    self.kernels.setdefault(name, {})[shape] = kernel
                    self.errors[name] = float(np.fmax(kernel.error, self.errors.get(name, math.nan)))
        self._surfaces: dict[tuple[str, str | None], Surface] = {}

    def surface(self, name: str, over: str | None = None) -> Surface:
        """Return the times of a kernel, or their ratios to the times of another kernel, as a surface."""
        if (name, over) not in self._surfaces:
            known = self._seconds(name)
            if over is not None:
                others = self._seconds(over)
                known = {shape: seconds / others[shape] for shape, seconds in known.items() if shape in others}
            self._surfaces[name, over] = Surface(known)
        return self._surfaces[name, over]

    def _seconds(self, name: str) -> dict[Shape, float]:
        return {shape: kernel.seconds for shape, kernel in self.kernels[name].items() if kernel.seconds is not None}

    def source(self, here: str, cells: Collection[Ranked] = ()) -> Source:
        """Describe some of the cells, or all of them; `here` is the name of this machine."""
        records = [ranked.cell for ranked in cells or self.cells.values()]
        newest = max(records, key=lambda cell: cell.time or OLDEST)
        batches, dims = zip(*((cell.batch, cell.dim) for cell in records), strict=True)
        return Source(
            tool=self.run.tool,
            machine=self.run.machine,
            commit=self.run.commit,
            here=self.run.machine == here,
            files=tuple(sorted({cell.file for cell in records})),
            versions=newest.environment.versions,
            time=newest.time,
            cells=len(records),
            batch=(min(batches), max(batches)),
            dim=(min(dims), max(dims)),
        )


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
    others = [_weights(shapes[:i] + shapes[i + 1 :], shape) for i, shape in enumerate(shapes)]
    return np.array([np.insert(weights, i, 0.0) for i, weights in enumerate(others)])


@lru_cache(maxsize=64)
def _triangles(shapes: Shapes) -> Callable[[Vector], Vector]:
    """Return a function that interpolates the weights: that of a shape is 1 at this shape and 0 at all others."""
    try:
        interpolate: Callable[[Vector], Vector] = LinearNDInterpolator(np.log2(shapes), np.eye(len(shapes)))
    except QhullError:  # there are less than three shapes, or all are on a line
        return lambda _: np.full(len(shapes), np.nan)
    return interpolate
