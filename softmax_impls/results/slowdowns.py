"""Compare two commits by the samples that asv recorded.

A benchmark counts as slower if the time of its fastest sample grew by more than the factor of its `SizeClass`. Other
processes make samples longer, often for seconds. This changes the median, but hardly the fastest sample of several
rounds.
"""

import datetime
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softmax_impls.results import asv
from softmax_impls.results.asv import Benchmark
from softmax_impls.results.reading import UNREADABLE, Problems, describe, printable, read_bytes
from softmax_impls.timing.environment import description
from softmax_impls.timing.records import Samples


@dataclass(frozen=True)
class SizeClass:
    """Calls that take up to `longest` seconds, and longer than the calls of the previous size class.

    A benchmark counts as slower or faster if the ratio of its fastest samples at two commits exceeds `factor`.
    """

    name: str
    longest: float  # seconds of the longest call
    factor: float


# With these factors, less than one alarm in a hundred is false on the noisiest machine that was measured (znver3).
# Calls of more than a millisecond need a larger factor: they use the memory bus, which other virtual machines share.
SIZE_CLASSES = (
    SizeClass("up to 10 µs", 1e-5, 1.3),
    SizeClass("10 to 100 µs", 1e-4, 1.3),
    SizeClass("100 µs to 1 ms", 1e-3, 1.3),
    SizeClass("longer", math.inf, 1.5),
)


@dataclass(frozen=True)
class Recorded:
    """The samples that asv recorded for one commit, on one machine and in one virtual environment."""

    machine: str
    environment: str
    commit: str
    date: datetime.datetime | None  # of the commit, in UTC
    measured: datetime.datetime | None  # time of the newest measurement, in UTC
    samples: Mapping[Benchmark, Samples]  # seconds of a call; benchmarks without samples are left out
    kind: str = ""  # of machine: processor, cores and system; the name of the machine if the processor is unknown


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

    def as_dict(self) -> dict[str, Any]:
        """Return the change for JSON."""
        return {
            **_name(self.benchmark),
            "ratio": self.ratio,
            "smallest_reported_factor": size_class(min(self.before, self.after)).factor,
            "before_seconds": self.before,
            "after_seconds": self.after,
        }


