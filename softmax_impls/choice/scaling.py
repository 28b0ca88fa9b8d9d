"""How time grows with the size: exponents, measured and expected, and the sizes where another kernel becomes faster."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from softmax_impls.choice.measurements import Measurements
from softmax_impls.choice.ranking import RankedRun, interval

# p * (g - sum(g * p)) takes B·D steps. Jacobians have B·D² elements; the loop of the original program passes over them
# for each of the D classes.
THEORY = {"loop": {"batch": 1.0, "dim": 2.0}, "jacobian": {"batch": 1.0, "dim": 2.0}}
LINEAR = {"batch": 1.0, "dim": 1.0}
MIN_STEP = 4  # ratio of two sizes for an exponent
TOLERANCE = 0.1  # difference between exponents that is not reported
OTHER = {"batch": "dim", "dim": "batch"}


class _Point(NamedTuple):
    """The time of a kernel at a size, with an interval."""

    size: int
    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class Exponent:
    """The power of a size with which the time of an implementation grows, between its two largest cells."""

    implementation: str
    along: str  # the size that grows, "batch" or "dim"
    fixed: int  # the other size
    sizes: tuple[int, int]  # of the two cells
    dtype: str
    threads: int
    measured: float
    low: float  # an interval around it
    high: float
    theory: float  # the exponent of the number of operations

    @property
    def differs(self) -> bool:
        """Whether theory lies outside of the interval by more than `TOLERANCE`."""
        return not self.low - TOLERANCE <= self.theory <= self.high + TOLERANCE


@dataclass(frozen=True)
class Crossover:
    """A size beyond which another implementation is faster."""

    before: str  # the faster implementation at smaller sizes
    after: str
    along: str  # the size that grows, "batch" or "dim"
    fixed: int  # the other size
    dtype: str
    threads: int
    size: float
    low: float  # an interval around it
    high: float


def exponents(run: RankedRun, families: Mapping[str, str]) -> list[Exponent]:
    """Return the exponents in batch and dim of each implementation, each from the series with the largest cell.

    Parameters
    ----------
    run : RankedRun
    families : mapping of str to str
        The family of each implementation, which decides the exponent of theory.
    """
    found = []
    for dtype, threads in run.panels:
        measured = Measurements(run, dtype, threads)
        for name, along in itertools.product(sorted(measured.kernels), OTHER):
            steps = [(fixed, *step) for fixed, line in _series(measured, name, along).items() if (step := _step(line))]
            if not steps:
                continue
            fixed, a, b = max(steps, key=lambda step: step[0] * step[2].size)
            span = math.log(b.size / a.size)
            ratios = b.seconds / a.seconds, b.low / a.high, b.high / a.low
            value, low, high = (math.log(ratio) / span for ratio in ratios)
            theory = THEORY.get(families.get(name, ""), LINEAR)[along]
            found.append(Exponent(name, along, fixed, (a.size, b.size), dtype, threads, value, low, high, theory))
    return found


def crossovers(run: RankedRun, pair: tuple[str, str]) -> Iterator[Crossover]:
    """Yield the sizes where one of two implementations becomes faster than the other.

    On either side there is a cell where the faster implementation is clearly faster. The size is interpolated between
    these cells; its interval comes from the intervals of the times there, and ends at these cells.
    """
    for dtype, threads in run.panels:
        measured = Measurements(run, dtype, threads)
        for along in OTHER:
            first, second = (_series(measured, name, along) for name in pair)
            for fixed in sorted(first.keys() & second.keys()):
                for size, low, high, second_is_faster in _crossings(first[fixed], second[fixed]):
                    before, after = pair if second_is_faster else pair[::-1]
                    yield Crossover(before, after, along, fixed, dtype, threads, size, low, high)


def _series(measured: Measurements, name: str, along: str) -> dict[int, list[_Point]]:
    """Return the points of a kernel along one size, sorted, for each value of the other size."""
    series: dict[int, list[_Point]] = {}
    for (batch, dim), kernel in sorted(measured.kernels.get(name, {}).items()):
        size, fixed = (batch, dim) if along == "batch" else (dim, batch)
        if kernel.seconds is not None and (ends := interval(kernel)):
            series.setdefault(fixed, []).append(_Point(size, kernel.seconds, *ends))
    return series


def _step(line: list[_Point]) -> tuple[_Point, _Point] | None:
    """Return the largest point, and before it the next one that is smaller by `MIN_STEP`."""
    smaller = [point for point in line if point.size * MIN_STEP <= line[-1].size]
    return (smaller[-1], line[-1]) if smaller else None


def _crossings(first: list[_Point], second: list[_Point]) -> Iterator[tuple[float, float, float, bool]]:
    """Yield size, its interval, and whether the second kernel is the faster beyond it."""
    by_size = {point.size: point for point in second}
    pairs = [(a, by_size[a.size]) for a in first if a.size in by_size]
    clear = [(a, b) for a, b in pairs if a.high < b.low or b.high < a.low]
    for left, right in itertools.pairwise(clear):
        sizes = left[0].size, right[0].size
        ratios = [math.log(a.seconds / b.seconds) for a, b in (left, right)]
        if ratios[0] * ratios[1] < 0:
            lowest = [math.log(a.low / b.high) for a, b in (left, right)]
            highest = [math.log(a.high / b.low) for a, b in (left, right)]
            ends = sorted((_zero(sizes, lowest), _zero(sizes, highest)))
            yield _zero(sizes, ratios), ends[0], ends[1], ratios[1] > 0


def _zero(sizes: tuple[int, int], logs: list[float]) -> float:
    """Return the size where the logarithm of a ratio is zero, by linear interpolation over the logarithm of sizes."""
    x0, x1 = map(math.log, sizes)
    return math.exp(x0 + (x1 - x0) * logs[0] / (logs[0] - logs[1]))
