"""Read files that may be damaged or hostile: check a file before it is opened, and describe its problems."""

import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

MAX_FILE_BYTES = 500_000_000
MAX_LINE = 200  # characters of an error message
MAX_KINDS = 20  # different problems of a file that are listed
UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError)


class ResultsError(ValueError):
    """A results file cannot be read or continued. The message names the file, or the position in it."""


def check_file(path: Path) -> None:
    """Raise `ResultsError` if the path is not a regular file, or if the file is larger than `MAX_FILE_BYTES`."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise ResultsError(describe(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise ResultsError("not a file")
    if status.st_size > MAX_FILE_BYTES:
        raise ResultsError(f"larger than {MAX_FILE_BYTES // 10**6} MB")


def printable(text: object) -> str:
    """Return a text or a path with "?" for each character that is not printable."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def describe(error: Exception) -> str:
    """Return an error as one printable line. Long content of the file is cut out of the middle."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _one_line(re.sub(r"matching regex '.*'", "without control characters", str(error)))  # the regex of `Name`


def _one_line(text: str) -> str:
    text = printable(" ".join(text.split()))
    return text if len(text) <= MAX_LINE else f"{text[: MAX_LINE // 2]}…{text[-MAX_LINE // 2 :]}"


class Problems:
    """The problems of one file. Problems with the same text share a line, so that a damaged file costs few lines."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}  # the position of the first problem of each kind
        self._counts = Counter[str]()  # "" counts the kinds beyond `MAX_KINDS`

    def add(self, position: str, problem: str) -> None:
        """Note a problem and its position in the file."""
        if len(self._first) < MAX_KINDS:
            self._first.setdefault(problem, _one_line(position))
        self._counts[problem if problem in self._first else ""] += 1

    @contextmanager
    def at(self, position: str) -> Iterator[None]:
        """Note the error that the body raises, if its content cannot be read, and go on."""
        try:
            yield
        except UNREADABLE as error:
            self.add(position, describe(error))

    def lines(self) -> list[str]:
        """Return a line for each kind of problem: "line 3 and 4 more: Expected `int` >= 1 - at `$.batch`"."""
        more = {problem: f" and {count - 1} more" if count > 1 else "" for problem, count in self._counts.items()}
        lines = [f"{position}{more[problem]}: {problem}" for problem, position in self._first.items()]
        return [*lines, f"{self._counts['']} more problems"] if self._counts[""] else lines
