"""Read results files of `compare`, asv and pytest-benchmark, and split the results into runs.

A run has the cells of one of these tools, from one machine, host and commit.
"""

import datetime
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from softmax_impls.formatting import format_count
from softmax_impls.results import asv, pytest_benchmark, store
from softmax_impls.results.reading import UNREADABLE, Problems, ResultsError, describe, printable, read_bytes
from softmax_impls.timing.environment import from_old_to_new
from softmax_impls.timing.records import Cell, KernelResult
from softmax_impls.timing.statistics import median_interval
from softmax_impls.timing.workloads import CellKey

YEARS = range(1970, 2200)  # that calendars and pandas can handle
SUFFIXES = (".jsonl", ".json", ".ndjson")  # of the files that are read from a folder
ASV_FILES = ("machine.json", "benchmarks.json")  # files of asv that hold no results
MAX_PROBLEMS = 100  # number of different problems that are listed
CELL = re.compile(rb'^[ \t]*\{[ \t]*"schema"[ \t]*:', re.MULTILINE)  # the beginning of a line of `compare`
OLDEST = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)  # stands for an unknown time when cells are sorted


@dataclass(frozen=True)
class Run:
    """The cells that one tool measured on one machine at one commit."""

    tool: str  # "compare", "asv" or "pytest-benchmark"
    machine: str
    commit: str  # empty if it is not known
    cells: tuple[Cell, ...]  # the newest measurement of each key
    host: str = ""  # the name of the machine; empty if it is not known
    earlier: Mapping[CellKey, tuple[Cell, ...]] = field(default_factory=dict)  # older measurements, the newest first

    @property
    def place(self) -> str:
        """Machine and host: "znver4, 2 cores, Linux x86_64 (lab-3)"."""
        return f"{self.machine} ({self.host})" if self.host else self.machine

    @property
    def title(self) -> str:
        """Machine, host, commit and tool: "znver4, 2 cores, Linux x86_64 (lab-3) · 08ce1f6e34 · compare"."""
        commit, plus, changes = self.commit.partition("+")
        return " · ".join(part for part in (self.place, commit[:10] + plus + changes, self.tool) if part)

    @property
    def time(self) -> datetime.datetime | None:
        """Time of the newest cell; None if no cell has a time."""
        return max((cell.time for cell in self.cells if cell.time is not None), default=None)


@dataclass(frozen=True)
class Loaded:
    """The runs of some files, and a line for each kind of problem."""

    runs: tuple[Run, ...]  # in the order of the paths; for each path, the newest first and runs without a time last
    problems: tuple[str, ...]  # files, and parts of files, that could not be read
    notes: tuple[str, ...]  # cells that were left out for another reason


def load(paths: Iterable[Path]) -> Loaded:
    """Read results files, and folders that hold results files. Each kind of problem adds a line to `Loaded.problems`.

    A file may have any name and any encoding, or be a pipe, which can be read only once.
    """
    cells: list[Cell] = []
    problems = Problems(MAX_PROBLEMS)
    seen: set[str] = set()
    place: dict[str, int] = {}  # for each file, the position of its path in `paths`
    for number, path in enumerate(paths):
        files = _files(path)
        if not files:
            problems.add(printable(path), "no results there")
        for file in files:
            if (real := os.path.realpath(file)) not in seen:
                seen.add(real)
                found = Problems()
                cells += _read(file, found)
                problems.add_file(printable(file), found)
                place[printable(file)] = number
    runs = sorted(split(cells), key=lambda run: min(place[cell.file] for cell in run.cells))
    superseded = len(cells) - sum(len(run.cells) for run in runs)
    note = f"{format_count(superseded, 'older record')} of cells that were measured again left out"
    return Loaded(tuple(runs), tuple(problems.lines()), (note,) if superseded else ())


def interval_of(kernel: KernelResult) -> tuple[float, float] | None:
    """Return a confidence interval of the median time in seconds; None if there are too few samples."""
    return kernel.interval or (median_interval(kernel.samples) if len(kernel.samples) > 1 else None)


