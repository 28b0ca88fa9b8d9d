"""Results on disk: one line of JSON per cell and implementation, appended whole cells at a time.

A run that is stopped, or killed, loses the cell it was at and nothing else: a cell counts when all of its lines are
there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from softmax_impls.timing.session import SCHEMA, Row
from softmax_impls.timing.workloads import Cell

FILE = "results.jsonl"
SAME_RUN = ("machine", "versions")  # what has to agree for results to be continued

_KINDS: dict[type | tuple[type, ...], tuple[str, ...]] = {  # what rows are read for, and its types
    str: ("workload", "dtype", "implementation", "status", "note", "accurate_for"),
    int: ("batch", "dim", "threads", "rows_in_cell", "calls_per_sample", "temporary_bytes"),
    dict: ("machine", "versions", "errors"),
    bool: ("control",),
    list: ("samples",),
    (int, float): ("first_call_seconds", "compiler_start_seconds"),
    (int, float, type(None)): ("seconds",),
}


class ResultsError(ValueError):
    """A results file that can not be read or continued; the message names the file and the place."""


def cell_of(row: Row) -> Cell:
    """Return the cell that a row belongs to."""
    return Cell(row["workload"], row["batch"], row["dim"], row["dtype"], row["threads"])


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add one cell's rows, all of them or, if the process dies meanwhile, as good as none."""
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, cells: Iterable[Sequence[Row]]) -> None:
    """Write these cells in place of what was there."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch()
    for rows in cells:
        append(temporary, rows)
    temporary.replace(path)


def read(path: Path) -> dict[Cell, list[Row]]:
    """Return the whole cells of a results file; a line cut off at its end, and its cell, are left out.

    Raises
    ------
    ResultsError
        If the file can not be read, or a line before the last is not a row of results.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: {error}") from None
    cells: dict[Cell, list[Row]] = {}
    for number, line in enumerate(lines[:-1], start=1):  # after the last newline: nothing, or a line cut off
        try:
            row = json.loads(line)
            _check(row)
            cells.setdefault(cell_of(row), []).append(row)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ResultsError(f"{path}, line {number}: not a row of results: {error!r}") from None
    return {cell: rows for cell, rows in cells.items() if len(rows) == rows[0]["rows_in_cell"]}


def continued(path: Path, now: Row, names: Iterable[str]) -> dict[Cell, list[Row]]:
    """Return the cells to go on from, after checking that they were made like those to come.

    Parameters
    ----------
    path : Path
        The results file; nothing is returned if there is none yet.
    now : dict
        What this run would write for `SAME_RUN`.
    names : iterable of str
        The implementations that take part now.
    """
    cells = read(path) if path.exists() else {}
    for rows in cells.values():
        for key in SAME_RUN:
            if rows[0][key] != now[key]:
                raise ResultsError(f"{path} was made with another {key}: {_difference(rows[0][key], now[key])}")
        if {row["implementation"] for row in rows} != set(names):
            raise ResultsError(f"{path} was made with other implementations")
    return cells


def _check(row: Any) -> None:
    """Raise if a row lacks what is read of it, or has it in another type."""
    if row["schema"] != SCHEMA:
        raise ValueError(f"schema {row['schema']} instead of {SCHEMA}")
    for kind, keys in _KINDS.items():
        for key in keys:
            if not isinstance(row[key], kind):
                raise TypeError(f"{key} is {row[key]!r}")
    if not all(isinstance(sample, int | float) and sample > 0 for sample in row["samples"]):
        raise ValueError("samples are not all positive numbers")


def _difference(then: dict[str, Any], now: dict[str, Any]) -> str:
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return ", ".join(f"{key} {then.get(key)}, now {now.get(key)}" for key in keys)
