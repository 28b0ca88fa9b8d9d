"""Options of the command line: those of several commands, and what options may hold, or else the line that is said."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import click


def several(kind: type, least: int | None = None) -> Callable[..., Any]:
    """Make the callback of an option that may be repeated, or hold several values with commas between them."""

    def callback(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Any, ...]:
        found = []
        for text in (part.strip() for value in values for part in value.split(",")):
            try:
                found.append(kind(text))
            except ValueError:
                raise click.BadParameter(f"{text!r} is not a whole number", context, parameter) from None
            if least is not None and found[-1] < least:
                raise click.BadParameter(f"{text} is less than {least}", context, parameter)
        return tuple(dict.fromkeys(found))

    return callback


def words(allowed: Sequence[str]) -> Callable[..., Any]:
    """Make the callback of such an option that takes only these words."""
    split = several(str)

    def callback(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
        found: tuple[str, ...] = split(context, parameter, values)
        for text in found:
            if text not in allowed:
                raise click.BadParameter(f"{text!r} is not one of {', '.join(allowed)}", context, parameter)
        return found

    return callback


def size_in_bytes(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Read a size like 8GB, 500 MB or a number of bytes."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d*)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not found:
        raise click.BadParameter(f"{text!r} is not a size like 8GB", context, parameter)
    return int(float(found[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[found[2].upper()])


def finite(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse NaN, which no range excludes."""
    if math.isnan(value):
        raise click.BadParameter("nan is not a number of seconds", context, parameter)
    return value


impl = click.option(
    "--impl",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A name: only the named ones. PACKAGE.MODULE:FUNCTION: your own takes part too. May be repeated.",
)
peers = click.option("--peers", is_flag=True, help="With other libraries': torch, torch_compile, jax, numexpr.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output instead of tables.")
