"""The records of tools/performance.py, and their file."""

from __future__ import annotations

import functools
import hashlib
import math
from pathlib import Path

import kept
import numpy as np
from msgspec import Struct

from softmax_impls.timing.environment import CHECKOUT
from softmax_impls.timing.records import Environment
from softmax_impls.timing.statistics import Ratio, quiet_ratio, quiet_rounds, selected

BACKWARD, FORWARD = "backward", "forward"

# The sides of a comparison. They write into `out`, unless they allocate their result.
OURS, OURS_ALLOCATING, OURS_SATURATED = "softmax_impls", "softmax_impls, allocating", "softmax_impls, saturated rows"
TORCH, TORCH_ALLOCATING = "torch", "torch, allocating"
PEERS = (TORCH, TORCH_ALLOCATING, "torch_compile", "jax", "numexpr")
ROWS, ROWS_SATURATED, ROOFLINE, LOOP = "numba_rows", "numba_rows, saturated rows", "roofline", "column_loop"


class Key(Struct, frozen=True):
    """A cell: a pass in one direction over an axis of an array, in one dtype, with a number of threads."""

    direction: str
    workload: str
    shape: tuple[int, ...]
    axis: int
    dtype: str
    threads: int

    @property
    def moved_bytes(self) -> int:
        """Bytes that every implementation moves: two reads and a write, or in the forward pass one read and a write."""
        return (3 if self.direction == BACKWARD else 2) * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def is_last(self) -> bool:
        """Whether the classes are on the last axis."""
        return self.axis == -1

    def __str__(self) -> str:
        shape = f"{self.workload} {'×'.join(map(str, self.shape))}" + ("" if self.is_last else f" axis={self.axis}")
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.direction} {shape} {self.dtype}{threads}"


LOOP_KEY = Key(BACKWARD, "custom", (128, 1000), -1, "float64", 1)  # the only cell in which the loop takes part


class Cell(Struct, frozen=True, tag="cell"):
    """The samples of a cell: sample i of each side is from round i, until the side was left out."""

    key: Key
    samples: dict[str, tuple[float, ...]]  # seconds of a call, by side
    disturbed: tuple[int, ...]  # rounds in which another program slowed this one down
    notes: dict[str, str]  # why a side has no samples
    sources: str  # fingerprint of the package that was measured

    def seconds(self, side: str) -> float:
        """Return the median of a side's samples."""
        return float(np.median(self.samples[side]))

    def ratio(self, side: str, other: str) -> Ratio:
        """Return the time of a side over the time of another, from the rounds that were not disturbed."""
        a, b = self.samples[side], self.samples[other]
        rounds = quiet_rounds(min(len(a), len(b)), self.disturbed)
        return quiet_ratio(selected(a, rounds), selected(b, rounds))


class Start(Struct, frozen=True, tag="start"):
    """Seconds that each step takes in a new process, for example "import numpy" or "small float64".

    `kind` is "nothing cached" or "cached": whether compiled code was in Numba's cache before.
    """

    kind: str
    seconds: dict[str, float]
    sources: str


class Compiled(Struct, frozen=True, tag="compiled"):
    """Seconds that functions take to compile, without the functions that they call."""

    seconds: dict[str, float]
    sources: str


class Errors(Struct, frozen=True, tag="errors"):
    """The largest errors of rows, relative to the largest exact element of the row, over inputs from several seeds.

    `worst` has them by name and then by input. The name is a way to call the package, or another library. The input is
    written as "dtype kind dim family".
    """

    seeds: int
    rows: int  # of each dtype
    worst: dict[str, dict[str, float]]
    sources: str


class Rest(Struct, frozen=True, tag="rest"):
    """The machine, the bytes by which a call raises a process's peak memory, and the lines of numba_simd.

    `lines` counts the files in simd/ and backward/numba_simd.py.
    """

    environment: Environment
    memory: dict[str, int]
    lines: int
    sources: str


Record = Cell | Start | Compiled | Errors | Rest


@functools.cache
def sources() -> str:
    """Return a fingerprint of the package."""
    files = sorted((CHECKOUT / "softmax_impls").rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def read(path: Path) -> list[Record]:
    """Return the records of a file. Of records with the same `identity`, only the last counts.

    If there is no file, the list is empty.
    """
    return list({identity(record): record for record in kept.read(path, Record)}.values())


def identity(record: Record) -> object:
    """Return the identity of a record: a later record replaces an earlier record with the same identity."""
    return record.key if isinstance(record, Cell) else (type(record), getattr(record, "kind", ""))
