"""How time grows with the size: exponents, measured and expected, and the sizes where another kernel becomes faster."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from softmax_impls.choice.measurements import Measurements
from softmax_impls.choice.model import Vector
from softmax_impls.choice.ranking import RankedRun
from softmax_impls.implementation import QUADRATIC
from softmax_impls.results.runs import interval_of

SIZES = ("batch", "dim")
MIN_STEP = 4  # smallest ratio of two sizes from which an exponent is computed
TOLERANCE = 0.1  # largest difference between two exponents that is not reported

Line = dict[int, Vector]  # by size: logarithms of the time of a kernel and of both ends of its interval


class Exponent(NamedTuple):
    """The power of batch or dim with which the time of an implementation grows, from one cell to a larger cell."""

    implementation: str
    along: str  # the size that grows, "batch" or "dim"
    sizes: tuple[int, int]  # of the two cells
    dtype: str
    threads: int
    theory: float  # the exponent of the number of operations
    measured: float
    low: float  # from `low` to `high`: an interval around `measured`
    high: float

    @property
    def differs(self) -> bool:
        """Whether the exponent `theory` is outside of the interval of `measured` by more than `TOLERANCE`."""
        return not self.low - TOLERANCE <= self.theory <= self.high + TOLERANCE


class Crossover(NamedTuple):
    """A size beyond which another implementation is faster."""

    before: str  # the faster implementation at smaller sizes
    after: str  # the faster implementation at larger sizes
    along: str  # the size that grows, "batch" or "dim"
    fixed: int  # the other size
    dtype: str
    threads: int
    size: float  # at which both take the same time
    low: float  # from `low` to `high`: an interval around `size`
    high: float


def exponents(run: RankedRun, families: Mapping[str, str]) -> list[Exponent]:
    """Return the powers of batch and dim with which times grow, for each implementation, dtype and number of threads.

    A line is a set of cells that differ in one size only. An exponent is computed from two cells of a line: the largest
    cell, and the largest of the cells that are smaller by a factor of `MIN_STEP` or more. If several lines have two
    such cells, the line that reaches the largest size is used.

    `families` has the family of each implementation. In the families in `QUADRATIC`, the number of operations grows
    with the square of dim, so that the exponent `theory` is 2; otherwise it is 1.
    """
    found = []
    for panel in _panels(run):
        for name, along in itertools.product(sorted(panel.kernels), SIZES):
            steps = []  # for each line: elements of its largest cell, smaller size, larger size, and the line
            for fixed, line in _lines(panel, name, along).items():
                large = max(line)
                if smaller := [size for size in line if size * MIN_STEP <= large]:
                    steps.append((fixed * large, max(smaller), large, line))
            if steps:
                _, small, large, line = max(steps, key=lambda step: step[0])
                power = _log_ratio(line[large], line[small]) / math.log(large / small)
                theory = 2.0 if along == "dim" and families.get(name) in QUADRATIC else 1.0
                found.append(Exponent(name, along, (small, large), panel.dtype, panel.threads, theory, *power.tolist()))
    return found


def crossovers(run: RankedRun, names: Sequence[str]) -> Iterator[Crossover]:
    """Yield the sizes, with intervals, where an implementation becomes faster than another, for all pairs of `names`.

    Each size is interpolated between two cells. In the smaller cell, one implementation is clearly faster. In the
    larger cell, the other is clearly faster. Cells between them without a clear difference are skipped.
    """
    for pair, panel, along in itertools.product(itertools.combinations(names, 2), _panels(run), SIZES):
        first, second = (_lines(panel, name, along) for name in pair)
        for fixed in sorted(first.keys() & second.keys()):
            a, b = first[fixed], second[fixed]
            ratios = [(math.log(size), _log_ratio(a[size], b[size])) for size in a if size in b]
            clear = [(x, ratio) for x, ratio in ratios if ratio[1] > 0 or ratio[2] < 0]
            for (x0, left), (x1, right) in itertools.pairwise(clear):
                if left[0] * right[0] < 0:
                    # The ratio is 1 where its logarithm, interpolated linearly over the logarithm of the size, is 0.
                    size, *ends = np.exp(x0 + (x1 - x0) * left / (left - right)).tolist()
                    before, after = pair if right[0] > 0 else pair[::-1]
                    yield Crossover(before, after, along, fixed, panel.dtype, panel.threads, size, min(ends), max(ends))


def _panels(run: RankedRun) -> Iterator[Measurements]:
    """Yield the measurements of each number of threads and dtype."""
    for threads, dtype in sorted({(cell.key.threads, cell.key.dtype) for cell in run.cells}):
        yield Measurements(run, dtype, threads)


def _lines(panel: Measurements, name: str, along: str) -> dict[int, Line]:
    """Return the lines of the kernel `name` along one size. The other size is fixed on a line, and is the line's key.

    `along` is the size that changes, "batch" or "dim". Cells without an interval of the time are left out.
    """
    lines: dict[int, Line] = {}
    for (batch, dim), kernel in sorted(panel.kernels.get(name, {}).items()):
        size, fixed = (batch, dim) if along == "batch" else (dim, batch)
        if kernel.seconds is not None and (ends := interval_of(kernel)):
            lines.setdefault(fixed, {})[size] = np.log([kernel.seconds, *ends])
    return lines


def _log_ratio(a: Vector, b: Vector) -> Vector:
    """Return the logarithm of a ratio of two times, and the logarithms of both ends of the ratio's interval.

    `a` has three logarithms: of the first time, and of the lower and the upper end of its interval. `b` has the same
    for the second time. The ratio is the first time divided by the second. Its lower end is the lower end of the first
    time divided by the upper end of the second time, and the reverse for its upper end.
    """
    return a - b[[0, 2, 1]]
