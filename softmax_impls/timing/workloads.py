"""The shapes that are timed: named ones that real models have, and a grid that shows where the answer changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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
HEADER, PAGE, HUGE_PAGE = 16, 2**12, 2**21  # bytes: what malloc keeps before a block; of memory, here and elsewhere
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
    """Return probabilities, gradient and an `out` to write, placed and touched: (B, D) each.

    In large ones, rows repeat after a while: that takes 0.7 of the time of drawing them all (512×50257 float64).
    """
    rng = np.random.default_rng([seed, cell.rows, cell.classes])
    draw = np.float32 if cell.dtype == "float32" else np.float64
    drawn = (max(1, min(cell.rows, MOST_DRAWN // max(1, cell.classes))), cell.classes)
    logits = rng.standard_normal(drawn, dtype=draw)
    return placed(softmax(logits, out=logits), rng.standard_normal(drawn, dtype=draw), cell.rows)


def placed(probs: Array, grad_output: Array, rows: int) -> tuple[Array, Array, Array]:
    """Copy into new memory, rows repeated as often as it takes; returns probabilities, gradient and an `out`.

    Where arrays happen to lie makes a kernel up to a third slower: a store then seems to hit what is loaded next, four
    kilobytes away, or two arrays want the same part of a cache. Left to chance, that decides who wins. So each of them
    begins where large arrays of NumPy do, 16 bytes into a page, but on pages, and parts of the cache, of its own.
    """
    found = [_empty((rows, probs.shape[1]), probs.dtype, HEADER + number * PAGE) for number in range(3)]
    for array, source in zip(found, (probs, grad_output), strict=False):
        for start in range(0, rows, max(1, len(source))):
            array[start : start + len(source)] = source[: rows - start]
    found[2].fill(0)
    return found[0], found[1], found[2]


def _empty(shape: tuple[int, int], dtype: np.dtype[Any], offset: int) -> Array:
    """Return an array that begins so many bytes into a huge page, which NumPy asks the system for in large buffers."""
    size = math.prod(shape) * dtype.itemsize
    buffer = np.empty(max(size + offset, HUGE_PAGE) + HUGE_PAGE, np.uint8)
    start = -buffer.ctypes.data % HUGE_PAGE + offset
    return buffer[start : start + size].view(dtype).reshape(shape)


def fingerprint(*arrays: Array) -> tuple[int, ...]:
    """Return something small that changes when the arrays do: the sum of the elements' bits."""
    return tuple(int(array.reshape(-1).view(f"u{array.itemsize}").sum()) for array in arrays)
