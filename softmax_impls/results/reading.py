"""Read files that may be damaged or hostile: get the content of a file, and describe its problems.

A bad entry is left out, and the rest of its file is read. Problems with the same text share a line.
"""

import json
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from softmax_impls.timing.records import Name

MAX_FILE_BYTES = 500_000_000
MAX_LINE = 200  # characters of an error message
MAX_KINDS = 20  # number of different problems that are listed for a file
UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError)

Fields = TypeVar("Fields", bound=Struct)


class ResultsError(ValueError):
    """A results file cannot be read or continued. The message names the file, or the position in it."""


def read_bytes(path: Path) -> bytes:
    """Return the content of a file or a pipe, converted to UTF-8; raise `ResultsError` if it cannot be read."""
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
            raise ResultsError("not a file")
        if status.st_size <= MAX_FILE_BYTES:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        if status.st_size > MAX_FILE_BYTES or len(data) > MAX_FILE_BYTES:
            raise ResultsError(f"larger than {MAX_FILE_BYTES // 10**6} MB")
    except (OSError, ValueError) as error:
        raise ResultsError(describe(error)) from None
    encoding = json.detect_encoding(data)  # programs on Windows write UTF-16, or a mark before UTF-8
    return data if encoding == "utf-8" else data.decode(encoding, "replace").encode()


def decode_json(data: bytes) -> Any:
    """Decode JSON. msgspec is faster than `json`, but only `json` accepts NaN and Infinity."""
    with suppress(*UNREADABLE):
        return msgspec.json.decode(data)
    return json.loads(data)


def read_fields(content: object, kind: type[Fields], problems: "Problems", position: str = "") -> Fields:
    """Return `content` as a record of type `kind`. An optional field that is null or cannot be read counts as missing.

    If a field cannot be read, add a problem at `position`, followed by the name of the field.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError:
        readable = msgspec.convert(content, dict[str, Any])
        for field in msgspec.structs.fields(kind):
            if not field.required and (value := readable.pop(field.encode_name, None)) is not None:
                with problems.at(position + field.encode_name):
                    msgspec.convert(value, field.type)
                    readable[field.encode_name] = value
        return msgspec.convert(readable, kind)


def read_versions(stated: Mapping[str, Any], problems: "Problems") -> dict[str, str]:
    """Return the versions that can be read, by package, and add a line to `problems` for each other version.

    Tools may state "" or null instead of a version. Such versions are left out, without a line.
    """
    found: dict[str, str] = {}
    for package, version in stated.items():
        if version:
            with problems.at(f"version of {package}"):
                found |= msgspec.convert({package: version}, dict[Name, Name])
    return found


def printable(text: object) -> str:
    """Return a text or a path with "?" for each character that is not printable."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def describe(error: Exception) -> str:
    """Return an error as one printable line. If the line is too long, its middle is left out."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _one_line(re.sub(r"matching regex '.*'", "without control characters", str(error)))  # the regex of `Name`


def _one_line(text: str) -> str:
    text = printable(" ".join(text.split()))
    return text if len(text) <= MAX_LINE else f"{text[: MAX_LINE // 2]}…{text[-MAX_LINE // 2 :]}"


@dataclass
class _Kind:
    """The problems that have the same text."""

    first: str  # position of the first problem
    count: int = 0
    files: int = 0


class Problems:
    """The problems of a file, or of several files. Problems with the same text share a line, which counts them."""

    def __init__(self, max_kinds: int = MAX_KINDS) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._max_kinds = max_kinds

    def add(self, position: str, problem: str, count: int = 1, files: int = 0) -> None:
        """Add a problem and its position in the file; "" is the whole file.

        `count` is added to the number of times that this problem occurred, and `files` to the number of files with this
        problem. If there are too many different problems, a new problem counts as "other problems".
        """
        if problem not in self._kinds and len(self._kinds) >= self._max_kinds:
            problem = "other problems"
        kind = self._kinds.setdefault(problem, _Kind(_one_line(position)))
        kind.count += count
        kind.files += files

    def add_file(self, name: str, problems: "Problems") -> None:
        """Add all `problems` that were found in one file. `name` is the name of the file."""
        for problem, kind in problems._kinds.items():
            self.add(f"{name}: {kind.first}" if kind.first else name, problem, kind.count, files=1)

    @contextmanager
    def at(self, position: str) -> Iterator[None]:
        """If the body of the `with` statement raises one of `UNREADABLE`, add a problem, and go on after the body."""
        try:
            yield
        except UNREADABLE as error:
            self.add(position, describe(error))

    def lines(self) -> list[str]:
        """Return a text for each kind of problem, such as "line 3 and 4 more: Expected `int` >= 1 - at `$.batch`"."""
        lines = []
        for problem, kind in self._kinds.items():
            more = f" and {kind.count - 1} more" if kind.count > 1 else ""
            files = f" in {kind.files} files" if kind.files > 1 else ""
            lines.append(f"{kind.first}{more}{files}: {problem}" if kind.first else problem)
        return lines
