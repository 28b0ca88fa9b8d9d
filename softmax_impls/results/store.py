"""Results of `compare` on disk: JSON Lines, one measured cell on each line.

A cell is appended as soon as it is measured. A run that is killed loses at most the cell that was being written.
"""

import datetime
import io
import os
import re
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from softmax_impls.results.reading import UNREADABLE, Problems, ResultsError, decode_json, describe, read_bytes
from softmax_impls.timing.records import SCHEMA, Cell, Control, Environment, KernelResult, Roofline
from softmax_impls.timing.workloads import CellKey
from softmax_impls.user_cache import replacing

FILE = "results.jsonl"
OLD_SCHEMA = "written by an earlier edition (schema {}): measure again with 'softmax-impls compare'"
NEW_SCHEMA = "written by a later edition (schema {}): install a newer softmax-impls"
CUT_OFF = "cut off"
PACKAGES = ("python", "softmax-impls", "numpy", "numba", "llvmlite")  # that the times of all implementations depend on
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


def start(path: Path) -> None:
    """Make an empty file, and its folder. A file of an earlier run is kept beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size:
        path.replace(path.with_suffix(".previous.jsonl"))
    path.touch()


def write(path: Path, cells: Iterable[Cell]) -> None:
    """Replace a file in one step. If a value is outside the bounds of its type, raise ValueError; the file stays."""
    with replacing(path) as file:
        file.writelines(map(_encode, cells))
        file.flush()
        os.fsync(file.fileno())


class ResultsFile:
    """The results file of a running comparison, which goes on if a write fails. Without a path, nothing is written."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.lacks = ""  # a line with the reason if the file lacks cells

    def lock(self) -> None:
        """Keep the folder for this comparison while this object exists; ResultsError if another one writes to it."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(ImportError):  # as on Windows
            import fcntl

            folder = os.open(self._path.parent, os.O_RDONLY)
            weakref.finalize(self, os.close, folder)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResultsError(f"another comparison writes to {self._path.parent}") from None
            except OSError:  # the file system has no locks
                return

    def append(self, cell: Cell, say: Callable[[str], object]) -> None:
        """Append a cell; `say` receives a line if that fails, as on a full disk."""
        try:
            if self._path:
                append(self._path, cell)
        except OSError as error:
            self.lacks = f"{self._path} lacks cells: {describe(error)}"
            say(self.lacks)

    def finish(self, cells: Collection[Cell]) -> list[str]:
        """Write the cells in place of the lines of the steps; return a line if the file lacks cells."""
        with suppress(OSError):
            if self._path and cells:
                write(self._path, cells)
                self.lacks = ""
        return [self.lacks] if self.lacks else []


def read(path: Path) -> tuple[list[Cell], list[str]]:
    """Return the cells of a file as `decode` does, and a line for each kind of damage.

    If the file cannot be opened, raise `ResultsError`.
    """
    problems = Problems()
    return decode(read_bytes(path), problems), problems.lines()


def decode(data: bytes, problems: Problems) -> list[Cell]:
    """Return the cells of a file, in its order. If a cell was stored after each of its steps, the last record counts.

    A line that cannot be read is left out. So is a kernel, control or roofline, but not the rest of its line.
    """
    cells: dict[tuple[CellKey, datetime.datetime | None, str, str], Cell] = {}
    for number, line in enumerate(io.BytesIO(data), start=1):
        if line.strip():
            try:
                cell = _decode(line, f"line {number}", problems)
                about = cell.environment
                cells[cell.key, cell.time, about.machine, about.host] = cell
            except UNREADABLE as error:
                problems.add(f"line {number}", CUT_OFF if _is_cut_off(line) else _describe(error))
    if not data.strip():
        problems.add("", "empty")
    return list(cells.values())


def continue_from(
    path: Path, environment: Environment, seed: int, sources: Mapping[str, str], packages: Collection[str] = ()
) -> list[Cell]:
    """Return the cells of an interrupted run, without the cell that was being written; no cells if there is no file.

    Raise `ResultsError` if the file has other damage, or if new cells would not be comparable with its cells: machine,
    host, seed, the fingerprint of the source of each implementation, and the versions of `PACKAGES` and of `packages`,
    which the implementations require, must be equal.
    """
    cells = read_whole(path)
    needed = {*PACKAGES, *packages}
    for cell in cells:
        then = cell.environment
        alike: list[tuple[str, object, object]] = [
            ("machine", then.machine, environment.machine),
            ("host", then.host or "unknown", environment.host or "unknown"),
            ("versions", _some(then.versions, needed), _some(environment.versions, needed)),
            ("seed", cell.seed, seed),
            ("implementations", {kernel.name: kernel.source for kernel in cell.kernels}, sources),
        ]
        for name, before, now in alike:
            refuse_if_different(path, name, before, now)
    return cells


def read_whole(path: Path) -> list[Cell]:
    """Return the cells of a file that has no damage but a last line that is cut off; none if it is missing or empty."""
    if not path.exists() or path.stat().st_size == 0:  # empty: `compare` was interrupted before its first cell
        return []
    try:
        cells, problems = read(path)
    except ResultsError as error:
        raise ResultsError(f"{path}: {error}") from None
    damage = [problem for problem in problems if not problem.endswith(f": {CUT_OFF}")]
    if damage:
        raise ResultsError(f"{path}: {damage[0]}")
    return cells


def refuse_if_different(path: Path, name: str, before: object, now: object) -> None:
    """Raise `ResultsError` if `before`, which the file was measured with, differs from `now`. `name` names both."""
    if before != now:
        raise ResultsError(f"{path} was measured with different {name}: {_difference(before, now)}")


def _encode(cell: Cell) -> bytes:
    line = msgspec.json.encode(msgspec.structs.replace(cell, file=""))
    _DECODER.decode(line)  # checks the bounds, which creating a record does not
    return line + b"\n"


def _decode(line: bytes, position: str, problems: Problems) -> Cell:
    """Decode a line. If something else than a kernel, the control or the roofline cannot be read, raise its error."""
    try:
        return _DECODER.decode(line)
    except msgspec.MsgspecError as error:
        whole, lost = error, dict[str, str]()

    def readable(part: str, values: Iterable[Any], kind: type[Struct]) -> Iterator[Any]:
        for number, value in enumerate(values):
            try:
                yield msgspec.convert(value, kind)
            except UNREADABLE as error:
                lost[f"{position}, {part} {number}"] = describe(error)

    try:
        content = decode_json(line)
        content["kernels"] = list(readable("kernel", content["kernels"], KernelResult))
        for part, kind in (("control", Control), ("roofline", Roofline)):
            stated = [content[part]] if content.get(part) is not None else []
            content[part] = next(readable(part, stated, kind), None)
    except (AttributeError, KeyError, TypeError, *UNREADABLE):
        raise whole from None
    if content.get("schema") != SCHEMA or not content["kernels"]:
        raise whole
    cell = msgspec.convert(content, Cell)
    for where, problem in lost.items():
        problems.add(where, problem)
    return cell


def _describe(error: Exception) -> str:
    """Return the problem of a line."""
    problem = describe(error)
    if found := re.fullmatch(r"Invalid value (\d+) - at `\$\.schema`", problem):
        return (OLD_SCHEMA if int(found[1]) < SCHEMA else NEW_SCHEMA).format(found[1])
    return problem


def _is_cut_off(line: bytes) -> bool:
    """Whether a line is the last, and only the beginning of a JSON object. A value may be cut, too: 0.0001 to 0.0."""
    with suppress(*UNREADABLE):
        msgspec.json.decode(line)
        return False
    return line.startswith(b"{") and not line.endswith(b"\n")


def _some(versions: Mapping[str, str], packages: Collection[str]) -> dict[str, str]:
    return {package: version for package, version in versions.items() if package in packages}


def _difference(then: object, now: object) -> str:
    """Return a difference as text: "numpy 2.3.5, now 2.4.6"."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return f"{then}, now {now}"
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return ", ".join(f"{key} {then.get(key, 'missing')}, now {now.get(key, 'missing')}" for key in keys)
