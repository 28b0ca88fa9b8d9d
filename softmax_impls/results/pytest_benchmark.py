"""The JSON file in which pytest-benchmark keeps its results."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from softmax_impls.results.reading import Problems
from softmax_impls.timing.records import Dtype, Name, Samples, Seconds, Size, Versions


class _Cpu(Struct):
    brand_raw: Name | None = None


class _MachineInfo(Struct):
    cpu: _Cpu = msgspec.field(default_factory=_Cpu)
    machine: Name = "?"


class _CommitInfo(Struct):
    id: Name | None = None
    dirty: bool = False


class PytestBenchmarkFile(Struct):
    """The parts of a file that are used. Entries of `benchmarks` are decoded one by one, see `benchmarks`."""

    machine_info: _MachineInfo
    benchmarks: list[Any]
    commit_info: _CommitInfo | None = None
    measured: datetime.datetime | None = msgspec.field(default=None, name="datetime")

    @property
    def machine(self) -> str:
        """The processor if it is known, else the architecture."""
        return self.machine_info.cpu.brand_raw or self.machine_info.machine

    @property
    def commit(self) -> str | None:
        """The hash, with "+changes" if the checkout was edited."""
        info = self.commit_info or _CommitInfo()
        return f"{info.id}+changes" if info.id and info.dirty else info.id

    @property
    def time(self) -> datetime.datetime | None:
        """Time of the measurement. Old versions of pytest-benchmark state UTC without saying so."""
        if self.measured is None or self.measured.tzinfo is not None:
            return self.measured
        return self.measured.replace(tzinfo=datetime.UTC)


class _Params(Struct):
    workload: Name


class ExtraInfo(Struct):
    """What tests/benchmarks/test_backward.py adds to a benchmark."""

    implementation: Name
    batch: Size
    dim: Size
    dtype: Dtype
    threads: Size
    versions: Versions
    verified: bool = False


class _Stats(Struct):
    median: Seconds
    data: Annotated[Samples, Meta(min_length=1)] | None = None


class Benchmark(Struct):
    """A benchmark of this project."""

    params: _Params
    extra_info: ExtraInfo
    stats: _Stats


class _AnyBenchmark(Struct):
    """A benchmark of any project."""

    extra_info: dict[str, Any]


def decode(data: bytes) -> PytestBenchmarkFile:
    """Decode a file. Errors of `json` and msgspec pass through."""
    return msgspec.convert(json.loads(data), PytestBenchmarkFile)


def benchmarks(file: PytestBenchmarkFile, problems: Problems) -> Iterator[Benchmark]:
    """Yield the benchmarks of this project, which have "implementation" in extra_info."""
    for number, content in enumerate(file.benchmarks):
        with problems.at(f"benchmark {number}"):
            if "implementation" in msgspec.convert(content, _AnyBenchmark).extra_info:
                yield msgspec.convert(content, Benchmark)
