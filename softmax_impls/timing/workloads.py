"""The shapes that are timed: named shapes of real models, and a grid that shows where the fastest kernel changes.

The asv suite runs this file under old commits, too, so it imports only `softmax` from this package.
"""

import difflib
import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls import softmax

Array = NDArray[np.floating[Any]]

DTYPES = ("float32", "float64")
GRID, CUSTOM = "grid", "custom"  # the workload names of cells of the grid, and of shapes that a user asks for


@dataclass(frozen=True)
class CellKey:
    """The key of a cell: its workload, shape, dtype and number of threads.

    `dim` is the number of classes, and `batch` is the product of all other sizes, also in a workload of `OTHER_AXES`.
    """

    workload: str
    batch: int
    dim: int
    dtype: str
    threads: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays."""
        return OTHER_AXES.get(self.workload, ((self.batch, self.dim), -1))[0]

    @property
    def axis(self) -> int:
        """Axis of the classes; -1 is the last."""
        return OTHER_AXES.get(self.workload, ((), -1))[1]

    @property
    def elements(self) -> int:
        """The number of elements of an array, B · D."""
        return self.batch * self.dim

    @property
    def moved_bytes(self) -> int:
        """Bytes that every implementation moves: two reads and one write of (B, D)."""
        return 3 * self.elements * np.dtype(self.dtype).itemsize

    @property
    def shape_text(self) -> str:
        """The shape and the axis, as "256×1000" or "64×10×100 axis=1"."""
        return "×".join(map(str, self.shape)) + (f" axis={self.axis}" if self.axis != -1 else "")

    def __str__(self) -> str:
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.workload} {self.shape_text} {self.dtype}{threads}"


WORKLOADS = {  # batch and dim: softmax over `dim` classes for each of `batch` rows
    "sample-10": (1, 10),  # one sample through a digits head: the call overhead
    "sample-1000": (1, 1000),  # one sample through an ImageNet head
    "digits": (128, 10),  # a batch through a digits head: short rows
    "router": (1024, 64),  # 1,024 tokens through a router to 64 experts: rows of a few vectors
    "imagenet": (256, 1000),  # a batch through an ImageNet head: fits the caches
    "attention": (6144, 512),  # 12 heads × 512 tokens attending to 512
    "bert": (512, 30522),  # 512 tokens over BERT's vocabulary: beyond the caches
    "gpt2": (512, 50257),  # 512 tokens over GPT-2's vocabulary: an odd row length, beyond the caches
}
OTHER_AXES = {  # shape, and the axis of the classes, which is not the last
    "segmentation": ((8, 21, 256, 256), 1),  # 21 classes for each pixel: beyond the caches
    "channels": ((64, 10, 100), 1),  # 10 classes for each step of a sequence: fits the caches
    "columns": ((1000, 4096), 0),  # the classes of a column are far apart in memory
}

# Powers of 16. Batch: one row (the call overhead), few rows, a batch, and more rows than a cache holds. Dim: less than
# two vectors (the cost of a row), a row in the first-level cache, a row that fills it, a row beyond the second level.
GRID_BATCHES = (1, 16, 256, 4096)
GRID_DIMS = (16, 256, 4096, 65536)
LARGEST_GRID_CELL = 2**24  # elements: 400 MB for the three arrays in float64
LARGEST_CELL = 250_000_000  # elements of a shape that a user asks for: 2 GB for each array in float64
LARGEST_DRAWN = 2**19  # random elements; larger arrays repeat rows, and are made in less than half the time
HEADER, PAGE, HUGE_PAGE = 16, 2**12, 2**21  # bytes: of malloc's header, of a page, of a huge page


def grid() -> list[tuple[int, int]]:
    """Return the shapes of the grid that fit into memory."""
    return [(b, d) for b, d in itertools.product(GRID_BATCHES, GRID_DIMS) if b * d <= LARGEST_GRID_CELL]


def select(names: Sequence[str] = (), shapes: Sequence[tuple[int, int]] = ()) -> list[tuple[str, int, int]]:
    """Return (name, batch, dim) of the workloads in `names` and of `shapes`; the name of each shape is `CUSTOM`.

    The name `GRID` stands for all shapes of the grid. Without arguments, return all of `WORKLOADS` and the grid.
    """
    names = names or ([] if shapes else [*WORKLOADS, GRID])
    named = [(name, *sizes(name)) for name in names if name != GRID]
    on_grid = [(GRID, *shape) for shape in grid()] if GRID in names else []
    return [*named, *on_grid, *((CUSTOM, *shape) for shape in shapes)]


def sizes(name: str) -> tuple[int, int]:
    """Return batch and dim of a named workload."""
    if name in WORKLOADS:
        return WORKLOADS[name]
    shape, axis = OTHER_AXES[name]
    return math.prod(shape) // shape[axis], shape[axis]


def cell_keys(
    names: Sequence[str], shapes: Sequence[tuple[int, int]], dtypes: Sequence[str], threads: Sequence[int]
) -> list[CellKey]:
    """Return the keys of cells: every workload or shape with every dtype and number of threads. No key repeats.

    `names` are names of workloads, and `shapes` are pairs (batch, dim), as in `select`. Raise ValueError if an argument
    is invalid.
    """
    try:
        shapes = [(_as_int(batch), _as_int(dim)) for batch, dim in shapes]
        threads = [_as_int(number) for number in threads]
    except (TypeError, ValueError):
        got = f"got shapes={shapes!r}, threads={threads!r}"
        raise ValueError(f"shapes must be pairs of integers (batch, dim), and threads integers; {got}") from None
    named = [*WORKLOADS, *OTHER_AXES, GRID]
    for argument, given, possible in (("workloads", names, named), ("dtypes", dtypes, DTYPES)):
        if unknown := [value for value in given if value not in possible]:
            close = difflib.get_close_matches(str(unknown[0]), possible, 1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{argument} must be of {', '.join(possible)}; got {unknown[0]!r}{meant}")
    for batch, dim in shapes:
        if not (batch >= 1 and dim >= 1 and batch * dim <= LARGEST_CELL):
            raise ValueError(f"batch and dim must be at least 1, with arrays of at most 2 GB; got {batch}×{dim}")
    keys = (
        CellKey(name, batch, dim, dtype, number)
        for number in threads
        for name, batch, dim in select(names, shapes)
        for dtype in dtypes
    )
    return list(dict.fromkeys(keys))


def _as_int(value: Any) -> int:
    """Return an integer of Python or NumPy as an int; raise TypeError for other types and for booleans."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def arrays(key: CellKey, seed: int) -> tuple[Array, Array, Array]:
    """Return probabilities, gradient and `out`, placed by `place`; the rows of large (B, D) arrays repeat."""
    rng, shape = np.random.default_rng([seed, *key.shape]), key.shape
    if key.axis == -1:
        shape = (drawn_rows(*shape), key.dim)
    draw = np.float32 if key.dtype == "float32" else np.float64
    logits, grad_output = (rng.standard_normal(shape, dtype=draw) for _ in range(2))
    return place(softmax(logits, axis=key.axis, out=logits), grad_output, key.shape[0])


