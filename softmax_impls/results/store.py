"""Results of `compare` on disk: JSON Lines, one measured cell on each line.

A cell is appended as soon as it is measured. A run that is killed loses at most the cell that was being written.
"""

import datetime
import io
import os
import re
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
PACKAGES = ("python", "softmax-impls", "numpy", "numba", "llvmlite")  # the times of all implementations depend on these
_DECODER = msgspec.json.Decoder(Cell)
_locked: dict[Path, int] = {}  # descriptors of folders that a comparison of this process has locked


def append(path: Path, cell: Cell) -> None:
    """Add a cell to the end of a file, which is created if necessary. The cell is on disk when the function returns.

    If a value is outside the bounds of its type, for example NaN, raise ValueError and write nothing.
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
    """Create an empty file and its folder. The results of an earlier run are renamed to end in `.previous.jsonl`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size:
        path.replace(path.with_suffix(".previous.jsonl"))
    path.touch()


def write(path: Path, cells: Iterable[Cell]) -> None:
    """Replace a file in one step. If a value is outside the bounds of its type, raise ValueError and keep the file."""
    with replacing(path) as file:
        file.writelines(map(_encode, cells))
        file.flush()
        os.fsync(file.fileno())


class ResultsFile:
    """The results file of a comparison. A failed write does not end the comparison. Without a path, write nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.lacks = ""  # why the file lacks cells; "" if no write failed

    def lock(self) -> None:
        """Lock the folder until `finish`; ResultsError if a comparison in another process writes to it."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._unlock()
        with suppress(ImportError, OSError):  # on Windows, or on a file system without locks
            import fcntl

            folder = os.open(self._path.parent, os.O_RDONLY)
            _locked[self._path.parent.resolve()] = folder
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._unlock()
                raise ResultsError(f"another comparison writes to {self._path.parent}") from None

    def _unlock(self) -> None:
        if self._path and (folder := _locked.pop(self._path.parent.resolve(), None)) is not None:
            os.close(folder)

    def append(self, cell: Cell, say: Callable[[str], object]) -> None:
        """Append a cell. If this fails, for example on a full disk, call `say` with the reason."""
        try:
            if self._path:
                append(self._path, cell)
        except OSError as error:
            self.lacks = f"{self._path} lacks cells: {describe(error)}"
            say(self.lacks)

    def finish(self, cells: Collection[Cell]) -> list[str]:
        """Write the file anew, with one line for each cell; unlock the folder; return [`lacks`], or [] if it is ""."""
        with suppress(OSError):
            if self._path and cells:
                write(self._path, cells)
                self.lacks = ""
        self._unlock()
        return [self.lacks] if self.lacks else []


def read(path: Path) -> tuple[list[Cell], list[str]]:
    """Return the cells of a file as `decode` does, and a line for each kind of damage.

    If the file cannot be opened, raise `ResultsError`.
    """
    problems = Problems()
    return decode(read_bytes(path), problems), problems.lines()


def decode(data: bytes, problems: Problems) -> list[Cell]:
    """Return the cells of a file, in its order. After each step of a cell, a line was added: only the last line counts.

    A line that cannot be read is left out. If only kernels, the control or the roofline of a line cannot be read, the
    rest of the line is kept.
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
    """Return the cells of an interrupted run; no cells if there is no file. A last line that is cut off is left out.

    Raise `ResultsError` if the file has other damage, or if new cells would not be comparable with its cells. Machine,
    host, seed, `sources` and versions must be equal. `sources` has the fingerprint of the source of each
    implementation. The versions are those of `PACKAGES`, and of the `packages` that the implementations require.
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
    """Return the cells of a file; it may be missing, empty or cut off. Raise `ResultsError` for other damage."""
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
    """Raise `ResultsError` if a value, for example the seed, is not the same in the file (`before`) and `now`."""
    if before != now:
        raise ResultsError(f"{path} was measured with different {name}: {_difference(before, now)}")


def _encode(cell: Cell) -> bytes:
    line = msgspec.json.encode(msgspec.structs.replace(cell, file=""))
    _DECODER.decode(line)  # checks the bounds; creating a record does not check them
    return line + b"\n"


def _decode(line: bytes, position: str, problems: Problems) -> Cell:
    """Decode a line. Leave out kernels, control and roofline that cannot be read; raise if another part cannot."""
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
    """Return the problem of a line that cannot be decoded, as text."""
    problem = describe(error)
    if found := re.fullmatch(r"Invalid value (\d+) - at `\$\.schema`", problem):
        return (OLD_SCHEMA if int(found[1]) < SCHEMA else NEW_SCHEMA).format(found[1])
    return problem


def _is_cut_off(line: bytes) -> bool:
    """Whether a line was cut off: it is the last line of a file, and only the beginning of a JSON object.

    The error that `_decode` raises does not show this, because `_decode` checks each value before it reaches the end of
    the line. If 0.0001 is cut to 0.0, for example, the error may be that 0.0 is out of bounds.
    """
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
