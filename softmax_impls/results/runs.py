"""Collect results files of all tools, and split them into runs: the cells of one tool, machine and commit."""

import datetime
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from softmax_impls.formatting import format_count
from softmax_impls.results import asv, pytest_benchmark, store
from softmax_impls.results.reading import UNREADABLE, Problems, ResultsError, check_file, describe, printable
from softmax_impls.timing.records import Cell, KernelResult
from softmax_impls.timing.statistics import median_interval
from softmax_impls.timing.workloads import CellKey

YEARS = range(1970, 2200)  # that calendars and pandas can handle
OLDEST = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)  # to sort an unknown time by


@dataclass(frozen=True)
class Run:
    """The cells that one tool measured on one machine at one commit."""

    tool: str  # "compare", "asv" or "pytest-benchmark"
    machine: str
    commit: str  # empty if it is not known
    cells: tuple[Cell, ...]  # the newest record of each key

    @property
    def title(self) -> str:
        """Machine, commit and tool: "znver4, 2 cores, Linux x86_64 · 08ce1f6e34 · compare"."""
        commit, plus, changes = self.commit.partition("+")
        return " · ".join(part for part in (self.machine, commit[:10] + plus + changes, self.tool) if part)

    @property
    def time(self) -> datetime.datetime | None:
        """Time of the newest cell; None if no cell has a time."""
        return max((cell.time for cell in self.cells if cell.time is not None), default=None)


@dataclass(frozen=True)
class Loaded:
    """The runs of some files, and lines about what could not be used."""

    runs: tuple[Run, ...]  # the newest first; runs without a time are last
    problems: tuple[str, ...]  # files, and parts of files, that could not be read
    notes: tuple[str, ...]  # cells that were left out for another reason


def load(paths: Iterable[Path]) -> Loaded:
    """Read results files, and folders that hold them. A file that cannot be read costs one line in `problems`."""
    cells: list[Cell] = []
    problems: list[str] = []
    seen: set[str] = set()
    for path in paths:
        files = _files(path)
        if not files:
            problems.append(f"{printable(path)}: no results there")
        for file in files:
            if (real := os.path.realpath(file)) not in seen:
                seen.add(real)
                found, lines = _read(file)
                cells += found
                problems += [f"{printable(file)}: {line}" for line in lines]
    runs = _split(cells)
    superseded = len(cells) - sum(len(run.cells) for run in runs)
    note = f"{format_count(superseded, 'older record')} of cells that were measured again left out"
    return Loaded(tuple(runs), tuple(problems), (note,) if superseded else ())


def interval_of(kernel: KernelResult) -> tuple[float, float] | None:
    """Return a confidence interval of the median time in seconds; None if there are too few samples."""
    return kernel.interval or (median_interval(kernel.samples) if len(kernel.samples) > 1 else None)


def _files(path: Path) -> list[Path]:
    if not os.path.isdir(path):
        return [path]
    files = sorted([*path.rglob("*.jsonl"), *path.rglob("*.json")])
    return [file for file in files if file.name not in ("machine.json", "benchmarks.json")]  # asv's, without results


def _read(file: Path) -> tuple[list[Cell], list[str]]:
    """Return the cells of a file, and its problems."""
    problems = Problems()
    try:
        check_file(file)
        cells, lines = store.read(file) if file.suffix == ".jsonl" else (_read_json(file, problems), [])
    except (*UNREADABLE, OSError, MemoryError) as error:
        return [], [describe(error)]
    kept = []
    for cell in cells:
        if cell.time is None or cell.time.year in YEARS:
            kept.append(msgspec.structs.replace(cell, file=printable(file)))
        else:
            problems.add(str(cell.key), f"expected a year from {YEARS.start} to {YEARS.stop - 1}")
    lines += problems.lines()
    return kept, lines if kept or lines else ["no times of the backward pass"]


def _read_json(file: Path, problems: Problems) -> list[Cell]:
    data = file.read_bytes()
    if b'"result_columns"' in data:
        return asv.read_cells(data, file.parent.name, problems)
    if b'"machine_info"' in data:
        return pytest_benchmark.read_cells(data, problems)
    raise ResultsError("neither results of asv nor of pytest-benchmark")


def _split(cells: Iterable[Cell]) -> list[Run]:
    """Return the runs, the newest first, each with the newest record of each key."""
    newest: dict[tuple[str, str, str], dict[CellKey, Cell]] = {}
    for cell in cells:
        run = newest.setdefault((cell.tool, cell.environment.machine, cell.environment.commit or ""), {})
        if cell.key not in run or (cell.time or OLDEST) >= (run[cell.key].time or OLDEST):
            run[cell.key] = cell
    runs = [Run(*about, tuple(by_key.values())) for about, by_key in newest.items()]
    return sorted(runs, key=lambda run: run.time or OLDEST, reverse=True)
