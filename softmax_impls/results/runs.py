"""Collect results files of all tools, and split them into runs: the cells of one tool, machine and commit."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from softmax_impls.formatting import format_count
from softmax_impls.results import importers, store
from softmax_impls.results.reading import UNREADABLE, Problems, ResultsError, check_file, describe, printable
from softmax_impls.timing.records import Cell
from softmax_impls.timing.workloads import CellKey

ASV_FILES = ("machine.json", "benchmarks.json")  # files of asv that hold no results
YEARS = range(1970, 2200)
COMMIT_CHARACTERS = 10  # that a title shows

_OLDEST = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Run:
    """The cells that one tool measured on one machine at one commit.

    Attributes
    ----------
    tool : {"compare", "asv", "pytest-benchmark"}
    machine : str
    commit : str
        Empty if it is not known.
    cells : tuple of Cell
        One for each key. If a key was measured several times, the newest record.
    files : tuple of str
        The files that the cells were read from.
    """

    tool: str
    machine: str
    commit: str
    cells: tuple[Cell, ...]
    files: tuple[str, ...]

    @property
    def title(self) -> str:
        """Machine, commit and tool: "znver4, 2 cores, Linux x86_64 · 08ce1f6e34 · compare"."""
        commit = self.commit.removesuffix("+changes")
        short = commit[:COMMIT_CHARACTERS] + self.commit[len(commit) :]
        return " · ".join(part for part in (self.machine, short, self.tool) if part)

    @property
    def time(self) -> datetime.datetime | None:
        """Time of the newest cell; None if no cell has a time."""
        return max((cell.time for cell in self.cells if cell.time is not None), default=None)


@dataclass(frozen=True)
class Loaded:
    """The runs of some files, and what could not be used.

    Attributes
    ----------
    runs : tuple of Run
        The newest first. Runs without a time are last.
    problems : tuple of str
        A line for each file, or kind of problem of a file, that could not be read.
    notes : tuple of str
        Lines on cells that were left out for another reason.
    """

    runs: tuple[Run, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def load(paths: Iterable[Path]) -> Loaded:
    """Read results files, and folders of results files.

    Parameters
    ----------
    paths : iterable of Path
        Files: results.jsonl of `compare`, results of asv, JSON of pytest-benchmark. Folders are searched for files that
        end in .jsonl or .json.

    Returns
    -------
    Loaded
        A file that cannot be read costs one line in `problems`, not the other files.
    """
    cells: list[Cell] = []
    problems: list[str] = []
    seen: set[Path] = set()
    for path in paths:
        try:
            files = {file.resolve(): file for file in _files(path)}
        except (OSError, ValueError, RuntimeError) as error:
            problems.append(f"{printable(str(path))}: {describe(error)}")
            continue
        if not files:
            problems.append(f"{printable(str(path))}: no results there")
        for file in (file for resolved, file in files.items() if resolved not in seen):
            found, lines = _read(file)
            cells += found
            problems += [f"{printable(str(file))}: {line}" for line in lines]
        seen |= files.keys()
    runs, superseded = _split(cells)
    note = f"{format_count(superseded, 'older record')} of cells that were measured again left out"
    return Loaded(tuple(runs), tuple(problems), (note,) if superseded else ())


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(itertools.chain(path.rglob("*.jsonl"), path.rglob("*.json")))
    return [file for file in files if file.name not in ASV_FILES]


def _read(file: Path) -> tuple[list[Cell], list[str]]:
    """Return the cells of a file, and its problems."""
    try:
        check_file(file)
        if file.suffix == ".jsonl":
            cells, lines = store.read(file)
        else:
            cells, lines = _read_json(file)
    except (*UNREADABLE, OSError, MemoryError) as error:
        return [], [describe(error)]
    problems = Problems()
    name = printable(str(file))
    kept = [msgspec.structs.replace(cell, file=name) for cell in cells if _has_valid_time(cell, problems)]
    return kept, [*lines, *problems.lines()]


def _read_json(file: Path) -> tuple[list[Cell], list[str]]:
    data = file.read_bytes()
    if b'"result_columns"' in data:
        cells, lines = importers.read_asv(data, file.parent.name)
    elif b'"machine_info"' in data:
        cells, lines = importers.read_pytest_benchmark(data)
    else:
        raise ResultsError("neither results of asv nor of pytest-benchmark")
    return cells, lines if cells or lines else ["no times of the backward pass"]


def _has_valid_time(cell: Cell, problems: Problems) -> bool:
    """Whether the time is one that calendars and pandas can handle."""
    if cell.time is None or cell.time.year in YEARS:
        return True
    problems.add(str(cell.key), f"expected a year from {YEARS.start} to {YEARS.stop - 1}")
    return False


def _split(cells: Iterable[Cell]) -> tuple[list[Run], int]:
    """Return the runs, and the number of cells that newer records replace."""
    newest: dict[tuple[str, str, str], dict[CellKey, Cell]] = {}
    superseded = 0
    for cell in cells:
        run = newest.setdefault((cell.tool, cell.environment.machine, cell.environment.commit or ""), {})
        before = run.get(cell.key)
        superseded += before is not None
        if before is None or (cell.time or _OLDEST) >= (before.time or _OLDEST):
            run[cell.key] = cell
    runs = list(_runs(newest))
    return sorted(runs, key=lambda run: run.time or _OLDEST, reverse=True), superseded


def _runs(newest: dict[tuple[str, str, str], dict[CellKey, Cell]]) -> Iterator[Run]:
    for (tool, machine, commit), cells in newest.items():
        files = tuple(dict.fromkeys(cell.file for cell in cells.values()))
        yield Run(tool, machine, commit, tuple(cells.values()), files)
