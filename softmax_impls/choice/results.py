"""Results on disk: one line of JSON per cell and implementation, appended whole cells at a time.

A run that is stopped, or killed, loses the cell it was at and nothing else: a cell counts when all of its lines are
there.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softmax_impls.timing.entry import LIMIT, STATUSES
from softmax_impls.timing.session import SCHEMA, Row
from softmax_impls.timing.workloads import Cell

FILE = "results.jsonl"
SAME_RUN = ("machine", "versions", "seed")  # what has to agree for results to be continued

_KINDS: dict[type | tuple[type, ...], tuple[str, ...]] = {  # what rows are read for, and its types
    str: ("workload", "dtype", "implementation", "status", "note", "accurate_for", "source"),
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
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
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
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ResultsError(f"{path}: {error}") from None
    cells: dict[Cell, list[Row]] = {}
    for number, line in enumerate(lines[:-1], start=1):  # after the last newline: nothing, or a line cut off
        try:
            row = json.loads(line, parse_constant=_no_number)
            _check(row)
            cells.setdefault(cell_of(row), []).append(row)
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise ResultsError(f"{path}, line {number}: not a row of results: {error!r}") from None
    return {cell: whole for cell, rows in cells.items() if (whole := _last_whole(rows))}


def _last_whole(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a cell that were written together last; it may have been kept several times, once in part."""
    whole: list[Row] = []
    block: dict[tuple[str, bool], Row] = {}
    for row in rows:
        name = row["implementation"], row["control"]
        if name in block or any(one["rows_in_cell"] != row["rows_in_cell"] for one in block.values()):
            block = {}
        block[name] = row
        if len(block) == row["rows_in_cell"]:
            whole, block = list(block.values()), {}
    return whole


def continued(path: Path, now: Row, sources: Mapping[str, str]) -> dict[Cell, list[Row]]:
    """Return the cells to go on from, after checking that they were made like those to come.

    Parameters
    ----------
    path : Path
        The results file; nothing is returned if there is none yet.
    now : dict
        What this run would write for `SAME_RUN`.
    sources : mapping of str to str
        The implementations that take part now, and the fingerprints of their source.
    """
    cells = read(path) if path.exists() else {}
    for rows in cells.values():
        for row, key in itertools.product(rows, SAME_RUN):
            if row[key] != now[key]:
                raise ResultsError(f"{path} was made with another {key}: {_difference(row[key], now[key])}")
        if then := _difference(
            {row["implementation"]: row["source"] for row in rows if row["status"] != LIMIT}, sources
        ):
            raise ResultsError(f"{path} was made with other implementations, or other versions of them: {then}")
    return cells


def _check(row: Any) -> None:
    """Raise if a row lacks what is read of it, or has it in another type."""
    if row["schema"] != SCHEMA:
        raise ValueError(f"schema {row['schema']} instead of {SCHEMA}")
    for kind, keys in _KINDS.items():
        for key in keys:
            if not isinstance(row[key], kind):
                raise TypeError(f"{key} is {row[key]!r}")
    numbers = [*row["samples"], 1 if row["seconds"] is None else row["seconds"]]
    if not all(isinstance(number, int | float) and 0 < float(number) < math.inf for number in numbers):
        raise ValueError("samples and seconds are not all positive numbers")
    visits = row.get("visits", [])
    if not (isinstance(visits, list) and all(type(n) is int and n > 0 for n in visits) and sum(visits) <= len(numbers)):
        raise ValueError(f"visits are {str(visits)[:50]}")
    if not all(error is None or isinstance(error, int | float) for error in row["errors"].values()):
        raise TypeError(f"errors are {row['errors']!r}")
    if row["status"] not in STATUSES:
        raise ValueError(f"status is {row['status']!r}")


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _difference(then: Any, now: Any) -> str:
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return f"{then}, now {now}"
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return ", ".join(f"{key} {then.get(key)}, now {now.get(key)}" for key in keys)
