"""Options that several commands share, and functions that read option values or reject them with one line."""

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from softmax_impls.commands import FOLDER, LARGEST_SEED
from softmax_impls.dispatch import pick
from softmax_impls.formatting import did_you_mean
from softmax_impls.implementation import Implementation
from softmax_impls.registry import from_specs
from softmax_impls.threads import available_cores
from softmax_impls.timing.workloads import WORKLOADS, CellKey, cell_keys

FOLDER_PATH = click.Path(file_okay=False, path_type=Path)
SIZES = r"\d{1,12}([x×]\d{1,12})+"  # like 256x1000

say = partial(click.echo, err=True)  # print a line about a file that could not be read or written

Command = TypeVar("Command", bound=Callable[..., Any])


class _Size(click.IntRange):
    name = "whole number"  # in messages

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size, or reject the value."""
        if re.fullmatch(SIZES, text := str(value)):
            product = math.prod(_sizes(text))
            self.fail(f"{text!r} is not a valid whole number: pass the product of the sizes, {product}", param, ctx)
        return int(super().convert(value, param, ctx))


SIZE = _Size(1, 2**40)  # a batch, a dim or a number of threads


def _sizes(text: str) -> list[int]:
    return [int(size) for size in re.split("[x×]", text)]


def several(
    name: str, variable: str, metavar: str, kind: Any, text: str, default: Sequence[str] | None = None
) -> Callable[[Command], Command]:
    """Return an option that may be repeated, and may hold several values separated by commas.

    `variable` is the name of the command's parameter. `kind` is the click type of a value, and `text` is the help.
    """

    def split(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[Any]:
        parts = [part.strip() for value in values for part in value.split(",")]
        try:
            return [kind.convert(part, parameter, context) for part in parts]
        except click.BadParameter as error:
            choices = getattr(kind, "choices", [])
            unknown = next((part for part in parts if part not in choices), "")
            message = error.message.rstrip(".") + did_you_mean(unknown, choices)
            raise click.BadParameter(message, context, parameter) from None

    return click.option(name, variable, metavar=metavar, multiple=True, callback=split, default=default, help=text)


def weighted_shape(text: str) -> tuple[int, int, float]:
    """Read the name of a workload or a shape like 256x1000, with an optional weight: return batch, dim and weight."""
    name, _, weight_text = text.partition(":")
    shape = _sizes(name) if re.fullmatch(SIZES, name) else WORKLOADS.get(name, ())
    if len(shape) > 2:
        product = f"{math.prod(shape[:-1])}x{shape[-1]}"
        raise click.BadParameter(f"{name!r} has {len(shape)} sizes: pass the product of all but the last, as {product}")
    if not shape:
        known = f"{', '.join(WORKLOADS)}{did_you_mean(name, WORKLOADS)}"
        raise click.BadParameter(f"{name!r} is neither a shape like 256x1000 nor one of {known}")
    batch, dim = shape
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


@contextmanager
def rejecting(*errors: type[Exception], option: str = "") -> Iterator[None]:
    """Report exceptions of these types as errors of usage; with `option`, as a wrong value of this option."""
    try:
        yield
    except errors as error:
        text = str(error)
        raise (click.BadParameter(text, param_hint=option) if option else click.UsageError(text)) from None


def select(specs: Sequence[str], peers: bool) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return the implementations that --impl and --peers select, and why others are not available."""
    with rejecting(ValueError, ImportError, option="--impl"), redirect_stdout(sys.stderr):  # a user's module may print
        return from_specs(specs, peers=peers)


def check_threads(threads: int) -> None:
    """Reject more threads than this process has processors."""
    if threads > available_cores():
        raise click.UsageError(f"--threads: {threads} threads, but this process has {available_cores()} processors")


def cells(
    names: Sequence[str], shapes: Sequence[tuple[int, int]], dtypes: Sequence[str], threads: Sequence[int]
) -> list[CellKey]:
    """Return the cells to measure: workloads by their names, and shapes (batch, dim), for all dtypes and threads.

    Without names and shapes, all of `WORKLOADS` and the grid are measured. An invalid argument, such as a shape whose
    arrays are too large, is an error of usage.
    """
    with rejecting(ValueError):
        return cell_keys(names, shapes, dtypes, threads)


def output(files: str) -> Callable[[Command], Command]:
    """Return the option --output: the folder for the files that a command writes. Its help text names `files`."""
    return click.option("--output", type=FOLDER_PATH, default=FOLDER, metavar="FOLDER", help=f"Folder for {files}.")


def seed(of: str) -> Callable[[Command], Command]:
    """Return the option --seed. Its help text is "Seed of" and `of`. Its largest value fits into a results file."""
    return click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=0, help=f"Seed of {of}.")


def _without_auto(_: click.Context, __: click.Parameter, specs: tuple[str, ...]) -> tuple[str, ...]:
    """Replace "auto" by the implementation of the default call."""
    return tuple(pick().impl if spec == "auto" else spec for spec in specs)


impl = click.option(
    "--impl",
    "specs",
    multiple=True,
    callback=_without_auto,
    metavar="SPEC",
    help="A name: use only the named implementations. PACKAGE.MODULE:FUNCTION: add your own. May be repeated.",
)
peers = click.option("--peers", is_flag=True, help="Add other libraries: torch, torch_compile, jax, numexpr.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