def range_of(kernel: KernelResult) -> tuple[float, float] | None:
    """Return the range in seconds that nine of ten samples lie in; with fewer than two samples, `kernel.interval`."""
    if len(kernel.samples) < 2:
        return kernel.interval
    low, high = np.percentile(kernel.samples, (5, 95)).tolist()
    return low, high


def _files(path: Path) -> list[Path]:
    """Return the files to read: `path` itself or, if it is a folder, the files in it that may hold results."""
    if not os.path.isdir(path):
        return [path]
    files = [file for suffix in SUFFIXES for file in path.rglob(f"*{suffix}")]
    return sorted(file for file in files if os.path.isfile(file) and file.name not in ASV_FILES)


def _read(file: Path, problems: Problems) -> list[Cell]:
    """Return the cells of a file."""
    try:
        cells = _decode(read_bytes(file), file, problems)
    except (*UNREADABLE, OSError, MemoryError) as error:
        problems.add("", describe(error))
        return []
    kept = []
    for cell in cells:
        if cell.time is None or cell.time.year in YEARS:
            kept.append(msgspec.structs.replace(cell, file=printable(file)))
        else:
            problems.add(str(cell.key), f"expected a year from {YEARS.start} to {YEARS.stop - 1}")
    if not kept and not problems.lines():
        problems.add("", "no times of the backward pass")
    return kept


def _decode(data: bytes, file: Path, problems: Problems) -> list[Cell]:
    """Return the cells of a file. The content decides which tool wrote it."""
    if CELL.search(data, 0, 10**6):
        return store.decode(data, problems)
    if b'"machine_info"' in data:
        return pytest_benchmark.read_cells(data, problems)
    if b'"commit_hash"' in data or b'"result_columns"' in data:
        return asv.read_cells(data, file.parent.name, problems)
    if b'"schema"' in data or file.suffix == ".jsonl" or not data.strip():
        return store.decode(data, problems)
    raise ResultsError("results of neither compare, asv nor pytest-benchmark")


def split(cells: Iterable[Cell]) -> list[Run]:
    """Split cells into runs, the newest run first. A run has the cells of one tool, machine, host and commit.

    If several cells of a run have the same key, the newest cell is in `Run.cells`, the older cells in `Run.earlier`.
    """
    groups: dict[tuple[str, str, str, str], dict[CellKey, list[Cell]]] = {}
    for cell in cells:
        about = cell.environment
        group = groups.setdefault((cell.tool, about.machine, about.commit or "", about.host), {})
        group.setdefault(cell.key, []).append(cell)
    runs = []
    for (tool, machine, commit, host), by_key in groups.items():
        newest = {key: _newest_first(found) for key, found in by_key.items()}
        earlier = {key: tuple(older) for key, (_, *older) in newest.items() if older}
        runs.append(Run(tool, machine, commit, tuple(found[0] for found in newest.values()), host, earlier))
    return _newest_runs_first(runs)


def _newest_first(cells: Iterable[Cell]) -> list[Cell]:
    """Sort cells that have the same key, the newest first.

    Cells may have the same time, for example if a commit was measured twice by asv. Of these, only the cell with the
    most samples is kept.
    """
    ordered = sorted(cells, key=lambda cell: (cell.time or OLDEST, sum(len(kernel.samples) for kernel in cell.kernels)))
    return list({cell.time: cell for cell in ordered}.values())[::-1]


def _newest_runs_first(runs: list[Run]) -> list[Run]:
    """Sort runs, the newest first. If the times of runs are equal, the order of their commits in git decides.

    The time of a run of asv is the time of its commit. Two commits may be made in the same second.
    """
    alike = Counter(run.time for run in runs)
    commits = from_old_to_new(run.commit for run in runs if alike[run.time] > 1)
    place = {commit: number for number, commit in enumerate(commits)}
    return sorted(runs, key=lambda run: (run.time or OLDEST, place.get(run.commit, -1)), reverse=True)
