"""Results of `compare` on disk: JSON Lines, one measured cell on each line.

A cell is appended as soon as it is measured. A run that is killed loses at most the cell that was being written.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from softmax_impls.results.reading import UNREADABLE, Problems, ResultsError, check_file, describe
from softmax_impls.timing.records import Cell, Environment
from softmax_impls.timing.workloads import CellKey

__all__ = ["FILE", "ResultsError", "append", "continue_from", "read", "write"]

FILE = "results.jsonl"
OLD_SCHEMA = "written by the first edition (schema 1): measure again with 'softmax-impls compare'"
CUT_OFF = "cut off"
_DECODER = msgspec.json.Decoder(Cell)


def append(path: Path, cell: Cell) -> None:
    """Add a cell to the end of a file, which is created if necessary; the cell is on disk when this returns.

    If a value is outside the bounds of its type, as NaN is, raise ValueError and write nothing.
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
    """Replace a file in one step. If a value is outside the bounds of its type, raise ValueError; the file stays."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.writelines(map(_encode, cells))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read(path: Path) -> tuple[list[Cell], list[str]]:
    """Return the last record of each cell, in the order of the file, and a line for each kind of damage.

    A line that cannot be read costs itself, not the other lines. If the file cannot be opened, raise `ResultsError`.
    """
    check_file(path)
    cells: dict[CellKey, Cell] = {}
    problems = Problems()
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                if line.strip():
                    cell = _DECODER.decode(line)
                    cells[cell.key] = cell
            except UNREADABLE as error:
                problem = CUT_OFF if _is_cut_off(line) else describe(error)
                problems.add(f"line {number}", OLD_SCHEMA if problem == "Invalid value 1 - at `$.schema`" else problem)
    return list(cells.values()), problems.lines() or ([] if cells else ["empty"])


def continue_from(path: Path, environment: Environment, seed: int, sources: Mapping[str, str]) -> list[Cell]:
    """Return the cells of an interrupted run, without the cell that was being written; no cells if there is no file.

    Raise `ResultsError` if the file has other damage, or if new cells would not be comparable with its cells: machine,
    versions, seed, and the fingerprint of the source of each implementation must be equal.
    """
    if not path.exists():
        return []
    try:
        cells, problems = read(path)
    except ResultsError as error:
        raise ResultsError(f"{path}: {error}") from None
    damage = [problem for problem in problems if not problem.endswith(f": {CUT_OFF}")]
    if damage:
        raise ResultsError(f"{path}: {damage[0]}")
    for cell in cells:
        for what, then, now in (
            ("machine", cell.environment.machine, environment.machine),
            ("versions", cell.environment.versions, environment.versions),
            ("seed", cell.seed, seed),
            ("implementations", {kernel.name: kernel.source for kernel in cell.kernels}, sources),
        ):
            if then != now:
                raise ResultsError(f"{path} was measured with different {what}: {_difference(then, now)}")
    return cells


def _encode(cell: Cell) -> bytes:
    line = msgspec.json.encode(msgspec.structs.replace(cell, file=""))
    _DECODER.decode(line)  # checks the bounds, which creating a record does not
    return line + b"\n"


def _is_cut_off(line: bytes) -> bool:
    """Whether the last line is the beginning of a JSON object. Its bounds do not count: 0.0001 may be cut to 0.0."""
    if line.startswith(b"{") and not line.endswith(b"\n"):
        try:
            msgspec.json.decode(line)
        except UNREADABLE:
            return True
    return False


def _difference(then: object, now: object) -> str:
    """Return what differs: "numpy 2.3.5, now 2.4.6"."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return f"{then}, now {now}"
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return ", ".join(f"{key} {then.get(key, 'missing')}, now {now.get(key, 'missing')}" for key in keys)
