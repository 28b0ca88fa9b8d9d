"""Read the results of asv and pytest-benchmark as cells.

Files are decoded into typed records, which check each value. A benchmark that cannot be read costs itself and one line.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import statistics
from collections.abc import Iterator
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from softmax_impls.results import asv, pytest_benchmark
from softmax_impls.results.reading import UNREADABLE, Problems, ResultsError, describe
from softmax_impls.timing import records
from softmax_impls.timing.records import Cell, Dtype, Environment, KernelResult, Name, Seconds, Size
from softmax_impls.timing.workloads import GRID, WORKLOADS, CellKey

TIMES = ("backward.Grid.time_kernel", "backward.Workload.time_kernel")
MEMORY = "backward.Memory.peakmem_kernel"
ERRORS = "backward.Accuracy.track_error"
VERIFIED_VERSIONS = ("1", "2")  # of TIMES: these versions verify each kernel on the arrays that they time it on

Results = dict[CellKey, dict[str, KernelResult]]


class _GridParams(Struct):
    name: Name
    batch: Size
    dim: Size
    dtype: Dtype


class _AsvTime(Struct):
    seconds: Seconds
    samples: Annotated[records.Samples, Meta(min_length=1)] | None


class _AsvError(Struct):
    name: Name
    family: Name
    dtype: Dtype
    units: records.NonNegative  # of rounding


def read_asv(data: bytes, machine: str) -> tuple[list[Cell], list[str]]:
    """Read a results file of asv.

    Parameters
    ----------
    data : bytes
        Content of the file.
    machine : str
        The name that asv has for the machine: the folder that the file is in.

    Returns
    -------
    cells : list of Cell
        One for each key, with the time of the commit. `verified` is set if the version of the benchmark verifies.
    problems : list of str
        One line for each kind of problem.

    Raises
    ------
    ResultsError
        If nothing can be read.
    """
    problems = Problems()
    try:
        file = asv.decode(data)
        threads = msgspec.convert(file.env_vars.get("NUMBA_NUM_THREADS", 1), Size, strict=False)
        environment = _asv_environment(file, machine)
    except UNREADABLE as error:
        raise ResultsError(describe(error)) from None
    results = _asv_results(file, threads, problems)
    return list(_cells("asv", results, environment, file.time)), problems.lines()


def _asv_results(file: asv.AsvFile, threads: int, problems: Problems) -> Results:
    memory = dict(_asv_memory(file, problems))
    errors = _asv_errors(file, problems)
    results: Results = {}
    for combination in itertools.chain.from_iterable(asv.combinations(file, name, problems) for name in TIMES):
        with problems.at(str(combination)):
            name, key = _asv_key(combination.params, threads)
            time = msgspec.convert({"seconds": combination.value, "samples": combination.samples}, _AsvTime)
            results.setdefault(key, {})[name] = KernelResult(
                name=name,
                samples=time.samples or (time.seconds,),
                seconds=time.seconds,
                interval=_asv_interval(combination),
                verified=combination.version in VERIFIED_VERSIONS,
                peak_memory_bytes=memory.get((name, key.workload, key.dtype)),
                errors=errors.get((name, key.dtype), {}),
            )
    return results


def _asv_environment(file: asv.AsvFile, machine: str) -> Environment:
    versions = {"python": file.python, **file.requirements}  # asv states "" for a package of any version
    return Environment(
        machine=msgspec.convert(machine, Name),
        versions=msgspec.convert({name: version for name, version in versions.items() if version}, records.Versions),
        commit=file.commit_hash,
    )


def _asv_key(params: tuple[str, ...], threads: int) -> tuple[str, CellKey]:
    """Return the implementation and the key of a combination of parameters."""
    if len(params) == 3:
        name, workload, dtype = params
        if workload not in WORKLOADS:
            raise ResultsError("unknown workload")
        shape = WORKLOADS[workload]
        params = name, str(shape.batch), str(shape.dim), dtype
    else:
        workload = GRID
    grid = msgspec.convert(dict(zip(_GridParams.__struct_fields__, params, strict=True)), _GridParams, strict=False)
    return grid.name, CellKey(workload, grid.batch, grid.dim, grid.dtype, threads)


def _asv_interval(combination: asv.Combination) -> tuple[float, float] | None:
    """Return the interval that asv states; None if it states none, as for few samples."""
    try:
        low, high = msgspec.convert((combination.low, combination.high), tuple[Seconds, Seconds])
    except msgspec.ValidationError:
        return None
    return (low, high) if low <= high else None


def _asv_memory(file: asv.AsvFile, problems: Problems) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield peak memory in bytes by implementation, workload and dtype."""
    for combination in asv.combinations(file, MEMORY, problems):
        with problems.at(str(combination)):
            yield combination.params, int(msgspec.convert(combination.value, Annotated[float, Meta(ge=1, le=2**62)]))


def _asv_errors(file: asv.AsvFile, problems: Problems) -> dict[tuple[str, str], dict[str, float | None]]:
    """Return the relative errors of each implementation and dtype, by kind of input."""
    errors: dict[tuple[str, str], dict[str, float | None]] = {}
    for combination in asv.combinations(file, ERRORS, problems):
        with problems.at(str(combination)):
            values = (*combination.params, combination.value)
            error = msgspec.convert(dict(zip(_AsvError.__struct_fields__, values, strict=True)), _AsvError)
            relative = error.units * float(np.finfo(error.dtype).eps) / 2
            errors.setdefault((error.name, error.dtype), {})[error.family] = relative
    return errors


def read_pytest_benchmark(data: bytes) -> tuple[list[Cell], list[str]]:
    """Read a JSON file of pytest-benchmark.

    Parameters
    ----------
    data : bytes
        Content of the file. Benchmarks of other projects are left out.

    Returns
    -------
    cells : list of Cell
        One for each key. `verified` is set if extra_info says so.
    problems : list of str
        One line for each kind of problem.

    Raises
    ------
    ResultsError
        If nothing can be read.
    """
    problems, results, versions = Problems(), Results(), dict[str, str]()
    try:
        file = pytest_benchmark.decode(data)
    except UNREADABLE as error:
        raise ResultsError(describe(error)) from None
    for benchmark in pytest_benchmark.benchmarks(file, problems):
        extra, stats = benchmark.extra_info, benchmark.stats
        versions |= extra.versions
        key = CellKey(benchmark.params.workload, extra.batch, extra.dim, extra.dtype, extra.threads)
        results.setdefault(key, {})[extra.implementation] = KernelResult(
            name=extra.implementation,
            samples=stats.data or (stats.median,),
            seconds=statistics.median(stats.data) if stats.data else stats.median,
            verified=extra.verified,
        )
    environment = Environment(machine=file.machine, versions=versions, commit=file.commit)
    return list(_cells("pytest-benchmark", results, environment, file.time)), problems.lines()


def _cells(
    tool: records.Tool, results: Results, environment: Environment, time: datetime.datetime | None
) -> Iterator[Cell]:
    for key, kernels in results.items():
        by_field = dataclasses.asdict(key)
        yield Cell(**by_field, kernels=tuple(kernels.values()), environment=environment, tool=tool, time=time)