def drawn_rows(batch: int, dim: int) -> int:
    """Return the number of rows of a (B, D) array that are drawn at random; further rows repeat them."""
    return max(1, min(batch, LARGEST_DRAWN // dim))


def place(probs: Array, grad_output: Array, batch: int) -> tuple[Array, Array, Array]:
    """Copy the inputs to new memory with a fixed placement; return the copies and a new `out`.

    All three arrays have the length `batch` on axis 0. If the inputs are shorter, the copies repeat them.

    Placement changes the time of a kernel by up to a third: a store can block a load that is 4 KiB away, and arrays can
    compete for a cache set. So each array starts 16 bytes into a page of its own, as NumPy's large arrays do.
    """
    shape, dim = (batch, *probs.shape[1:]), math.prod(probs.shape[1:])
    size, placed = batch * dim * probs.itemsize, []
    for offset in (HEADER, HEADER + PAGE, HEADER + 2 * PAGE):
        buffer = np.empty(max(size + offset + PAGE, HUGE_PAGE) + HUGE_PAGE, np.uint8)
        start = -buffer.ctypes.data % HUGE_PAGE + offset  # in the buffer's first whole huge page
        placed.append(buffer[start : start + size + PAGE].view(probs.dtype))
    for array, source in zip(placed, (probs, grad_output), strict=False):
        rows = array[: batch * dim].reshape(shape)
        for start in range(0, batch, len(source)):
            rows[start : start + len(source)] = source[: batch - start]
    placed[1][batch * dim :] = np.random.default_rng(0).standard_normal(PAGE // probs.itemsize)  # of `other_gradient`
    placed[2].fill(0)
    p, g, out = (array[: batch * dim].reshape(shape) for array in placed)
    return p, g, out


def other_gradient(grad_output: Array) -> Array:
    """Return a second gradient of the same shape: a view of the memory of `grad_output`, but one page (4 KiB) further.

    `grad_output` is a gradient from `place`, which also fills the page after the gradient with random numbers. Kernels
    are called with the two gradients in turn. So a kernel that leaves the result of the last call in `out` is wrong.
    The two gradients overlap, so together they take only a page more space in a cache than one gradient.
    """
    assert isinstance(grad_output.base, np.ndarray)
    first = grad_output.base.reshape(-1).view(np.uint8)
    offset = grad_output.ctypes.data - first.ctypes.data + PAGE
    return first[offset : offset + grad_output.nbytes].view(grad_output.dtype).reshape(grad_output.shape)


def checksum(*arrays: Array) -> tuple[int, ...]:
    """Return a sum for each array, of its elements' bits as integers; it changes when an element changes."""
    return tuple(int(array.reshape(-1).view(f"u{array.itemsize}").sum()) for array in arrays)
