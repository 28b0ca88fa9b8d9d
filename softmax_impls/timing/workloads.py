"""The shapes that are timed: named ones that real models have, and a grid that shows where the answer changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from softmax_impls.api import softmax
from softmax_impls.contract import Array


@dataclass(frozen=True)
class Workload:
    """A shape with a name: `rows` (B) softmaxes over `classes` (D)."""

    name: str
    rows: int
    classes: int
    purpose: str


@dataclass(frozen=True)
class Cell:
    """One thing to measure: a shape in a dtype with a number of threads."""

    workload: str
    rows: int
    classes: int
    dtype: str
    threads: int

    @property
    def elements(self) -> int:
        """B · D."""
        return self.rows * self.classes

    @property
    def moved_bytes(self) -> int:
        """What no implementation can avoid to move: two reads and one write of (B, D)."""
        return 3 * self.elements * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.workload} {self.rows}×{self.classes} {self.dtype}{threads}"


WORKLOADS = {
    one.name: one
    for one in (
        Workload("sample-10", 1, 10, "one sample through a digits head: the cost of a call"),
        Workload("sample-1000", 1, 1000, "one sample through an ImageNet head"),
        Workload("digits", 128, 10, "a batch through a digits head: short rows"),
        Workload("imagenet", 256, 1000, "a batch through an ImageNet head: fits the caches"),
        Workload("attention", 6144, 512, "12 heads × 512 tokens attending to 512"),
        Workload("bert", 512, 30522, "512 tokens over BERT's vocabulary: beyond the caches"),
        Workload("gpt2", 512, 50257, "512 tokens over GPT-2's vocabulary: an odd row length, beyond the caches"),
    )
}

# Powers of 16. Rows: one (the cost of a call), few, a batch, many (more than a cache holds). Classes: fewer than a
# vector or two (the cost of a row), a row in the first-level cache, one that fills it, one beyond the second level.
GRID_ROWS = (1, 16, 256, 4096)
GRID_CLASSES = (16, 256, 4096, 65536)
GRID_LARGEST = 2**24  # elements: 400 MB for the three arrays in float64
MOST_DRAWN = 2**21  # elements of an array that are random numbers of their own
GRID, CUSTOM = "grid", "custom"  # cells without a name: of the grid, or asked for by shape


def grid(rows: Iterable[int] = GRID_ROWS, classes: Iterable[int] = GRID_CLASSES) -> list[Workload]:
    """Return the cells of the grid that fit."""
    classes = tuple(classes)
    return [Workload(GRID, b, d, "a cell of the grid") for b in rows for d in classes if b * d <= GRID_LARGEST]


def chosen(names: Sequence[str], shapes: Sequence[tuple[int, int]]) -> list[Workload]:
    """Return the workloads of these names, the grid for its own, and these shapes; all there are if none is given."""
    if not (names or shapes):
        names = [*WORKLOADS, GRID]
    named = [WORKLOADS[name] for name in names if name != GRID]
    return [*named, *(grid() if GRID in names else []), *(Workload(CUSTOM, b, d, "asked for") for b, d in shapes)]


def arrays(cell: Cell, seed: int) -> tuple[Array, Array, Array]:
    """Return probabilities, gradient and an `out` to write, all of them touched: (B, D) each.

    In large ones, rows repeat after a while: that takes 0.7 of the time of drawing them all (512×50257 float64).
    """
    rng = np.random.default_rng([seed, cell.rows, cell.classes])
    shape, dtype = (cell.rows, cell.classes), np.dtype(cell.dtype)
    draw = np.float32 if dtype == np.float32 else np.float64
    drawn = (max(1, min(cell.rows, MOST_DRAWN // max(1, cell.classes))), cell.classes)
    logits = rng.standard_normal(drawn, dtype=draw)
    probs, grad_output = softmax(logits, out=logits), rng.standard_normal(drawn, dtype=draw)
    return np.resize(probs, shape), np.resize(grad_output, shape), np.zeros(shape, dtype)


def fingerprint(*arrays: Array) -> tuple[bytes, ...]:
    """Return something small that changes when the arrays do: exclusive or and sum of the elements' bits."""
    return tuple(
        np.array([np.bitwise_xor.reduce(bits), bits.sum()]).tobytes()
        for bits in (array.reshape(-1).view(np.uint32 if array.itemsize == 4 else np.uint64) for array in arrays)
    )
