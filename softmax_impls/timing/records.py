"""The record of a measured cell, as it is kept in results files.

A cell is a shape, a dtype and a number of threads. Its record holds the samples of each kernel, of the A/A control and
of the roofline, and the environment that they were measured in. Bounds are part of the types: decoding a file checks
them, and an error names the field.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from softmax_impls.implementation import Accuracy
from softmax_impls.timing.workloads import CellKey

SCHEMA = 2

# No control characters, and none that reverse the direction of text.
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_PRINTABLE)]
Note = Annotated[str, Meta(max_length=2000, pattern=_PRINTABLE)]
Size = Annotated[int, Meta(ge=1, le=2**40)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
Seconds = Annotated[float, Meta(ge=1e-12, le=1e6)]  # of a call that was made
PredictedSeconds = Annotated[float, Meta(gt=0, le=1e18)]  # of a call that may take longer than anybody waits
NonNegative = Annotated[float, Meta(ge=0, le=1e308)]
Dtype = Literal["float32", "float64"]
Tool = Literal["compare", "asv", "pytest-benchmark"]
Status = Literal["timed", "eliminated", "extrapolated", "pruned", "wrong", "failed"]
Samples = tuple[Seconds, ...]
Versions = Annotated[dict[Name, Name], Meta(max_length=50)]
Errors = Annotated[dict[Name, NonNegative | None], Meta(max_length=50)]


class Environment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The machine and the software that a cell was measured with.

    Attributes
    ----------
    machine : str
        Processor, number of cores and system: "znver4, 2 cores, Linux x86_64".
    memory_bytes : int
        Of the machine; 0 if it is not known.
    versions : dict of str to str
        Of Python and the packages that times depend on.
    commit : str or None
        Of the checkout, with "+changes" if it was edited.
    """

    machine: Name
    memory_bytes: Count = 0
    versions: Versions = msgspec.field(default_factory=dict)
    commit: Name | None = None


class KernelResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one kernel in one cell.

    Attributes
    ----------
    name : str
        Of the implementation.
    status : str
        "timed": measured to the end. "eliminated": measured until it was clearly slower than the fastest.
        "extrapolated": too slow to run; its time is predicted from smaller shapes. "pruned": not started, since it
        needs too much memory. "wrong": its result is wrong. "failed": it raised.
    note : str
        The reason for a status other than "timed".
    verified : bool
        Whether its result was right on the arrays that it was timed on.
    samples : tuple of float
        Seconds of a call, one sample for each round, from the first round on.
    seconds : float or None
        Median of the samples, or the extrapolated time.
    interval : tuple of float or None
        A confidence interval of the median, if the tool that measured it states one.
    calls_per_sample : int
        Calls that a sample is the mean of.
    discrepancy : float or None
        Largest error of the result on the timed arrays, as a multiple of its bound.
    temporary_bytes, peak_memory_bytes : int or None
        Temporary memory of a call, and peak memory of the process.
    accurate_for : {"probs", "logits"} or None
        See `softmax_impls.implementation.Implementation`.
    errors : dict of str to float or None
        Worst relative error of a row against the gradient with respect to the logits, for each kind of input.
    source : str
        Fingerprint of the file that defines the kernel.
    first_call_seconds : float
        Time of the first call beyond that of a second call: compiling, or loading from a cache.
    """

    name: Name
    status: Status = "timed"
    note: Note = ""
    verified: bool = False
    samples: Samples = ()
    seconds: PredictedSeconds | None = None
    interval: tuple[Seconds, Seconds] | None = None
    calls_per_sample: Size = 1
    discrepancy: NonNegative | None = None
    temporary_bytes: Count | None = None
    peak_memory_bytes: Count | None = None
    accurate_for: Accuracy | None = None
    errors: Errors = msgspec.field(default_factory=dict)
    source: Name = "?"
    first_call_seconds: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.status in ("timed", "eliminated") and not self.samples:
            raise ValueError(f"status {self.status!r} without samples")
        if self.samples and self.seconds is None:
            raise ValueError("samples without seconds")
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("an interval whose ends are exchanged")

    @property
    def ranked(self) -> bool:
        """Whether it was verified and timed, so that it can be ranked."""
        return self.verified and self.status in ("timed", "eliminated")

    @property
    def error(self) -> float:
        """The worst error over all kinds of input; NaN if none is known."""
        return max((error for error in self.errors.values() if error is not None), default=math.nan)


class Control(Struct, frozen=True, kw_only=True):
    """The A/A control: one of the kernels, timed a second time as if it were another.

    Attributes
    ----------
    name : str
        Of the kernel.
    samples : tuple of float
        Seconds of a call, one for each round.
    """

    name: Name
    samples: Samples


class Roofline(Struct, frozen=True, kw_only=True):
    """The time that moving the bytes takes: two reads and one write of (B, D), and no other work.

    Attributes
    ----------
    samples : tuple of float
        Seconds of a call, one for each round.
    """

    samples: Annotated[Samples, Meta(min_length=1)]

    @property
    def seconds(self) -> float:
        """Median of the samples."""
        return float(np.median(self.samples))


class Cell(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """A measured cell: its key, the result of every kernel, and the environment.

    Attributes
    ----------
    workload, batch, dim, dtype, threads
        The key, see `softmax_impls.timing.workloads.CellKey`.
    kernels : tuple of KernelResult
        One for each implementation that was to take part.
    control : Control or None
    roofline : Roofline or None
    blocks : tuple of int
        Rounds of each block, if the arrays were placed anew between blocks.
    tool : {"compare", "asv", "pytest-benchmark"}
        The tool that measured it. Only samples of "compare" are paired: sample i of each kernel is from round i.
    seed : int
        Of the inputs.
    time : datetime or None
        When it was measured, in UTC.
    compiler_start_seconds : float
        Time that Numba took to start.
    environment : Environment
    file : str
        The file that it was read from; not written.
    """

    workload: Name
    batch: Size
    dim: Size
    dtype: Dtype
    threads: Size
    environment: Environment
    kernels: Annotated[tuple[KernelResult, ...], Meta(min_length=1, max_length=1000)]
    control: Control | None = None
    roofline: Roofline | None = None
    blocks: tuple[Size, ...] = ()
    tool: Tool = "compare"
    seed: Count = 0
    time: Annotated[datetime.datetime, Meta(tz=True)] | None = None
    compiler_start_seconds: NonNegative = 0.0
    file: str = ""

    def __post_init__(self) -> None:
        if sum(self.blocks) > max(len(kernel.samples) for kernel in self.kernels):
            raise ValueError("more rounds in blocks than samples")

    @property
    def key(self) -> CellKey:
        """Shape, dtype and threads."""
        return CellKey(self.workload, self.batch, self.dim, self.dtype, self.threads)

    @property
    def by_name(self) -> Mapping[str, KernelResult]:
        """The results of the kernels by their names."""
        return {kernel.name: kernel for kernel in self.kernels}


def printable(text: str, longest: int) -> str:
    """Return text that a `Name` or a `Note` may hold: without control characters, and cut to `longest` characters."""
    return "".join(character if character.isprintable() else " " for character in text)[:longest]


def rounded(samples: Iterable[float]) -> Samples:
    """Return samples with six significant digits."""
    return tuple(float(f"{sample:.6g}") for sample in samples)


def finite(value: float | None, largest: float = 1e308) -> float | None:
    """Return a number if JSON and the bounds of a record allow it, else None."""
    return value if value is not None and 0 <= value <= largest else None
