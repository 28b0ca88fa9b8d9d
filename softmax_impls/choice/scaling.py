"""How time grows with the size: measured exponents beside those of theory, and where one overtakes another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

# Arithmetic: p (g - Σ g p) takes B·D steps. Jacobians have B·D² elements, and the source's loop passes over all of them
# for each of D classes.
THEORY = {"loop": {"batch": 1.0, "dim": 2.0}, "jacobian": {"batch": 1.0, "dim": 2.0}}
LINEAR = {"batch": 1.0, "dim": 1.0}
LEAST_STEP = 4  # between sizes, for an exponent
TOLERANCE = 0.1  # an exponent that much off is worth a word
ALONG, ACROSS = ("batch", "dim"), {"batch": "dim", "dim": "batch"}
SERIES = ["implementation", "dtype", "threads"]


@dataclass(frozen=True)
class Exponent:
    """How an implementation's time grows along one axis, between its two largest cells."""

    implementation: str
    along: str  # batch or dim
    fixed: int  # the other one
    sizes: tuple[int, int]
    dtype: str
    threads: int
    measured: float
    low: float
    high: float
    theory: float

    @property
    def differs(self) -> bool:
        """Whether theory and measurement differ by more than samples and `TOLERANCE` explain."""
        return not self.low - TOLERANCE <= self.theory <= self.high + TOLERANCE


@dataclass(frozen=True)
class Crossover:
    """Where one implementation overtakes another, as the size grows along one axis."""

    before: str
    after: str
    along: str
    fixed: int
    dtype: str
    threads: int
    size: float
    low: float
    high: float


def exponents(frame: pd.DataFrame, families: Mapping[str, str]) -> list[Exponent]:
    """Return the exponents in B and in D of each implementation, from its series that reaches furthest.

    Parameters
    ----------
    frame : DataFrame
        What one tool measured on one machine; with the columns of `softmax_impls.results.frame`.
    families : mapping of str to str
        The family of each implementation, which theory goes by.
    """
    found = []
    groups: Any = frame.groupby(SERIES)
    for (name, dtype, threads), rows in groups:
        for along in ALONG:
            steps = [step for _, line in _lines(rows, along) for step in _last_step(line, along)]
            if steps:
                a, b = max(steps, key=lambda step: step[1].batch * step[1].dim)
                span = math.log(b[along] / a[along])
                ends = (b["median"], a["median"]), (b.low, a.high), (b.high, a.low)
                value, low, high = (math.log(t / s) / span for t, s in ends)
                theory = THEORY.get(families.get(name, ""), LINEAR)[along]
                sizes = int(a[along]), int(b[along])
                fixed = int(a[ACROSS[along]])
                found.append(Exponent(name, along, fixed, sizes, dtype, threads, value, low, high, theory))
    return found


def _last_step(line: pd.DataFrame, along: str) -> Iterator[tuple[Any, Any]]:
    """Yield, if there are two that far apart, the largest cell of a series and the next one smaller by `LEAST_STEP`."""
    known = line[line.low.notna()]
    smaller = known[known[along] * LEAST_STEP <= known[along].max()]
    if len(smaller):
        yield smaller.iloc[-1], known.iloc[-1]


def crossovers(frame: pd.DataFrame, candidates: tuple[str, str]) -> Iterator[Crossover]:
    """Yield where one of two overtakes the other, both clearly faster on their side, along each series of sizes.

    The size is interpolated between the two cells on either side, the interval by the ends of their medians' intervals;
    those cells are its widest. Where neither is clearly faster, no side is taken.
    """
    groups: Any = frame.groupby(["dtype", "threads"])
    for (dtype, threads), rows in groups:
        for along in ALONG:
            first, second = (dict(_lines(rows[rows.implementation == name], along)) for name in candidates)
            for fixed in sorted(first.keys() & second.keys()):
                both = first[fixed].merge(second[fixed], on=["batch", "dim"], suffixes=("_a", "_b"))
                for size, low, high, is_second in _crossings(both, along):
                    before, after = candidates if is_second else candidates[::-1]
                    yield Crossover(before, after, along, fixed, dtype, threads, size, low, high)


def _lines(rows: pd.DataFrame, along: str) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield series that differ in one size only, sorted by it; of a cell measured twice, the faster."""
    groups: Any = rows.groupby(ACROSS[along])
    for fixed, line in groups:
        yield fixed, line.sort_values("median").drop_duplicates(along).sort_values(along)


def _crossings(both: pd.DataFrame, along: str) -> Iterator[tuple[float, float, float, bool]]:
    """Yield size, interval and whether the second one is the faster beyond it."""
    sure = both[(both.high_a < both.low_b) | (both.high_b < both.low_a)]
    for left, right in itertools.pairwise(sure.to_dict("records")):
        ratios = [math.log(row["median_a"] / row["median_b"]) for row in (left, right)]
        if ratios[0] * ratios[1] >= 0:
            continue
        x0, x1 = math.log(left[along]), math.log(right[along])

        def zero(y0: float, y1: float, x0: float = x0, x1: float = x1) -> float:
            return math.exp(x0 + (x1 - x0) * y0 / (y0 - y1))

        ends = [
            zero(math.log(left[a] / left[b]), math.log(right[a] / right[b]))
            for a, b in (("low_a", "high_b"), ("high_a", "low_b"))
        ]
        yield zero(*ratios), min(ends), max(ends), ratios[1] > 0
