"""Read the results of asv: a file for each machine, commit and environment. Each value is checked when it is read."""

import datetime
import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from softmax_impls.results.reading import Problems, ResultsError, decode_json, printable, read_fields, read_versions
from softmax_impls.timing import records
from softmax_impls.timing.environment import machine_name
from softmax_impls.timing.records import Cell, Dtype, Environment, KernelResult, Name, Samples, Seconds, Size
from softmax_impls.timing.workloads import GRID, OTHER_AXES, WORKLOADS, CellKey, sizes

TIMES = ("backward.Grid.time_kernel", "backward.Workload.time_kernel", "backward.OtherAxes.time_call")
MEMORY = "backward.Memory.peakmem_kernel"
ERRORS = "backward.Accuracy.track_error"
NEEDED = (
    "no times of the backward pass: expected backward.Grid.time_kernel with the parameters implementation, batch, dim "
    'and dtype, or backward.Workload.time_kernel with implementation, workload and dtype; and version "3" once the '
    "results were checked"
)
VERSION = "3"  # of the benchmarks in TIMES: each implementation is verified on the arrays that it is timed on
OLD_VERSIONS = ("1", "2")  # of the benchmarks in TIMES: kernels were timed without the public call, `softmax_backward`

Bytes = Annotated[float, Meta(ge=1, le=2**62)]
Milliseconds = Annotated[float, Meta(ge=0, le=7e12)]  # since 1970
OptionalSamples = Annotated[Samples, Meta(min_length=1)] | None


class AsvFile(Struct):
    """The fields that are read from a results file of asv.

    `results` has a list of columns for each benchmark name, and `result_columns` has the names of the columns. The
    columns are checked later, by `read_results`.
    """

    result_columns: list[Any]
    results: dict[str, Any]
    commit_hash: Name | None = None
    env_name: Name = "?"
    date: Milliseconds | None = None  # of the commit
    python: str = ""
    requirements: dict[str, Any] = {}
    env_vars: dict[str, Any] = {}
    params: dict[str, Any] = {}  # describes the machine


class _Columns(Struct):
    """The columns of one benchmark.

    `result`, `low`, `high` and `samples` have a value for each combination of parameters.
    """

    result: list[Any]
    params: list[list[str]]  # all values of each parameter
    version: str = ""
    started_at: Milliseconds | None = None
    low: list[Any] | None = msgspec.field(default=None, name="stats_ci_99_a")
    high: list[Any] | None = msgspec.field(default=None, name="stats_ci_99_b")
    samples: list[Any] | None = None


@dataclass(frozen=True)
class Benchmark:
    """A benchmark with one combination of parameters. Results of different versions are not comparable."""

    name: str  # "backward.Grid.time_kernel"
    version: str
    params: tuple[str, ...]  # without the quotes that asv writes around text

    def __str__(self) -> str:
        return printable(f"{self.name}({', '.join(self.params)})" if self.params else self.name)


@dataclass(frozen=True)
class Result:
    """The result of a benchmark."""

    benchmark: Benchmark
    started_at: datetime.datetime | None
    value: Any
    interval: tuple[float, float] | None  # of 99 % confidence, in seconds; None if asv states none, as for few samples
    samples: Samples | None  # None if asv recorded no samples


def utc(milliseconds: float | None) -> datetime.datetime | None:
    """Return the time in UTC, from milliseconds since 1970; None for None."""
    return None if milliseconds is None else datetime.datetime.fromtimestamp(milliseconds / 1e3, datetime.UTC)


def decode(data: bytes, problems: Problems) -> AsvFile:
    """Decode a results file; raise `ResultsError` if its format is not version 2 of asv's format."""
    content = decode_json(data)
    version = content.get("version") if isinstance(content, dict) else 2
    if version == 1:
        raise ResultsError("results of an old version of asv (format 1): convert them with 'asv update'")
    if version != 2:
        raise ResultsError(f"results of asv in format {version!r}; format 2 is supported")
    return read_fields(content, AsvFile, problems)


def read_results(file: AsvFile, name: str, problems: Problems, kind: Any = Any) -> Iterator[Result]:
    """Yield the results of the benchmark `name`: one for each combination of parameters, with a value of type `kind`.

    A combination that failed, or that cannot be read, is left out and adds a problem. A combination that asv skipped is
    left out without a problem.
    """
    if name not in file.results:
        return
    with problems.at(name):
        columns = _columns(file, name, problems)
        count = math.prod(map(len, columns.params))  # a short file can state billions of combinations
        if len(columns.result) != count:
            raise ResultsError(f"{len(columns.result)} results for {count} combinations of parameters")
        optional = columns.low, columns.high, columns.samples
        others = [column if column and len(column) == count else [None] * count for column in optional]
        values = zip(itertools.product(*columns.params), columns.result, *others, strict=True)
        for params, value, low, high, samples in values:
            benchmark = Benchmark(name, columns.version, tuple(text.strip("'") for text in params))
            with problems.at(str(benchmark)):
                if value is None:
                    raise ResultsError("failed in asv")
                if value == value:  # asv states NaN for a combination that it skipped
                    value, samples = msgspec.convert(value, kind), msgspec.convert(samples, OptionalSamples)
                    yield Result(benchmark, utc(columns.started_at), value, _interval(low, high), samples)


