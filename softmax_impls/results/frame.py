"""One table of what was measured, whoever measured it: `compare`, asv or pytest-benchmark.

A file that is not what it seems to be costs one line that says where it is wrong, and not the others.
"""

from __future__ import annotations

import itertools
import json
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from softmax_impls.results.importers import Broken, Row, in_words, of_asv, of_compare, of_pytest

COLUMNS = (
    "tool",  # who measured it: compare, asv or pytest-benchmark
    "implementation",
    "workload",
    "batch",
    "dim",
    "dtype",
    "threads",
    "median",  # seconds of a call, and an interval for the median
    "low",
    "high",
    "samples",  # seconds, as many as were kept
    "visits",  # how many of them were taken in each visit to the cell, from compare
    "status",  # timed, or dropped: taken out of the race for being far behind
    "margin",  # what a difference has to clear in that cell: 1 %, or its noise, from compare
    "limit",  # seconds that moving the bytes takes on that machine, from compare
    "peak_memory",  # bytes that the process had taken, from asv
    "temporary_bytes",  # what a call takes beside its arrays, from compare
    "error",  # the worst relative one against the logits' gradient, over the kinds of input that the tool has
    "verified",  # whether the result was found right on the arrays that were timed
    "time",  # when, in UTC
    "machine",
    "commit",
    "versions",
    "file",
)
JSON = ("samples", "visits", "versions")  # what a CSV file has no form for
LARGEST_FILE = 500_000_000  # bytes
SKIPPED = ("machine.json", "benchmarks.json")  # asv's own, beside its results


@dataclass(frozen=True)
class Loaded:
    """What could be read.

    Attributes
    ----------
    frame : DataFrame
        A row for each implementation and cell of each file, with `COLUMNS`.
    problems : list of str
        A line for each file, or part of one, that could not be used.
    unranked : list of dict
        Implementation, cell and file of what has no times, with status and note.
    """

    frame: pd.DataFrame
    problems: list[str]
    unranked: list[Row] = field(default_factory=list)

    def to_csv(self, path: Path) -> None:
        """Write the table as text; samples, visits and versions become JSON."""
        told = self.frame.assign(**{column: self.frame[column].map(json.dumps) for column in JSON})
        told.to_csv(path, index=False)

    def to_parquet(self, path: Path) -> None:
        """Write the table as Parquet, which takes pyarrow; versions become JSON.

        Raises
        ------
        ImportError
            If pyarrow is not installed.
        """
        self.frame.assign(versions=self.frame["versions"].map(json.dumps)).to_parquet(path, engine="pyarrow")


def load(paths: Iterable[Path]) -> Loaded:
    """Read results files, and folders of them, into one table.

    Parameters
    ----------
    paths : iterable of Path
        Files: `compare`'s results.jsonl, asv's results, pytest-benchmark's JSON. Folders are searched for them.
    """
    rows: list[Row] = []
    problems: list[str] = []
    for path in paths:
        files = _files(path)
        if not files:
            problems.append(f"{path}: no results there")
        for file in files:
            try:
                found, told = _read(file)
            except Broken as error:
                problems.append(f"{file}: {in_words(error)}")
                continue
            rows += [row | {"file": str(file)} for row in found]
            problems += [f"{file}: {line}" for line in told]
    timed = [row for row in rows if "samples" in row]
    unranked = [row for row in rows if "samples" not in row]
    frame = pd.DataFrame(timed, columns=list(COLUMNS))
    return Loaded(frame.assign(time=pd.to_datetime(frame["time"], utc=True)), problems, unranked)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(itertools.chain(path.rglob("*.jsonl"), path.rglob("*.json")))
    return [file for file in found if file.name not in SKIPPED]


def _read(file: Path) -> tuple[list[Row], list[str]]:
    """Return a file's rows, and what is wrong with it although it could be read."""
    about = file.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("not a file")
    if about.st_size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE // 10**6} MB")
    if file.suffix == ".jsonl":
        return of_compare(file)
    told = json.loads(file.read_bytes())
    if isinstance(told, dict) and "result_columns" in told:
        rows = list(of_asv(told, file.parent.name))
    elif isinstance(told, dict) and "benchmarks" in told and "machine_info" in told:
        rows = list(of_pytest(told))
    else:
        raise ValueError("neither asv's results nor pytest-benchmark's")
    return rows, [] if rows else ["no times of the backward pass in it"]
