"""Read the JSON file in which pytest-benchmark keeps its results. Each value is checked when it is read."""

import datetime
import json
import statistics
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from softmax_impls.results.reading import Problems
from softmax_impls.timing.records import Cell, Dtype, Environment, KernelResult, Name, Samples, Seconds, Size, Versions
from softmax_impls.timing.workloads import CellKey


class _MachineInfo(Struct):
    cpu: dict[str, Any] = {}
    machine: Name = "?"  # the architecture


class _CommitInfo(Struct):
    id: Name | None = None
    dirty: bool = False


class _File(Struct):
    """The parts of a file that are used. The entries of `benchmarks` are decoded one by one."""

    machine_info: _MachineInfo
    benchmarks: list[Any]
    commit_info: _CommitInfo | None = None
    time: datetime.datetime | None = msgspec.field(default=None, name="datetime")


class _Entry(Struct):
    """A benchmark of any project. A benchmark of ours has "implementation" in `extra_info`."""

    extra_info: dict[str, Any]  # what tests/benchmarks/test_backward.py adds
    params: dict[str, Any] | None = None
    stats: dict[str, Any] = {}


class _Benchmark(Struct):
    """The fields that are read from the `extra_info`, `params` and `stats` of one of this package's benchmarks."""

    implementation: Name
    workload: Name
    batch: Size
    dim: Size
    dtype: Dtype
    threads: Size
    versions: Versions
    median: Seconds
    data: Annotated[Samples, Meta(min_length=1)] | None = None
    verified: bool = False


def read_cells(data: bytes, problems: Problems) -> list[Cell]:
    """Read the cells of a file. Benchmarks of other projects are left out."""
    file = msgspec.convert(json.loads(data), _File)
    versions: dict[str, str] = {}
    kernels: dict[CellKey, dict[str, KernelResult]] = {}
    for number, content in enumerate(file.benchmarks):
        with problems.at(f"benchmark {number}"):
            entry = msgspec.convert(content, _Entry)
            if "implementation" not in entry.extra_info:
                continue
            found = msgspec.convert({**entry.stats, **(entry.params or {}), **entry.extra_info}, _Benchmark)
            key = CellKey(found.workload, found.batch, found.dim, found.dtype, found.threads)
            kernels.setdefault(key, {})[found.implementation] = KernelResult(
                name=found.implementation,
                samples=found.data or (found.median,),
                seconds=statistics.median(found.data) if found.data else found.median,
                verified=found.verified,
            )
            versions |= found.versions
    commit = file.commit_info or _CommitInfo()
    environment = Environment(
        machine=msgspec.convert(file.machine_info.cpu.get("brand_raw") or file.machine_info.machine, Name),
        versions=versions,
        commit=f"{commit.id}+changes" if commit.id and commit.dirty else commit.id,
    )
    time = file.time and file.time.replace(tzinfo=file.time.tzinfo or datetime.UTC)  # old versions state no time zone
    about: dict[str, Any] = {"environment": environment, "tool": "pytest-benchmark", "time": time}
    return [Cell(**asdict(key), kernels=tuple(by_name.values()), **about) for key, by_name in kernels.items()]
