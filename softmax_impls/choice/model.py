"""Predict the time of a kernel at shapes where it was not measured.

The model of the time of a call is a sum of costs, which are not negative:

* of the call, of each row, of each class, and of each element;
* of each row that has many elements, because kernels treat rows of one or two vectors in another way;
* of the elements at the end of each row that do not fill a vector;
* of each element in arrays that do not fit a cache, for caches of many sizes: the sizes of the machine's caches are not
  recorded, and kernels with temporary arrays fill a cache at smaller sizes;
* of each element in rows that do not fit the first-level cache;
* of each pair of elements of a row, in kernels that make the Jacobian matrices; and of each pair once more if the
  matrices of all rows do not fit a cache.

The costs are fitted to the measured times, with least squares of relative errors. Interpolating the remaining errors
did not improve the predictions.
"""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Shape = tuple[int, int]  # batch, dim
Vector = NDArray[np.float64]

CACHES: Vector = np.array([2.0**power for power in range(14, 30)])  # bytes: 16 KiB to 512 MiB; compared with 3 arrays
MATRIX_CACHES: Vector = CACHES[4::4]  # compared with the Jacobian matrices of all rows; with all sizes, fits got worse
FIRST_LEVEL = 2.0**15  # bytes; if two rows take more, the second pass over a row reads it from the next cache
VECTORS = 128  # bytes that a vectorized loop processes in one step; rows with more have many elements
ROW_STEEPNESS = 6  # of the cost of each row at `VECTORS` bytes; with 3, or with more bytes, fits got worse
STEEPNESS = 3  # of the change of a cost at the size of a cache: 7/9 of the change is between half and twice the size
REACH = 4  # predictions go by this factor below the smallest and above the largest measured batch, dim and B · D
MIN_SHAPES = 5  # number of measured shapes that a prediction needs
LIKELY = 0.9  # share of the predictions whose error is at most `likely_factor`
MAX_STEPS = 10_000  # iterations of a fit; by default, SciPy raises an exception after three iterations for each cost
ENOUGH = 9  # number of known errors from which `likely_factor` is estimated
UNKNOWN = 2.0  # smallest `likely_factor` if fewer errors are known


class CostModel:
    """The costs of a kernel, fitted to its times at `MIN_SHAPES` shapes or more."""

    def __init__(self, seconds: Mapping[Shape, float], itemsize: int) -> None:
        self._itemsize = itemsize
        sizes = zip(*((batch, dim, batch * dim) for batch, dim in seconds), strict=True)
        self._limits = [(min(values) / REACH, max(values) * REACH) for values in sizes]
        times = np.array(list(seconds.values()))
        multiples = np.array([_multiples(shape, itemsize) for shape in seconds])
        self._costs = _fit(multiples, times)
        self.from_others: dict[Shape, float] = {}  # the seconds that are predicted at a shape from the other shapes
        self.errors: dict[Shape, float] = {}  # log(from_others / seconds)
        for i, shape in enumerate(seconds):
            others = np.arange(len(times)) != i
            self.from_others[shape] = float(multiples[i] @ _fit(multiples[others], times[others]))
            self.errors[shape] = math.log(self.from_others[shape] / seconds[shape])

    def at(self, shape: Shape) -> float:
        """Return the predicted seconds of a call; NaN if the shape is far from the measured shapes."""
        batch, dim = shape
        sizes = zip(self._limits, (batch, dim, batch * dim), strict=True)
        if not all(least <= size <= most for (least, most), size in sizes):
            return math.nan
        return float(_multiples(shape, self._itemsize) @ self._costs)


def likely_factor(errors: Iterable[float]) -> float:
    """Return the factor f: most predictions, a share of `LIKELY`, are from 1 / f to f times the measured values.

    `errors` are logarithms of the ratios of predicted to measured values. If there are fewer than `ENOUGH` errors,
    return the largest error as a factor, or `UNKNOWN` if this is larger.
    """
    sizes = sorted(map(abs, errors))
    if len(sizes) < ENOUGH:
        return max(UNKNOWN, math.exp(max(sizes, default=0.0)))
    return math.exp(sizes[math.ceil(LIKELY * (len(sizes) + 1)) - 1])  # + 1 for the error of the prediction


def _fit(multiples: Vector, times: Vector) -> Vector:
    """Return the costs that fit `times` best; `multiples` is how many times each cost occurs at each shape."""
    relative = multiples / times[:, np.newaxis]
    scale = relative.max(axis=0)
    scale[scale == 0] = 1
    return np.asarray(nnls(relative / scale, np.ones(len(times)), maxiter=MAX_STEPS)[0] / scale)


@lru_cache(maxsize=4096)
def _multiples(shape: Shape, itemsize: int) -> Vector:
    """Return how many times each cost of the model occurs in a call, in the order of this module's docstring.

    `itemsize` is the size of an element in bytes. Where arrays are about as large as a cache, some elements count as
    outside of the cache. Their share grows smoothly with the size of the arrays.
    """
    batch, dim = shape
    elements, rest = batch * dim, 1 + dim % (VECTORS // itemsize)  # at least 1, so that no cost is 0 at some shapes
    pairs = elements * dim
    many = _share_beyond(VECTORS, dim * itemsize, ROW_STEEPNESS)
    beyond = _share_beyond(CACHES, 3 * elements * itemsize)
    second_pass = _share_beyond(FIRST_LEVEL, 2 * dim * itemsize)
    matrices = _share_beyond(MATRIX_CACHES, pairs * itemsize)
    costs = [1, batch, dim, elements, batch * many, batch * rest]
    return np.array([*costs, *elements * beyond, elements * second_pass, pairs, *pairs * matrices])


def _share_beyond(size: Vector | float, used: float, steepness: float = STEEPNESS) -> Vector:
    return np.asarray(1 / (1 + (size / used) ** steepness))