def _columns(file: AsvFile, name: str, problems: Problems) -> _Columns:
    entry = file.results[name]
    if entry is not None and not isinstance(entry, list):
        raise ResultsError("expected a list of columns")
    columns = dict(zip(map(str, file.result_columns), entry or [], strict=False))
    if columns.get("result") is None:
        raise ResultsError("failed in asv")
    return read_fields(columns, _Columns, problems, f"{name}, ")


def _interval(low: Any, high: Any) -> tuple[float, float] | None:
    with suppress(msgspec.ValidationError):
        ends = msgspec.convert((low, high), tuple[Seconds, Seconds])
        return ends if low <= high else None
    return None


def read_cells(data: bytes, folder: str, problems: Problems) -> list[Cell]:
    """Read the cells of a results file. `folder` is the name of its folder, which asv names after the machine."""
    file = decode(data, problems)
    threads = 1
    with problems.at("NUMBA_NUM_THREADS"):
        threads = msgspec.convert(file.env_vars.get("NUMBA_NUM_THREADS") or 1, Size, strict=False)
    about: dict[str, Any] = {"environment": _environment(file, folder, problems), "tool": "asv", "time": utc(file.date)}
    memory = {result.benchmark.params: int(result.value) for result in read_results(file, MEMORY, problems, Bytes)}
    errors = _errors(file, problems)
    if not any(name in file.results for name in TIMES):
        problems.add("", NEEDED)
    kernels: dict[CellKey, dict[str, KernelResult]] = {}
    for result in itertools.chain.from_iterable(read_results(file, name, problems, Seconds) for name in TIMES):
        with problems.at(str(result.benchmark)):
            if result.benchmark.version in OLD_VERSIONS:
                raise ResultsError("written by an earlier edition: measure again with 'asv run'")
            name, key = _name_and_key(result.benchmark.params, threads)
            kernels.setdefault(key, {})[name] = KernelResult(
                name=name,
                samples=result.samples or (result.value,),
                seconds=result.value,
                interval=result.interval,
                verified=result.benchmark.version == VERSION,
                peak_memory_bytes=memory.get((name, key.workload, key.dtype)),
                errors=errors.get((name, key.dtype), {}),
            )
    return [Cell(**asdict(key), kernels=tuple(by_name.values()), **about) for key, by_name in kernels.items()]


def machine_of(file: AsvFile) -> tuple[str, str, str, str, str]:
    """Return host, processor, number of cores, system without its version, and architecture; "" if unknown."""
    values = (file.params.get(name) for name in ("machine", "cpu", "num_cpu", "os", "arch"))
    host, processor, cores, system, architecture = (
        records.storable(value, 200) if isinstance(value, str) else "" for value in values
    )
    return host, processor, cores, system.partition(" ")[0], architecture


def _environment(file: AsvFile, folder: str, problems: Problems) -> Environment:
    python = {"python": file.python} if file.python[:1].isdigit() else {}  # asv may state the path of an executable
    stated, *about = machine_of(file)
    host = stated or records.storable(folder, 200)
    versions = read_versions(python | file.requirements, problems)
    return Environment(machine=machine_name(host, *about), host=host, versions=versions, commit=file.commit_hash)


def _name_and_key(params: tuple[str, ...], threads: int) -> tuple[str, CellKey]:
    workload = GRID
    if len(params) == 3:
        name, workload, dtype = params
        if workload not in (*WORKLOADS, *OTHER_AXES):
            raise ResultsError("unknown workload")
        params = name, *map(str, sizes(workload)), dtype
    name, batch, dim, dtype = msgspec.convert(params, tuple[Name, Size, Size, Dtype], strict=False)
    return name, CellKey(workload, batch, dim, dtype, threads)


def _errors(file: AsvFile, problems: Problems) -> dict[tuple[str, str], dict[str, float | None]]:
    """Return the relative errors by (implementation, dtype), and for each of these pairs by family of inputs."""
    errors: dict[tuple[str, str], dict[str, float | None]] = {}
    for result in read_results(file, ERRORS, problems, records.NonNegative):
        with problems.at(str(result.benchmark)):
            name, family, dtype = msgspec.convert(result.benchmark.params, tuple[Name, Name, Dtype])
            relative = result.value * float(np.finfo(dtype).eps) / 2  # asv stores the error in units of rounding
            errors.setdefault((name, dtype), {})[family] = relative
    return errors
