"""The record of a measured cell, as it is kept in results files.

When a file is decoded, each value has to be in the range of its type. A `Size`, for example, is from 1 to 2**40.
"""

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace

from softmax_impls.implementation import Accuracy
from softmax_impls.timing.statistics import blocks_of, quiet_rounds, selected
from softmax_impls.timing.workloads import CellKey

SCHEMA = 3  # version of the record; in version 2, kernels were timed without the public call

# No control characters, none that reverse the direction of text, and no surrogates, which cannot be encoded.
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]*$"

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_PRINTABLE)]
Note = Annotated[str, Meta(max_length=2000, pattern=_PRINTABLE)]
Size = Annotated[int, Meta(ge=1, le=2**40)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
Seconds = Annotated[float, Meta(ge=1e-12, le=1e6)]  # of a call that was made
PredictedSeconds = Annotated[float, Meta(gt=0, le=1e18)]  # of a call that may take longer than anybody waits
NonNegative = Annotated[float, Meta(ge=0, le=1e308)]
Dtype = Literal["float32", "float64"]
Tool = Literal["compare", "asv", "pytest-benchmark"]
Samples = tuple[Seconds, ...]  # of a call, one sample for each round, from the first round on
Versions = Annotated[dict[Name, Name], Meta(max_length=50)]
Errors = Annotated[dict[Name, NonNegative | None], Meta(max_length=50)]
Status = Literal[
    "timed",  # measured to the end
    "eliminated",  # measured until it was clearly slower than the fastest
    "extrapolated",  # too slow to run; its time is predicted from smaller shapes
    "pruned",  # not started, since it needs too much memory
    "wrong",  # its result is wrong
    "failed",  # it raised
]


class Environment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The machine and the software of a measurement."""

    machine: Name  # processor, number of cores and system: "znver4, 2 cores, Linux x86_64"
    host: Note = ""  # the name of the machine, which tells machines with the same processor apart; "" if not known
    memory_bytes: Count = 0  # of the machine; 0 if it is not known
    versions: Versions = msgspec.field(default_factory=dict)  # of Python and the packages that times depend on
    commit: Name | None = None  # of the checkout, with "+changes" if it was edited


class KernelResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one kernel in one cell."""

    name: Name
    status: Status = "timed"
    note: Note = ""  # the reason for a status other than "timed"
    verified: bool = False  # its result was right on the arrays that it was timed on
    samples: Samples = ()
    seconds: PredictedSeconds | None = None  # median of the samples, or the extrapolated time
    interval: tuple[Seconds, Seconds] | None = None  # confidence interval of the median, if the tool states it
    calls_per_sample: Size = 1  # a sample is the mean time of this number of calls
    discrepancy: NonNegative | None = None  # largest error on the timed arrays, as a multiple of its bound
    temporary_bytes: Count | None = None  # of a call
    peak_memory_bytes: Count | None = None  # of the process
    accurate_for: Accuracy | None = None
    errors: Errors = msgspec.field(default_factory=dict)  # worst relative error of a row, for each kind of input
    source: Name = "?"  # fingerprint of the file that defines the kernel
    spec: Note = ""  # of a user's kernel: "package.module:function"
    first_call_seconds: NonNegative = 0.0  # by which a first call takes longer than a second: it compiles or loads

    def __post_init__(self) -> None:
        if self.status in ("timed", "eliminated") and not self.samples:
            raise ValueError(f"status {self.status!r} without samples")
        if self.samples and self.seconds is None:
            raise ValueError("samples without seconds")
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("an interval whose ends are exchanged")

    @property
    def ranked(self) -> bool:
        """Whether the kernel was verified and timed, so that it can be ranked."""
        return self.verified and self.status in ("timed", "eliminated")

    @property
    def error(self) -> float:
        """The largest of `errors`; NaN if no error is known."""
        return max((error for error in self.errors.values() if error is not None), default=math.nan)


class Control(Struct, frozen=True, kw_only=True):
    """The A/A control: one of the kernels, timed a second time as if it were another kernel."""

    name: Name  # of the kernel
    samples: Samples


class Roofline(Struct, frozen=True, kw_only=True):
    """The time that moving the bytes takes: two reads and one write of (B, D), and no other work."""

    samples: Annotated[Samples, Meta(min_length=1)]

    @property
    def seconds(self) -> float:
        """Median of the samples."""
        return float(np.median(self.samples))


Reference = TypeVar("Reference", Control, Roofline)


class Cell(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """A measured cell: its key, the result of every kernel, and the environment."""

    workload: Name
    batch: Size
    dim: Size
    dtype: Dtype
    threads: Size
    environment: Environment
    kernels: Annotated[tuple[KernelResult, ...], Meta(min_length=1, max_length=1000)]
    control: Control | None = None
    roofline: Roofline | None = None
    blocks: tuple[Size, ...] = ()  # rounds of each block, if the arrays were placed anew between blocks
    disturbed: tuple[Count, ...] = ()  # indices of rounds in which another program slowed the processor down
    tool: Tool = "compare"  # only samples of "compare" are paired: sample i of each kernel is from round i
    seed: Count = 0  # of the inputs
    time: Annotated[datetime.datetime, Meta(tz=True)] | None = None  # in UTC, when the measurement of the cell started
    concurrency: NonNegative | None = None  # of several threads, how many ran at the same time; fewer on a busy machine
    compiler_start_seconds: NonNegative = 0.0  # that Numba took to start
    file: str = ""  # that the cell was read from; not written

    def __post_init__(self) -> None:
        if sum(self.blocks) > max(len(kernel.samples) for kernel in self.kernels):
            raise ValueError("more rounds in blocks than samples")

    @property
    def key(self) -> CellKey:
        """Workload, shape, dtype and number of threads."""
        return CellKey(self.workload, self.batch, self.dim, self.dtype, self.threads)

    @property
    def is_busy(self) -> bool:
        """Whether so many rounds were disturbed that a comparison is not sure."""
        return bool(self.disturbed) and self.undisturbed() is self

    def undisturbed(self) -> Self:
        """Return the cell with only the samples of quiet rounds; the cell itself if all are quiet, or too few."""
        total = max(len(kernel.samples) for kernel in self.kernels)
        rounds = quiet_rounds(total, self.disturbed)
        if len(rounds) == total:
            return self

        def of(kernel: KernelResult) -> KernelResult:  # a kernel eliminated early may have no quiet rounds
            samples = tuple(selected(kernel.samples, rounds) or kernel.samples[:1])
            return replace(kernel, samples=samples, seconds=float(np.median(samples))) if samples else kernel

        def of_reference(reference: Reference) -> Reference:  # it has only the first rounds, which may all be disturbed
            fastest = sorted(reference.samples)[:1]
            return replace(reference, samples=tuple(selected(reference.samples, rounds) or fastest))

        return replace(
            self,
            kernels=tuple(map(of, self.kernels)),
            control=self.control and of_reference(self.control),
            roofline=self.roofline and of_reference(self.roofline),
            blocks=blocks_of(self.blocks, rounds),
            disturbed=(),
        )

    @property
    def by_name(self) -> Mapping[str, KernelResult]:
        """The result of each kernel, by the name of the kernel."""
        return {kernel.name: kernel for kernel in self.kernels}


def storable(text: str, longest: int) -> str:
    """Return text that a `Name` or a `Note` may hold: without control characters, and cut to `longest` characters."""
    return "".join(character if character.isprintable() else " " for character in text)[:longest]


def rounded(samples: Iterable[float]) -> Samples:
    """Return samples with six significant digits."""
    return tuple(float(f"{sample:.6g}") for sample in samples)


def finite(value: float | None, largest: float = 1e308) -> float | None:
    """Return `value` as a float if it is a number from 0 to `largest`, else None.

    JSON has no NaN and no infinity, and the fields of a record accept numbers of a limited size.
    """
    return float(value) if value is not None and 0 <= value <= largest else None
