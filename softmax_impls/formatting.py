"""Format sizes, times, counts and exceptions for people."""

import difflib
import os
import traceback
from collections.abc import Iterable

MAX_ERROR_CHARACTERS = 500
KERNEL_ERRORS = (Exception, SystemExit)  # errors of other people's code; KeyboardInterrupt comes from the user
NOT_OF_THE_USER = (  # a file is not the user's code if its name contains one of these
    os.path.join(os.path.dirname(__file__), ""),
    os.path.join(os.path.dirname(os.__file__), ""),
    "site-packages",
    "dist-packages",
    "<",  # code without a file, such as "<frozen importlib._bootstrap>"
)


def one_line(error: BaseException) -> str:
    """Return an exception as one printable line: its type, its message, and its place in the user's code if known."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # the exception's own __str__ failed
        text = type(error).__name__
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return (text if len(text) <= MAX_ERROR_CHARACTERS else text[:MAX_ERROR_CHARACTERS] + "…") + _origin(error)


def _origin(error: BaseException) -> str:
    """Return the innermost line of the user's own code, as " (kernels.py:12)"; "" if there is none."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if not any(part in frame.f_code.co_filename for part in NOT_OF_THE_USER):
            place = f" ({os.path.basename(frame.f_code.co_filename)}:{line})"
    return place


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'imagenet'?" if a known name is similar, else ""."""
    return "".join(f"; did you mean {close!r}?" for close in difflib.get_close_matches(name, list(known), n=1))


def format_bytes(number: float) -> str:
    """Return a number of bytes with a decimal unit: 8.6 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= 0.99995 * size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} bytes"


def format_seconds(seconds: float) -> str:
    """Return a time with three significant digits: 34.2 µs."""
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def format_count(number: int, noun: str) -> str:
    """Return a number and its noun: "1 cell", "2 cells"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
