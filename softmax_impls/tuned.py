"""A rule that `softmax-impls tune` made from measurements: a small JSON file, checked through before it is followed.

It is looked for where platformdirs says that a user's configuration lives, if platformdirs is installed, or where
SOFTMAX_IMPLS_RULE points; "built-in" there switches it off. What is broken, or from another machine or version, costs a
warning, and the built-in rule is followed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softmax_impls import backward

SCHEMA = 1
FILE = "rule.json"
VARIABLE = "SOFTMAX_IMPLS_RULE"
BUILT_IN = "built-in"
LARGEST = 100_000  # bytes
MOST_LINES, LARGEST_BOUND = 32, 2**62
PACKAGES = ("softmax-impls", "numpy", "numba")  # whose versions the times depend on
CONDITIONS = {  # what a line may ask of a call, and how it is said
    "itemsize": "of at most {} bytes each",
    "threads": "at most {} threads",
    "rows": "at most {} rows",
    "classes": "at most {} classes",
    "elements": "at most {} elements",
}


@dataclass(frozen=True)
class Line:
    """One line of such a rule: the first whose conditions all hold decides.

    Attributes
    ----------
    impl : str
        What it picks.
    at_most : tuple of (str, int)
        Conditions, out of `CONDITIONS`; none: it always holds.
    """

    impl: str
    at_most: tuple[tuple[str, int], ...] = ()

    def holds(self, rows: int, classes: int, itemsize: int, threads: int) -> bool:
        """Whether this line decides about such a call."""
        values = {
            "rows": rows,
            "classes": classes,
            "itemsize": itemsize,
            "threads": threads,
            "elements": rows * classes,
        }
        return all(values[name] <= most for name, most in self.at_most)

    def in_words(self) -> str:
        """Return when it holds."""
        return ", ".join(CONDITIONS[name].format(most) for name, most in self.at_most) or "else"

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is written to the file."""
        return {"impl": self.impl, **{f"{name}_at_most": most for name, most in self.at_most}}


def place() -> Path | None:
    """Return where the rule is to be found; None if it is switched off, or nobody knows."""
    given = os.environ.get(VARIABLE, "")
    if given:
        return None if given == BUILT_IN else Path(given)
    if importlib.util.find_spec("platformdirs") is None:
        return None
    import platformdirs

    return platformdirs.user_config_path("softmax-impls", appauthor=False) / FILE


def here() -> dict[str, Any]:
    """Return what has to be the same for a rule to be followed: kind of machine, and versions."""
    from llvmlite import binding

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": binding.get_host_cpu_name(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
    }


def read(path: Path, check: Callable[[], dict[str, Any]] | None = here) -> tuple[Line, ...]:
    """Return the lines of a rule.

    Parameters
    ----------
    path : Path
    check : callable, optional
        Returns what the file has to say about where it was made; None: wherever that was.

    Raises
    ------
    OSError
        If it can't be read.
    ValueError
        If it is not such a rule, or from another machine or version; the message says what is wrong.
    """
    with path.open("rb") as file:
        text = file.read(LARGEST + 1)
    try:
        told = json.loads(text, parse_constant=_finite, parse_float=_finite) if len(text) <= LARGEST else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        raise ValueError(f"not a rule of schema {SCHEMA}")
    lines = told.get("rules")
    if not isinstance(lines, list) or not 0 < len(lines) <= MOST_LINES:
        raise ValueError(f"'rules' has to be a list of 1 to {MOST_LINES} lines")
    found = tuple(_line(number, line) for number, line in enumerate(lines, start=1))
    if found[-1].at_most:
        raise ValueError("the last line has conditions: it has to hold for every call")
    for key, now in check().items() if check else ():
        if told.get(key) != now:
            raise ValueError(f"made with another {key}: {_shown(told.get(key), 200)}, here {now}")
    return found


def _finite(text: str) -> float:
    """Return a number of the file; NaN and infinity are none."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{_shown(text)} is no number")
    return number


def _line(number: int, told: Any) -> Line:
    """Return one line of the file, after checking it."""
    if not isinstance(told, dict) or told.get("impl") not in backward.names():
        impl = told.get("impl") if isinstance(told, dict) else told
        raise ValueError(f"line {number}: 'impl' has to be one of {', '.join(backward.names())}, not {_shown(impl)!r}")
    at_most = []
    for key, most in told.items():
        name = key.removesuffix("_at_most")
        if key != "impl" and (name not in CONDITIONS or name == key or not _is_bound(most)):
            raise ValueError(f"line {number}: {_shown(key)!r}: {_shown(most)} is not a condition")
        if key != "impl":
            at_most.append((name, most))
    return Line(told["impl"], tuple(at_most))


def _shown(value: object, most: int = 50) -> str:
    """Return what a file has in the wrong place, in a line of so many characters at most."""
    return "".join(one if one.isprintable() else "?" for one in str(value)[:most])


def _is_bound(value: object) -> bool:
    return type(value) is int and 0 < value < LARGEST_BOUND


def asked_above(lines: Sequence[Line], default: str) -> int | None:
    """Return above how many elements lines have to be looked at, below which they pick the default; None: nowhere."""
    if all(line.impl == default for line in lines):
        return None
    first = lines[0]
    return first.at_most[0][1] if first.impl == default and [name for name, _ in first.at_most] == ["elements"] else 0


def write(path: Path, lines: Sequence[Line], **others: Any) -> None:
    """Write a rule for this machine and these versions, whole or not at all."""
    told = {"schema": SCHEMA, **here(), **others, "rules": [line.as_dict() for line in lines]}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(told, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
