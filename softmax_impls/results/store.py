"""Results of `compare` on disk: JSON Lines, one measured cell on each line.

A cell is appended as soon as it is measured. A run that is killed loses at most the cell that was being written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from softmax_impls.results.reading import UNREADABLE, Problems, ResultsError, check_file, describe
from softmax_impls.timing.records import SCHEMA, Cell, Environment
from softmax_impls.timing.workloads import CellKey

__all__ = ["FILE", "ResultsError", "append", "continue_from", "read", "write"]

FILE = "results.jsonl"
OLD_SCHEMA = "written by the first edition (schema 1): measure again with 'softmax-impls compare'"

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Cell)


class _Header(msgspec.Struct):
    schema: int = SCHEMA


_HEADER_DECODER = msgspec.json.Decoder(_Header)


def append(path: Path, cell: Cell) -> None:
    """Add a cell to the end of a file. The file is created if it does not exist.

    The cell is on disk when this returns. If the process dies earlier, the file holds a part of a line, which `read`
    leaves out.

    Raises
    ------
    ValueError
        If a value of the cell is outside the bounds of its type, as NaN is. Nothing is written.
    """
    line = _encode(cell)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, cells: Iterable[Cell]) -> None:
    """Write a new file with these cells, and replace the old file with it in one step.

    Raises
    ------
    ValueError
        If a value of a cell is outside the bounds of its type. The old file stays.
    """
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.writelines(map(_encode, cells))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read(path: Path) -> tuple[list[Cell], list[str]]:
    """Read the cells of a file.

    Returns
    -------
    cells : list of Cell
        In the order of the file. If a cell was written several times, the last record counts.
    problems : list of str
        One line for each kind of damage, as "line 3: Expected `int` >= 1 - at `$.batch`". A line that cannot be read
        costs itself, not the other lines.

    Raises
    ------
    ResultsError
        If the file itself cannot be read.
    """
    cells, problems, cut_off = _read(path)
    return list(cells.values()), [*problems, *cut_off]


def continue_from(path: Path, environment: Environment, seed: int, sources: Mapping[str, str]) -> list[Cell]:
    """Return the cells of an interrupted run, after a check that the new cells will be comparable with them.

    Parameters
    ----------
    path : Path
        The results file. If it does not exist, no cells are returned.
    environment : Environment
        The environment of the new run. Machine and versions must be equal.
    seed : int
        The seed of the new run. It must be equal.
    sources : mapping of str to str
        The fingerprint of the source of each implementation of the new run. They must be equal.

    Raises
    ------
    ResultsError
        If the cells are not comparable, or if the file holds lines that cannot be read. A last line that is cut off is
        no error: its cell is missing from the result.
    """
    if not path.exists():
        return []
    try:
        cells, problems, _ = _read(path)
    except ResultsError as error:
        raise ResultsError(f"{path}: {error}") from None
    if problems:
        raise ResultsError(f"{path}: {problems[0]}")
    for cell in cells.values():
        for what, then, now in (
            ("machine", cell.environment.machine, environment.machine),
            ("versions", cell.environment.versions, environment.versions),
            ("seed", cell.seed, seed),
            ("implementations", {kernel.name: kernel.source for kernel in cell.kernels}, sources),
        ):
            if then != now:
                raise ResultsError(f"{path} was measured with different {what}: {_difference(then, now)}")
    return list(cells.values())


def _encode(cell: Cell) -> bytes:
    line = _ENCODER.encode(msgspec.structs.replace(cell, file=""))
    _DECODER.decode(line)  # checks the bounds, which creating a record does not
    return line + b"\n"


def _read(path: Path) -> tuple[dict[CellKey, Cell], list[str], list[str]]:
    """Return cells, problems, and the problem of a last line that is cut off."""
    check_file(path)
    cells: dict[CellKey, Cell] = {}
    problems, old_schema = Problems(), False
    number = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                cell = _DECODER.decode(line)
            except UNREADABLE as error:
                if _is_cut_off(line):
                    return cells, problems.lines(), [f"line {number}: cut off"]
                if _schema(line) == 1:
                    old_schema = True
                else:
                    problems.add(f"line {number}", describe(error))
            else:
                cells[cell.key] = cell
    lines = [OLD_SCHEMA] if old_schema else []
    return cells, [*lines, *problems.lines(), *([] if number else ["empty"])], []


def _is_cut_off(line: bytes) -> bool:
    """Whether it is the beginning of a JSON object, at the end of the file."""
    if line.endswith(b"\n") or not line.startswith(b"{"):
        return False
    try:
        msgspec.json.decode(line)
    except UNREADABLE:
        return True
    return False


def _schema(line: bytes) -> int | None:
    try:
        return _HEADER_DECODER.decode(line).schema
    except UNREADABLE:
        return None


def _difference(then: object, now: object) -> str:
    """Return what differs: "numpy 2.3.5, now 2.4.6"."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return f"{then}, now {now}"
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return ", ".join(f"{key} {then.get(key, 'missing')}, now {now.get(key, 'missing')}" for key in keys)
