"""Options that several commands share, and functions that read option values or reject them with one line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from softmax_impls.implementation import Implementation
from softmax_impls.registry import from_specs
from softmax_impls.report.terminal.console import kernels_to_stderr
from softmax_impls.threads import available_cores
from softmax_impls.timing.workloads import WORKLOADS

FOLDER = "softmax-impls-report"  # the default folder of results
DTYPES = ("float32", "float64")
MAX_SIZE = 2**40  # of batch and of dim

Part = tuple[int, int, float]  # of a mix: batch, dim, weight
Command = TypeVar("Command", bound=Callable[..., Any])


def integers(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    """Read positive integers from an option that may be repeated, or hold several values separated by commas."""
    numbers = []
    for text in _split(values):
        try:
            numbers.append(int(text))
        except ValueError:
            raise click.BadParameter(f"{text!r} is not a whole number", context, parameter) from None
        if not 1 <= numbers[-1] <= MAX_SIZE:
            raise click.BadParameter(f"{text} is not in the range 1 to {MAX_SIZE}", context, parameter)
    return tuple(dict.fromkeys(numbers))


def words(allowed: Sequence[str]) -> Callable[..., tuple[str, ...]]:
    """Return a function that reads words, which must be among these, from such an option."""

    def read(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
        texts = _split(values)
        for text in texts:
            if text not in allowed:
                raise click.BadParameter(f"{text!r} is not one of {', '.join(allowed)}", context, parameter)
        return tuple(dict.fromkeys(texts))

    return read


def size_in_bytes(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Read a size like 8GB, 500 MB or a number of bytes."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d*)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not match:
        raise click.BadParameter(f"{text!r} is not a size like 8GB", context, parameter)
    return int(float(match[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[match[2].upper()])


def not_nan(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Reject NaN, which `click.FloatRange` accepts."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number", context, parameter)
    return value


def mix(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[Part]:
    """Read a mix: names of workloads or shapes like 256x1000, each with an optional weight after a colon."""
    parts = []
    for text in _split(values):
        name, _, weight_text = text.partition(":")
        shape = re.fullmatch(r"(\d{1,12})[x×](\d{1,12})", name)
        if name not in WORKLOADS and not shape:
            message = f"{name!r} is neither a shape like 256x1000 nor one of {', '.join(WORKLOADS)}"
            raise click.BadParameter(message, context, parameter)
        try:
            weight = float(weight_text or 1)
        except ValueError:
            weight = math.nan
        batch, dim = (int(shape[1]), int(shape[2])) if shape else (WORKLOADS[name].batch, WORKLOADS[name].dim)
        if not (0 < weight < math.inf and batch and dim):
            raise click.BadParameter(f"{text!r}: sizes and weight must be positive numbers", context, parameter)
        parts.append((batch, dim, weight))
    return parts


def select(specs: Sequence[str], peers: bool) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return the implementations that --impl and --peers select, and the reasons of those that are not available."""
    try:
        with kernels_to_stderr():
            return from_specs(specs, peers=peers)
    except (ValueError, ImportError) as error:
        raise click.BadParameter(str(error), param_hint="--impl") from None


def check_threads(threads: int) -> None:
    """Reject more threads than this process has processors."""
    if threads > available_cores():
        raise click.UsageError(f"--threads: {threads} threads, but this process has {available_cores()} processors")


def _split(values: Sequence[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",")]


impl = click.option(
    "--impl",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A name: use only the named implementations. PACKAGE.MODULE:FUNCTION: add your own. May be repeated.",
)
peers = click.option("--peers", is_flag=True, help="Add other libraries: torch, torch_compile, jax, numexpr.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


def output(files: str) -> Callable[[Command], Command]:
    """Return the option for the folder that files are written to."""
    return click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=FOLDER,
        show_default=True,
        metavar="FOLDER",
        help=f"Folder for {files}.",
    )
