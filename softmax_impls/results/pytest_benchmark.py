"""Read the JSON file in which pytest-benchmark keeps its results. Each value is checked when it is read."""

import datetime
import math
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from softmax_impls.results.reading import Problems, decode_json, read_fields, read_versions
from softmax_impls.timing.environment import machine_name
from softmax_impls.timing.records import Cell, Dtype, Environment, KernelResult, Name, Samples, Seconds, Size, storable
from softmax_impls.timing.workloads import CUSTOM, CellKey

NEEDED = (
    "no times of the backward pass: the extra_info of a benchmark must have implementation, and extra_info or params "
    "must have batch, dim, dtype and threads, and verified=True once the result was checked"
)
UNVERSIONED = "unversioned"  # the commit that pytest-benchmark states for a folder without version control
NOTCH = 1.57  # 1.57 (q3 - q1) / sqrt(n) is half the 95 % interval of a median (McGill, Tukey and Larsen, 1978)


class _File(Struct):
    """The fields that are read from a results file. The entries of `benchmarks` are decoded one by one."""

    benchmarks: list[Any]
    machine_info: dict[str, Any] = {}
    commit_info: dict[str, Any] = {}
    time: datetime.datetime | None = msgspec.field(default=None, name="datetime")


class _Machine(Struct):
    cpu: dict[str, Any] = {}
    node: str = ""
    system: str = ""
    machine: str = ""  # the architecture


class _Commit(Struct):
    id: Name | None = None
    dirty: bool = False


class _Entry(Struct):
    """A benchmark of any project. The benchmarks of this package have "implementation" in `extra_info`."""

    extra_info: dict[str, Any] = {}  # filled by our benchmarks, tests/benchmarks/test_backward.py
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}


class _Benchmark(Struct):
    """The fields that are read from the `extra_info`, `params` and `stats` of one of this package's benchmarks."""

    implementation: Name
    batch: Size
    dim: Size
    dtype: Dtype
    threads: Size
    median: Seconds
    workload: Name = CUSTOM
    data: Annotated[Samples, Meta(min_length=1)] | None = None  # the samples; not in files of --benchmark-autosave
    min: Seconds | None = None
    q1: Seconds | None = None
    q3: Seconds | None = None
    rounds: Size = 1
    iterations: Size = 1
    versions: dict[str, Any] = {}
    verified: bool = False

    def result(self) -> KernelResult:
        """Return the record of the kernel.

        If the file has no samples, the median is the only sample, and its interval is computed from the quartiles.
        """
        interval = None
        if not self.data and self.q1 and self.q3 and self.rounds > 1:
            half = NOTCH * (self.q3 - self.q1) / math.sqrt(self.rounds)
            interval = max(self.median - half, self.min or self.q1), self.median + half
        return KernelResult(
            name=self.implementation,
            samples=self.data or (self.median,),
            seconds=float(np.median(self.data)) if self.data else self.median,
            interval=interval,
            calls_per_sample=self.iterations,
            verified=self.verified,
        )


def read_cells(data: bytes, problems: Problems) -> list[Cell]:
    """Read the cells of a file. Benchmarks of other projects are left out."""
    file = read_fields(decode_json(data), _File, problems)
    versions: dict[str, Any] = {}
    kernels: dict[CellKey, dict[str, KernelResult]] = {}
    for number, content in enumerate(file.benchmarks):
        name = str((isinstance(content, dict) and content.get("name")) or f"benchmark {number}")
        with problems.at(name):
            entry = read_fields(content, _Entry, problems, f"{name}, ")
            if "implementation" not in entry.extra_info:
                continue
            fields = {**entry.stats, **entry.params, **entry.extra_info}
            found = read_fields(fields, _Benchmark, problems, f"{name}, ")
            key = CellKey(found.workload, found.batch, found.dim, found.dtype, found.threads)
            kernels.setdefault(key, {})[found.implementation] = found.result()
            versions |= found.versions
    if not kernels and not problems.lines():
        problems.add("", NEEDED)
    time = file.time and file.time.replace(tzinfo=file.time.tzinfo or datetime.UTC)  # old versions state no time zone
    environment = _environment(file, versions, problems)
    about: dict[str, Any] = {"environment": environment, "tool": "pytest-benchmark", "time": time}
    return [Cell(**asdict(key), kernels=tuple(by_name.values()), **about) for key, by_name in kernels.items()]


def _environment(file: _File, versions: dict[str, Any], problems: Problems) -> Environment:
    about = read_fields(file.machine_info, _Machine, problems, "machine_info, ")
    commit = read_fields(file.commit_info, _Commit, problems, "commit_info, ")
    known = commit.id if commit.id != UNVERSIONED else None
    processor = str(about.cpu.get("brand_raw") or "")
    return Environment(
        machine=machine_name(about.node, processor, about.cpu.get("count", ""), about.system, about.machine),
        host=storable(about.node, 200),
        versions=read_versions(versions, problems),
        commit=f"{known}+changes" if known and commit.dirty else known,
    )
