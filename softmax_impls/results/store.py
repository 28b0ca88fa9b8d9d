"""Results on disk: one line of JSON per cell and implementation, appended whole cells at a time.

A run that is stopped, or killed, loses the cell it was at and nothing else: a cell counts when all of its lines are
there.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softmax_impls.results import values
from softmax_impls.timing.entry import DROPPED, LIMIT, STATUSES, TIMED
from softmax_impls.timing.session import SCHEMA, Row
from softmax_impls.timing.workloads import Cell

FILE = "results.jsonl"
SAME_RUN = ("machine", "versions", "seed")  # what has to agree for results to be continued
MOST_TOLD = 5  # cells that are told one by one

_CHECKS: dict[str, Callable[[Any], Any]] = {  # what rows are read for
    **dict.fromkeys(("workload", "implementation", "accurate_for", "source"), values.text),
    **dict.fromkeys(("batch", "dim", "threads", "rows_in_cell", "calls_per_sample"), values.size),
    **dict.fromkeys(("first_call_seconds", "compiler_start_seconds"), values.not_negative),
    **dict.fromkeys(("machine", "versions"), values.facts),
    "temporary_bytes": values.count,
    "dtype": values.dtype,
    "status": functools.partial(values.one_of, STATUSES),
    "note": values.note,
    "control": values.flag,
    "samples": values.seconds_of_each,
    "seconds": values.predicted,
    "errors": values.errors,
}
_OPTIONAL: dict[str, Callable[[Any], Any]] = {
    "visits": lambda told: [values.size(rounds) for rounds in told],
    "seed": values.count,
    "commit": values.optional_text,
    "time": values.optional_text,
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
    return read_whole(path)[0]


def read_whole(path: Path) -> tuple[dict[Cell, list[Row]], list[str]]:
    """Return the whole cells, as `read` does, and what there was beside them, a line each."""
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ResultsError(f"{path}: {error}") from None
    cells: dict[Cell, list[Row]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = _checked(json.loads(line, parse_constant=_no_number))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise ResultsError(f"{path}, line {number}: not a row of results: {_in_words(error)}") from None
        cells.setdefault(cell_of(row), []).append(row)
    whole = {cell: found for cell, rows in cells.items() if (found := _last_whole(rows))}
    problems = []
    if not (lines or rest):
        problems.append("empty")
    lost = [cell for cell in cells if cell not in whole]
    if rest:
        problems.append("cut off in its last line, whose cell is left out")
        lost = [cell for cell in lost if cell != next(reversed(cells))]
    problems += [f"{cell}: some of its rows are missing, it is left out" for cell in lost[:MOST_TOLD]]
    if len(lost) > MOST_TOLD:
        problems.append(f"so are {len(lost) - MOST_TOLD} more")
    return whole, problems


def _last_whole(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a cell that were written together last; it may have been kept several times, once in part."""
    whole: list[Row] = []
    block: dict[tuple[str, bool, bool], Row] = {}
    for row in rows:
        name = row["implementation"], row["control"], row["status"] == LIMIT
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
            if row.get(key) != now[key]:
                raise ResultsError(f"{path} was made with another {key}: {_difference(row.get(key), now[key])}")
        if then := _difference(
            {row["implementation"]: row["source"] for row in rows if row["status"] != LIMIT}, sources
        ):
            raise ResultsError(f"{path} was made with other implementations, or other versions of them: {then}")
    return cells


def _checked(row: Any) -> Row:
    """Return a row with all that is read of it checked."""
    if not isinstance(row, dict):
        raise values.expected("a row", row)
    if row["schema"] != SCHEMA:
        raise ValueError(f"schema {str(row['schema'])[:50]} instead of {SCHEMA}")
    checks = _CHECKS | {key: check for key, check in _OPTIONAL.items() if key in row}
    for key, check in checks.items():
        try:
            row[key] = check(row[key])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{key}: {error}") from None
    if row["samples"] and row["seconds"] is None:
        raise ValueError("samples, and no seconds")
    if row["status"] in (TIMED, DROPPED) and not (row["samples"] or row["control"]):
        raise ValueError(f"{row['status']}, and no samples")
    if sum(row.get("visits", ())) > len(row["samples"]):
        raise ValueError("visits: more rounds than there are samples")
    return row


def _in_words(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _difference(then: Any, now: Any) -> str:
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return f"{then}, now {now}"
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return ", ".join(f"{key} {then.get(key)}, now {now.get(key)}" for key in keys)
