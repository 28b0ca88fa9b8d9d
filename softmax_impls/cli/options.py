"""Options that several commands share, and functions that read option values or reject them with one line."""

import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from softmax_impls.commands import FOLDER, LARGEST_SEED
from softmax_impls.implementation import Implementation
from softmax_impls.registry import from_specs
from softmax_impls.threads import available_cores
from softmax_impls.timing.workloads import WORKLOADS, CellKey, cell_keys

FOLDER_PATH = click.Path(file_okay=False, path_type=Path)
DTYPES = ("float32", "float64")
SIZE = click.IntRange(1, 2**40)  # of batch and of dim
SIZE.name = "whole number"  # in messages

say = partial(click.echo, err=True)  # print a line about a file that could not be read or written

Command = TypeVar("Command", bound=Callable[..., Any])


def several(
    name: str, variable: str, metavar: str, kind: Any, text: str, default: Sequence[str] | None = None
) -> Callable[[Command], Command]:
    """Return an option that may be repeated, and may hold several values of a click type separated by commas."""

    def split(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[Any]:
        return [kind.convert(part.strip(), parameter, context) for value in values for part in value.split(",")]

    return click.option(name, variable, metavar=metavar, multiple=True, callback=split, default=default, help=text)


def weighted_shape(text: str) -> tuple[int, int, float]:
    """Read the name of a workload or a shape like 256x1000, with an optional weight: return batch, dim and weight."""
    name, _, weight_text = text.partition(":")
    shape = re.fullmatch(r"(\d{1,12})[x×](\d{1,12})", name)
    if name not in WORKLOADS and not shape:
        raise click.BadParameter(f"{name!r} is neither a shape like 256x1000 nor one of {', '.join(WORKLOADS)}")
    batch, dim = (int(shape[1]), int(shape[2])) if shape else WORKLOADS[name]
    try:
        weight = float(weight_text or 1)
    except ValueError:
        weight = math.nan
    if not (0 < weight < math.inf and batch and dim):
        raise click.BadParameter(f"{text!r}: sizes and weight must be positive numbers")
    return batch, dim, weight


def size_in_bytes(text: str) -> int:
    """Read a size like 8GB, 500 MB or a number of bytes."""
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d*)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not match:
        raise click.BadParameter(f"{text!r} is not a size like 8GB")
    return int(float(match[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[match[2].upper()])


class Number(click.FloatRange):
    """A number in a range; unlike `click.FloatRange`, without NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or reject the value."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail("nan is not a number", param, ctx)
        return number


def select(specs: Sequence[str], peers: bool) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return the implementations that --impl and --peers select, and for the unavailable ones the reason."""
    try:
        with redirect_stdout(sys.stderr):  # a user's module may print
            return from_specs(specs, peers=peers)
    except (ValueError, ImportError) as error:
        raise click.BadParameter(str(error), param_hint="--impl") from None


def check_threads(threads: int) -> None:
    """Reject more threads than this process has processors."""
    if threads > available_cores():
        raise click.UsageError(f"--threads: {threads} threads, but this process has {available_cores()} processors")


def cells(
    names: Sequence[str], shapes: Sequence[tuple[int, int]], dtypes: Sequence[str], threads: Sequence[int]
) -> list[CellKey]:
    """Return the cells to measure, or reject shapes whose arrays are too large."""
    try:
        return cell_keys(names, shapes, dtypes, threads)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def output(files: str) -> Callable[[Command], Command]:
    """Return the option for the folder that files are written to."""
    return click.option("--output", type=FOLDER_PATH, default=FOLDER, metavar="FOLDER", help=f"Folder for {files}.")


def seed(of: str) -> Callable[[Command], Command]:
    """Return the option for a seed, which a results file can hold."""
    return click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=0, help=f"Seed of {of}.")


impl = click.option(
    "--impl",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A name: use only the named implementations. PACKAGE.MODULE:FUNCTION: add your own. May be repeated.",
)
peers = click.option("--peers", is_flag=True, help="Add other libraries: torch, torch_compile, jax, numexpr.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
