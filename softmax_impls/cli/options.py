"""Options of the command line: those of several commands, and what options may hold, or else the line that is said."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from softmax_impls.cli.comparison import FOLDER
from softmax_impls.implementation import Implementation
from softmax_impls.registry import from_specs
from softmax_impls.report.terminal.console import kernels_to_stderr
from softmax_impls.threads import available_cores
from softmax_impls.timing.workloads import WORKLOADS

Part = tuple[int, int, float]  # of a mix: batch, dim, weight
Command = TypeVar("Command", bound=Callable[..., Any])


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


def chosen(specs: Sequence[str], peers: bool) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return what --impl and --peers ask for, and what is not available, with why."""
    try:
        with kernels_to_stderr():
            return from_specs(specs, peers=peers)
    except (ValueError, ImportError) as error:
        raise click.BadParameter(str(error), param_hint="--impl") from None


def check_threads(threads: int) -> None:
    """Refuse more threads than can run at once."""
    if threads > available_cores():
        raise click.UsageError(f"--threads: {threads} threads, but this process has {available_cores()} processors")


def size_in_bytes(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Read a size like 8GB, 500 MB or a number of bytes."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d*)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not found:
        raise click.BadParameter(f"{text!r} is not a size like 8GB", context, parameter)
    return int(float(found[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[found[2].upper()])


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN, which no range excludes."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number", context, parameter)
    return value


def in_mix(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[Part]:
    """Read parts of a mix: the name of a workload or a shape like 256x1000, and a weight after a colon."""
    parts = []
    for text in (part.strip() for value in values for part in value.split(",")):
        name, _, weight = text.partition(":")
        shape = re.fullmatch(r"(\d{1,12})[x×](\d{1,12})", name)
        if name not in WORKLOADS and not shape:
            known = ", ".join(WORKLOADS)
            raise click.BadParameter(
                f"{name!r} is neither a shape like 256x1000 nor one of {known}", context, parameter
            )
        try:
            share = float(weight or 1)
        except ValueError:
            share = math.nan
        batch, dim = (int(shape[1]), int(shape[2])) if shape else (WORKLOADS[name].rows, WORKLOADS[name].classes)
        if not (0 < share < math.inf and batch and dim):
            raise click.BadParameter(f"{text!r}: sizes and weight have to be positive numbers", context, parameter)
        parts.append((batch, dim, share))
    return parts


impl = click.option(
    "--impl",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A name: only the named ones. PACKAGE.MODULE:FUNCTION: your own takes part too. May be repeated.",
)
peers = click.option("--peers", is_flag=True, help="With other libraries': torch, torch_compile, jax, numexpr.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output instead of tables.")


def output(what: str) -> Callable[[Command], Command]:
    """Return the option that says where files go."""
    return click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=FOLDER,
        show_default=True,
        metavar="FOLDER",
        help=f"Where {what} go.",
    )
