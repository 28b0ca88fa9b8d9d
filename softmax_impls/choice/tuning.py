"""From measured times to a rule of a few lines, and what following it costs on shapes that it was not made from.

A line is worth having if it saves time over all cells together. Lines are grown like a decision tree, always the split
that saves most, and read from top to bottom: the first that holds decides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from softmax_impls import tuned
from softmax_impls.choice.ranking import Ranked
from softmax_impls.dispatch import COMPILED
from softmax_impls.timing.ceremony import Ceremony
from softmax_impls.timing.entry import DROPPED, TIMED
from softmax_impls.timing.workloads import CUSTOM, Cell
from softmax_impls.tuned import CONDITIONS, Line

MOST_LINES = 8
WORTH_A_LINE = 0.005  # of the time of a call, in the mean over all cells: what a line has to save
FEWEST = 2  # cells for a line
BUILT_IN = (Line(COMPILED),)
Conditions = tuple[tuple[str, int], ...]
EXTENT, LARGEST = ((0, 2.5), (12.5, 15.5)), 2**22  # of shapes: log2 of batch and dim, and elements


@dataclass(frozen=True)
class Sample:
    """One cell, and the seconds of a public call by each that may be picked.

    Attributes
    ----------
    rows, classes, itemsize, threads : int
    seconds : mapping of str to float
        Where a rule is asked what to pick.
    built_in : float
        By the built-in rule, which is not.
    """

    rows: int
    classes: int
    itemsize: int
    threads: int
    seconds: Mapping[str, float]
    built_in: float

    @property
    def best(self) -> float:
        """The seconds of the fastest."""
        return min(self.built_in, *self.seconds.values())

    def value(self, condition: str) -> int:
        """Return what a condition looks at."""
        return self.rows * self.classes if condition == "elements" else int(getattr(self, condition))

    def regret(self, name: str) -> float:
        """Return the time of one over that of the fastest; inf if it was not timed."""
        return self.seconds.get(name, math.inf) / self.best


def shapes(seed: int, number: int = 20) -> list[tuple[int, int]]:
    """Return that many shapes, spread over sizes by the logarithm; those of another seed are to judge by.

    Not powers of two: those lie in caches and vectors as few others do.
    """
    points = qmc.scale(qmc.Halton(2, rng=seed).random(4 * number), *EXTENT)
    drawn = np.exp2(points).round().astype(int).tolist()
    return [(b, d) for b, d in drawn if b * d <= LARGEST][:number]


def cells(shapes: Sequence[tuple[int, int]], threads: Sequence[int]) -> list[Cell]:
    """Return the cells of these shapes, in both dtypes."""
    return [Cell(CUSTOM, b, d, dtype, n) for n in threads for b, d in shapes for dtype in ("float32", "float64")]


def samples(ranked: Sequence[Ranked], ceremony: Ceremony) -> list[Sample]:
    """Return what a rule is made from, the cells in which what the built-in rule picks was timed.

    Times within a cell are put together from ratios, which the noise of the machine moves less.
    """
    found = []
    for one in ranked:
        timed = [name for name, row in one.rows.items() if row["status"] in (TIMED, DROPPED)]
        times = {name: one.seconds * one.times_best(name) for name in timed if one.standing}
        if COMPILED in times:
            seconds = {n: t + (ceremony.default if n == COMPILED else ceremony.other) for n, t in times.items()}
            built_in = times[COMPILED] + ceremony.built_in
            itemsize = np.dtype(one.cell.dtype).itemsize
            found.append(Sample(one.cell.rows, one.cell.classes, itemsize, one.cell.threads, seconds, built_in))
    return found


class _Leaf:
    """Some of the cells, by their indices, and what would be picked for all of them."""

    def __init__(self, table: _Table, at_most: Conditions, cells: NDArray[np.intp]) -> None:
        self.table, self.at_most, self.cells = table, at_most, cells
        costs = table.costs[cells].sum(axis=0)
        self.cost, self.pick = costs.min(), table.names[int(costs.argmin())]

    def splits(self) -> Iterator[tuple[_Leaf, _Leaf]]:
        """Yield every way to give some of the cells a line of their own, before that of the others."""
        for condition, all_values in self.table.values.items():
            values = all_values[self.cells]
            for below, above in itertools.pairwise(sorted(set(values.tolist()))):
                low, high = self.cells[values <= below], self.cells[values > below]
                if min(len(low), len(high)) >= FEWEST:
                    most = below if condition in ("itemsize", "threads") else math.isqrt(below * above)
                    kept = tuple(one for one in self.at_most if one[0] != condition)  # the new bound is the narrower
                    yield _Leaf(self.table, (*kept, (condition, most)), low), _Leaf(self.table, self.at_most, high)

    def best_split(self, deeper: bool = True) -> tuple[float, tuple[_Leaf, _Leaf]] | None:
        """Return what the best split saves for each line it takes, and the split.

        One that saves nothing may make way for one that does: two are tried in a row.
        """
        found = None
        for low, high in self.splits():
            saved = self.cost - low.cost - high.cost
            if deeper:
                further = max((split[0] for side in (low, high) if (split := side.best_split(False))), default=0.0)
                saved = max(saved, (saved + further) / 2)
            if found is None or saved > found[0]:
                found = saved, (low, high)
        return found


class _Table:
    """The samples as arrays: logarithms of regrets by cell and name, and what conditions look at."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.names = [COMPILED, *sorted({name for sample in samples for name in sample.seconds} - {COMPILED})]
        self.costs = np.log([[sample.regret(name) for name in self.names] for sample in samples])
        self.values = {name: np.array([sample.value(name) for sample in samples]) for name in CONDITIONS}


def fit(samples: Sequence[Sample]) -> tuple[Line, ...]:
    """Return the lines of a rule; a single one, what the built-in rule picks, if others don't pay for being asked."""
    leaves = [_Leaf(_Table(samples), (), np.arange(len(samples)))]
    while len(leaves) < MOST_LINES:
        splits = [(*split, index) for index, leaf in enumerate(leaves) if (split := leaf.best_split())]
        if not splits:
            break
        saved, pair, index = max(splits, key=lambda split: split[0])
        if saved < WORTH_A_LINE * len(samples):
            break
        leaves[index : index + 1] = pair
    lines = _shortened([Line(leaf.pick, leaf.at_most) for leaf in leaves])
    gain = np.log(regrets(BUILT_IN, samples)).mean() - np.log(regrets(lines, samples)).mean()
    return lines if gain > WORTH_A_LINE else BUILT_IN


def _shortened(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Leave out lines that the rest says as well: those before the last that pick what it picks."""
    found = list(lines)
    while len(found) > 1 and found[-2].impl == found[-1].impl:
        del found[-2]
    return tuple(found)


def regrets(lines: Sequence[Line], samples: Sequence[Sample]) -> list[float]:
    """Return for each cell the time of what the rule picks over that of the fastest."""
    asked_above = tuned.asked_above(lines, COMPILED)
    found = []
    for one in samples:
        if asked_above is None or one.rows * one.classes <= asked_above:
            found.append(one.built_in / one.best)
            continue
        picked = next(line.impl for line in lines if line.holds(one.rows, one.classes, one.itemsize, one.threads))
        found.append(one.regret(picked))
    return found


def in_figures(regrets: Sequence[float]) -> dict[str, float]:
    """Return what is told of regrets."""
    return {
        "cells": len(regrets),
        "median": float(np.median(regrets)),
        "p95": float(np.quantile(regrets, 0.95)),
        "worst": float(np.max(regrets)),
    }
