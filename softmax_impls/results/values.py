"""Single values from files that anybody may have written: each is checked, and bounded, before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

LONGEST_NAME, LONGEST_NOTE = 200, 2000  # characters
LARGEST_SIZE = 2**40  # of a batch or a dim
LARGEST_COUNT = 2**62  # of bytes
SHORTEST, LONGEST = 1e-12, 1e6  # seconds of a call
FURTHEST = 1e18  # seconds of a call that was not made, by extrapolation
YEARS = range(1970, 2200)
MOST_FACTS = 50  # about a machine, or versions


def expected(what: str, value: object) -> ValueError:
    """Return what to raise, without the value at any length."""
    return ValueError(f"expected {what}, got {repr(value)[:50]}")


def text(value: object, most: int = LONGEST_NAME) -> str:
    """Return a text in one line, with question marks for controls and halves of characters, which JSON allows."""
    if not isinstance(value, str) or len(value) > most:
        raise expected("a name", value)
    return "".join(character if character.isprintable() else "?" for character in value)


def note(value: object) -> str:
    """Return a sentence or two, of what may be more."""
    return text(value[:LONGEST_NOTE] if isinstance(value, str) else value, LONGEST_NOTE)


def optional_text(value: object) -> str | None:
    """Return a text, or None."""
    return None if value is None else text(value)


def one_of(allowed: Sequence[str], value: object) -> str:
    """Return one of these words."""
    if not isinstance(value, str) or value not in allowed:
        raise expected(" or ".join(allowed), value)
    return value


def dtype(value: object) -> str:
    """Return the name of one that is timed."""
    return one_of(("float32", "float64"), value)


def size(value: object) -> int:
    """Return a number of rows, classes or threads."""
    if type(value) is not int or not 0 < value <= LARGEST_SIZE:
        raise expected("a size", value)
    return value


def count(value: object) -> int:
    """Return a number of things or bytes, zero among them."""
    if type(value) is not int or not 0 <= value < LARGEST_COUNT:
        raise expected("a whole number that is not negative", value)
    return value


def not_negative(value: object) -> float:
    """Return a number that is finite, and zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e308:
        raise expected("a number that is not negative", value)
    return float(value)


def positive(value: object, least: float = 0.0, most: float = 1e308) -> float:
    """Return a number that is finite, and more than zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value > 0 and least <= value <= most):
        raise expected("a positive number", value)
    return float(value)


def seconds(value: object) -> float:
    """Return the time of a call."""
    return positive(value, SHORTEST, LONGEST)


def seconds_of_each(value: object) -> list[float]:
    """Return the times of calls."""
    if not isinstance(value, list):
        raise expected("a list of seconds", value)
    return [seconds(one) for one in value]


def predicted(value: object) -> float | None:
    """Return the time of a call that may never have been made, or None."""
    return None if value is None else positive(value, most=FURTHEST)


def flag(value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise expected("true or false", value)
    return value


def facts(value: object) -> dict[str, Any]:
    """Return names, with a text, a finite number or nothing each: versions, or what a machine is."""
    if not isinstance(value, Mapping) or len(value) > MOST_FACTS:
        raise expected("names and short texts", value)
    return {
        text(key): not_negative(one) if isinstance(one, float) else count(one) if type(one) is int
        else optional_text(one) for key, one in value.items()
    }  # fmt: skip


def errors(value: object) -> dict[str, float | None]:
    """Return an error for each kind of input, or None."""
    if not isinstance(value, Mapping) or len(value) > MOST_FACTS:
        raise expected("errors by kind of input", value)
    return {text(kind): None if one is None else not_negative(one) for kind, one in value.items()}


def time(value: object) -> pd.Timestamp:
    """Return a time from what `datetime` writes, or from milliseconds since 1970; NaT if there is none."""
    if value is None:
        return pd.Timestamp("NaT")
    try:
        found = pd.Timestamp(text(value)) if isinstance(value, str) else pd.Timestamp(positive(value), unit="ms")
    except (ValueError, OverflowError):  # pandas quotes at any length
        raise expected("a time", value) from None
    if found.year not in YEARS:
        raise expected("a time", value)
    return found.tz_localize("UTC") if found.tzinfo is None else found.tz_convert("UTC")
