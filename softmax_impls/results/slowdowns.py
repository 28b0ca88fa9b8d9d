"""Compare two commits by the samples that asv recorded of them.

A benchmark is slower if its fastest sample takes more than a factor times as long as before. Other processes make
samples longer, often for seconds on end. That moves the median, but hardly the fastest sample of several rounds.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from softmax_impls.results import asv
from softmax_impls.results.reading import UNREADABLE, Problems, check_file, describe, printable
from softmax_impls.timing.records import Samples

_SAMPLES = Annotated[Samples, Meta(min_length=1)]


@dataclass(frozen=True)
class SizeClass:
    """Calls of about the same time, and the factor that counts as a change.

    Attributes
    ----------
    name : str
    longest : float
        Seconds of a call, at the most.
    factor : float
        A call is slower if its fastest sample takes more than this factor times as long. The factors give less than
        one false alarm in a hundred on the noisiest machine that was measured (znver3). Calls of more than a
        millisecond need a larger factor: they use the memory bus, which other virtual machines share.
    """

    name: str
    longest: float
    factor: float


SIZE_CLASSES = (
    SizeClass("up to 10 µs", 1e-5, 1.3),
    SizeClass("10 to 100 µs", 1e-4, 1.3),
    SizeClass("100 µs to 1 ms", 1e-3, 1.3),
    SizeClass("longer", math.inf, 1.5),
)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of asv with one combination of parameters. Results of different versions are not comparable."""

    name: str
    version: str
    params: tuple[str, ...]

    def __str__(self) -> str:
        return printable(f"{self.name}({', '.join(self.params)})" if self.params else self.name)


@dataclass(frozen=True)
class Recorded:
    """The samples of a commit on one machine.

    Attributes
    ----------
    machine, environment : str
        The names that asv has for the machine and for the virtual environment.
    commit : str
    date, measured : datetime or None
        Times of the commit and of its newest measurement, in UTC.
    samples : mapping of Benchmark to tuple of float
        Seconds of a call. Empty if asv recorded no samples.
    """

    machine: str
    environment: str
    commit: str
    date: datetime.datetime | None
    measured: datetime.datetime | None
    samples: Mapping[Benchmark, Samples]


@dataclass(frozen=True)
class Change:
    """The fastest samples of a benchmark at two commits, in seconds."""

    benchmark: Benchmark
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """Time after over time before."""
        return self.after / self.before


@dataclass(frozen=True)
class CommitComparison:
    """Two commits on one machine.

    Attributes
    ----------
    base, head : Recorded
        The older and the newer side.
    compared : int
        Number of benchmarks that both sides have.
    slower, faster : tuple of Change
        The largest change first.
    """

    base: Recorded
    head: Recorded
    compared: int
    slower: tuple[Change, ...]
    faster: tuple[Change, ...]


def size_class(seconds: float) -> SizeClass:
    """Return the class of a call that takes this long."""
    return next(size_class for size_class in SIZE_CLASSES if seconds <= size_class.longest)


def is_slower(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether the fastest sample takes longer than before by more than the factor of its size class."""
    fastest = min(before)
    return min(after) > size_class(fastest).factor * fastest


def read_commit(folder: Path, commit: str) -> tuple[list[Recorded], list[str]]:
    """Read what asv recorded of a commit.

    Parameters
    ----------
    folder : Path
        The results folder of asv. It has a folder for each machine.
    commit : str
        The full hash.

    Returns
    -------
    recorded : list of Recorded
        One for each machine and environment.
    problems : list of str
        A line for each file that cannot be read.
    """
    recorded: list[Recorded] = []
    lines: list[str] = []
    for path in sorted(folder.glob(f"*/{commit[:8]}-*.json")):
        try:
            check_file(path)
            file = asv.decode(path.read_bytes())
        except (*UNREADABLE, OSError) as error:
            lines.append(f"{printable(str(path))}: {describe(error)}")
            continue
        if file.commit_hash == commit:
            recorded.append(_recorded(file, printable(path.parent.name)))
    return recorded, lines


def compare_commits(base: Sequence[Recorded], head: Sequence[Recorded]) -> Iterator[CommitComparison]:
    """Yield a comparison for each machine and environment that both commits were measured on."""
    after = {(recorded.machine, recorded.environment): recorded for recorded in head}
    for recorded in base:
        other = after.get((recorded.machine, recorded.environment))
        if other is not None:
            yield compare(recorded, other)


def compare(base: Recorded, head: Recorded) -> CommitComparison:
    """Compare the benchmarks that both sides have."""
    both = [benchmark for benchmark in base.samples if benchmark in head.samples]
    slower, faster = [], []
    for benchmark in both:
        before, after = base.samples[benchmark], head.samples[benchmark]
        change = Change(benchmark, min(before), min(after))
        if is_slower(before, after):
            slower.append(change)
        elif is_slower(after, before):
            faster.append(change)
    slower.sort(key=lambda change: -change.ratio)
    faster.sort(key=lambda change: change.ratio)
    return CommitComparison(base, head, len(both), tuple(slower), tuple(faster))


def _recorded(file: asv.AsvFile, machine: str) -> Recorded:
    samples: dict[Benchmark, Samples] = {}
    started = []
    ignored = Problems()  # a benchmark that failed or cannot be read is not compared
    for name in file.results:
        for combination in asv.combinations(file, name, ignored):
            with ignored.at(name):
                if combination.samples is not None:
                    benchmark = Benchmark(name, combination.version, combination.params)
                    samples[benchmark] = msgspec.convert(combination.samples, _SAMPLES)
            if combination.started_at is not None:
                started.append(combination.started_at)
    measured = asv.utc(max(started, default=None))
    return Recorded(machine, printable(file.env_name), file.commit_hash, file.time, measured, samples)