@dataclass(frozen=True)
class CommitComparison:
    """The comparison of two commits on one machine.

    `slower` and `faster` have the benchmarks that are slower or faster at `head` than at `base`, the largest change
    first.
    """

    base: Recorded
    head: Recorded
    compared: int  # number of benchmarks that both commits have
    slower: tuple[Change, ...]
    faster: tuple[Change, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison for `print_json`, which writes the dates as text."""
        sides = {"base": self.base, "head": self.head}
        return {
            "machine": self.base.machine,
            "environment": self.base.environment,
            "compared": self.compared,
            **{name: {"commit": of.commit, "date": of.date, "measured": of.measured} for name, of in sides.items()},
            "slower": [change.as_dict() for change in self.slower],
            "faster": [change.as_dict() for change in self.faster],
        }


@dataclass(frozen=True)
class Slowdown:
    """A benchmark that is slower at the second of two commits, on one or more kinds of machines.

    For each kind, `ratios` has the largest ratio of its machines.
    """

    benchmark: Benchmark
    ratios: Mapping[str, float]  # time after over time before, by kind
    other_kinds: tuple[str, ...]  # kinds of machines on which the benchmark was measured and is not slower

    @property
    def on_all(self) -> bool:
        """Whether the benchmark is slower on all kinds of machines that measured it, and on two kinds or more.

        Then the commit is the likely cause.
        """
        return len(self.ratios) > 1 and not self.other_kinds

    def as_dict(self) -> dict[str, Any]:
        """Return the slowdown for JSON."""
        return {**vars(self), **_name(self.benchmark), "on_all": self.on_all}


def _name(benchmark: Benchmark) -> dict[str, Any]:
    return {"benchmark": benchmark.name, "params": benchmark.params}


def kinds(comparisons: Sequence[CommitComparison]) -> list[str]:
    """Return a name of the kind of machine of each comparison.

    If asv has several environments on a kind of machine, their names are appended. They state versions of packages.
    """
    bases = [comparison.base for comparison in comparisons]
    count = Counter(kind for kind, _ in {(base.kind, base.environment) for base in bases})
    return [f"{base.kind}, {base.environment}" if count[base.kind] > 1 else base.kind for base in bases]


def by_kind(comparisons: Iterable[CommitComparison]) -> list[Slowdown]:
    """Return the benchmarks that are slower at the second commit on at least one machine.

    Benchmarks that are slower on more kinds of machines come first. Among benchmarks with the same number of kinds,
    those with the largest ratio (the time at the second commit over the time at the first) come first.
    """
    comparisons = list(comparisons)
    slower: dict[Benchmark, dict[str, float]] = {}
    measured: dict[Benchmark, set[str]] = {}
    for kind, comparison in zip(kinds(comparisons), comparisons, strict=True):
        for benchmark in comparison.base.samples.keys() & comparison.head.samples.keys():
            measured.setdefault(benchmark, set()).add(kind)
        for change in comparison.slower:
            ratios = slower.setdefault(change.benchmark, {})
            ratios[kind] = max(change.ratio, ratios.get(kind, 0.0))
    found = [Slowdown(b, ratios, tuple(sorted(measured[b] - ratios.keys()))) for b, ratios in slower.items()]
    return sorted(found, key=lambda slowdown: (-len(slowdown.ratios), -max(slowdown.ratios.values())))


def size_class(seconds: float) -> SizeClass:
    """Return the item of `SIZE_CLASSES`, the classes of short and long calls, for a call that takes `seconds`."""
    return next(size_class for size_class in SIZE_CLASSES if seconds <= size_class.longest)


def is_slower(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether the fastest sample became slower by more than a factor: min(after) > factor * min(before).

    `before` and `after` are samples in seconds. The factor depends on min(before), see `SIZE_CLASSES`.
    """
    return min(after) > size_class(min(before)).factor * min(before)


def read_commit(folder: Path, commit: str) -> tuple[list[Recorded], list[str]]:
    """Return the records of a commit (a full hash) in a results folder of asv, and a line for each unreadable file."""
    recorded: list[Recorded] = []
    lines: list[str] = []
    ignored = Problems()  # a benchmark that failed or cannot be read is not compared
    for path in sorted(folder.glob(f"*/{commit[:8]}-*.json")):
        try:
            file = asv.decode(read_bytes(path), ignored)
            if file.commit_hash != commit:
                continue
            results = [result for name in file.results for result in asv.read_results(file, name, ignored)]
            samples = {result.benchmark: result.samples for result in results if result.samples}
            measured = max((result.started_at for result in results if result.started_at), default=None)
            machine, (_, *about) = printable(path.parent.name), asv.machine_of(file)
            kind = description(*about) if about[0] else machine
            place = machine, printable(file.env_name), commit
            recorded.append(Recorded(*place, asv.utc(file.date), measured, samples, kind))
        except (*UNREADABLE, OSError) as error:
            lines.append(f"{printable(path)}: {describe(error)}")
    return recorded, lines


def compare_commits(base: Sequence[Recorded], head: Sequence[Recorded]) -> Iterator[CommitComparison]:
    """Yield a comparison for each machine and environment that both commits were measured on."""
    for old, new in itertools.product(base, head):
        if (old.machine, old.environment) == (new.machine, new.environment):
            pairs = ((of, min(old.samples[of]), min(new.samples[of])) for of in old.samples if of in new.samples)
            changes = sorted(itertools.starmap(Change, pairs), key=lambda change: change.ratio)
            slower = tuple(change for change in reversed(changes) if is_slower([change.before], [change.after]))
            faster = tuple(change for change in changes if is_slower([change.after], [change.before]))
            yield CommitComparison(old, new, len(changes), slower, faster)
