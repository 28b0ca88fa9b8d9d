"""The command line: list, check, compare. Thin: what it prints is made in `report`, what it decides in `choice`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from softmax_impls import __version__
from softmax_impls.backward import from_specs
from softmax_impls.checks import verdict
from softmax_impls.choice import ranking, results
from softmax_impls.contract import Implementation
from softmax_impls.report import plots, table
from softmax_impls.timing import machine, workloads
from softmax_impls.timing.session import Session
from softmax_impls.timing.workloads import GRID, WORKLOADS, Cell

PROGRAM = "softmax-impls"
WIDTH = 150  # of tables that go to a file or a pipe
NARROWEST = 110  # a narrower terminal wraps lines, rather than tables their cells
PICTURE = "winners.png"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 if something is wrong, 2 for a bad command line."""
    try:
        return int(cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or 0)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else PROGRAM
        print(f"{PROGRAM}: error: {error.format_message()} (see '{command} --help')", file=sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _split(kind: type, least: int | None = None) -> Callable[..., Any]:
    """Make the callback of an option that may be repeated, or hold several values with commas between."""

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


def _one_of(allowed: Sequence[str]) -> Callable[..., Any]:
    split = _split(str)

    def callback(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
        found: tuple[str, ...] = split(context, parameter, values)
        for text in found:
            if text not in allowed:
                raise click.BadParameter(f"{text!r} is not one of {', '.join(allowed)}", context, parameter)
        return found

    return callback


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Read a size like 8GB, 500 MB or a number of bytes."""
    if text is None:
        return None
    number = text.strip().upper().removesuffix("B")
    scale = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(number[-1:], 1)
    try:
        size = float(number.rstrip("KMGT")) * scale
        if not 0 <= size < 1e18:
            raise ValueError
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a size like 8GB", context, parameter) from None
    return int(size)


def _chosen(specs: Sequence[str]) -> tuple[dict[str, Implementation], dict[str, str]]:
    try:
        return from_specs(specs)
    except (ValueError, ImportError) as error:
        raise click.BadParameter(str(error), param_hint="--impl") from None


impl_option = click.option(
    "--impl",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A name: only the named ones. PACKAGE.MODULE:FUNCTION: your own takes part too. May be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output instead of tables.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    r"""Softmax backward, many ways: which are there, are they right, and which one to use.

    \b
    Examples:
      softmax-impls compare
      softmax-impls compare --batch 64 --dim 1000 --dtype float32 --budget 10
      softmax-impls check --impl mypackage.kernels:my_backward
    """


@cli.command("list")
@impl_option
@json_option
def list_command(specs: tuple[str, ...], as_json: bool) -> None:
    """List the implementations: what each is, and the temporary memory it takes."""
    usable, unusable = _chosen(specs)
    if as_json:
        records = {name: _record(one) for name, one in usable.items()}
        _print_json({"implementations": records, "not_available": unusable})
    else:
        _console().print(table.listing(usable, unusable))


@cli.command()
@impl_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the inputs.")
@json_option
def check(specs: tuple[str, ...], seed: int, as_json: bool) -> int:
    r"""Check implementations against an exact oracle, numeric gradients and each other; exit 1 if one is wrong.

    \b
    Example:
      softmax-impls check --impl mypackage.kernels:my_backward
    """
    usable, unusable = _chosen(specs)
    with _console(stderr=True).status(f"checking {len(usable)} implementations"):
        found = verdict.judge(usable, seed)
        forward = verdict.judge_softmax(seed=seed)
    wrong = table.failures([*found.values(), forward])
    if as_json:
        verdicts = {name: _verdict(one) for name, one in {**found, "softmax (forward)": forward}.items()}
        _print_json({"verdicts": verdicts, "not_available": unusable})
    else:
        console = _console()
        console.print(table.verdicts(found, forward))
        _print_lines(console, wrong or ["All right."])
        _print_lines(console, [f"{name} not available: {why}" for name, why in unusable.items()])
    return 1 if wrong else 0


@cli.command()
@click.option(
    "--workload",
    "names",
    multiple=True,
    metavar="NAME",
    callback=_one_of([*WORKLOADS, GRID]),
    help=f"Only these of: {', '.join(WORKLOADS)}, {GRID} (batch and dim in powers of 16). All by default.",
)
@click.option(
    "--batch", multiple=True, metavar="B", callback=_split(int, 1), help="Rows; with --dim, instead of those."
)
@click.option(
    "--dim", multiple=True, metavar="D", callback=_split(int, 1), help="Classes; a list like 10,1000 or repeated."
)
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    default=("float32", "float64"),
    show_default="both",
    metavar="DTYPE",
    callback=_one_of(("float32", "float64")),
    help="float32, float64.",
)
@click.option(
    "--threads", multiple=True, default=("1",), show_default="1", metavar="N", callback=_split(int, 1), help="Threads."
)
@impl_option
@click.option(
    "--budget",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for everything.",
)
@click.option(
    "--max-memory",
    callback=_size,
    metavar="SIZE",
    help="Temporary memory an implementation may take, like 8GB. By default 4GB, or half of what is free.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="softmax-impls-report",
    show_default=True,
    metavar="FOLDER",
    help=f"Where {results.FILE} and {PICTURE} go.",
)
@click.option("--resume", is_flag=True, help="Go on with the results in the output folder: measure what is missing.")
@click.option("--details", is_flag=True, help="Show every implementation of every cell.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of inputs and orders.")
@json_option
def compare(
    names: tuple[str, ...],
    batch: tuple[int, ...],
    dim: tuple[int, ...],
    dtypes: tuple[str, ...],
    threads: tuple[int, ...],
    specs: tuple[str, ...],
    budget: float,
    max_memory: int | None,
    output: Path,
    resume: bool,
    details: bool,
    seed: int,
    as_json: bool,
) -> int:
    r"""Time the implementations on real shapes, and say which one to use.

    Each is checked first, and verified again on the very arrays it is timed on. Writes the raw results and a map of the
    winners. Ctrl-C keeps the cells that are done, and --resume goes on from there. Exit status 1 if one is wrong.

    \b
    Examples:
      softmax-impls compare
      softmax-impls compare --workload imagenet,gpt2 --dtype float32
      softmax-impls compare --batch 1,64 --dim 1000 --impl mypackage.kernels:my_backward --budget 10
      softmax-impls compare --resume --budget 120
    """
    usable, unusable = _chosen(specs)
    cells = _cells(names, batch, dim, dtypes, threads)
    started = time.perf_counter()
    session = Session(usable, budget, max_memory or machine.largest_temporaries(), seed)
    path = output / results.FILE
    done = _opened(path, resume, usable)
    todo = [cell for cell in cells if cell not in done]
    skipped, interrupted = _measure(session, todo, dtypes, done, path)
    ranked = ranking.rank_all({cell: done[cell] for cell in cells if cell in done})
    families = {name: one.family for name, one in usable.items()}
    rule = ranking.rule(ranked, families)
    plots.winners(ranked, output / PICTURE)
    notes = [
        *(f"{name} not available: {why}" for name, why in unusable.items()),
        *table.first_calls(ranked),
        *table.left_out(ranked),
        *(f"{cell} not measured: {why}; --resume goes on" for cell, why in skipped.items()),
    ]
    if interrupted:
        notes.append(f"Interrupted: {len(ranked)} of {len(cells)} cells are done; --resume goes on from there.")
    taken = time.perf_counter() - started
    if as_json:
        _print_json(
            {
                "cells": [one.as_dict() for one in ranked],
                "rule": rule,
                "notes": notes,
                "seconds": taken,
                "results": str(path),
                "picture": str(output / PICTURE),
                "machine": machine.machine(),
                "versions": machine.versions(),
                "commit": machine.commit(),
            }
        )
    else:
        console = _console()
        for shown in _tables(ranked, details):
            console.print(shown)
        _print_lines(console, notes)
        _print_lines(console, ["", *rule, "", f"{len(ranked)} cells in {taken:.0f} s; {path}, {output / PICTURE}"])
    if interrupted:
        return 130
    return 1 if any(ranking.is_wrong(row) for one in ranked for row in one.rows.values()) else 0


def _cells(
    names: Sequence[str], batch: Sequence[int], dim: Sequence[int], dtypes: Sequence[str], threads: Sequence[int]
) -> list[Cell]:
    if bool(batch) != bool(dim):
        raise click.UsageError("--batch and --dim go together")
    if max(threads) > machine.cores():
        raise click.UsageError(f"--threads: {max(threads)} threads, but this process has {machine.cores()} processors")
    if batch and any(b * d * 8 > 2e9 for b in batch for d in dim):
        raise click.UsageError("--batch × --dim: an array would take more than 2 GB")
    chosen = [WORKLOADS[name] for name in names if name != GRID]
    if batch:
        chosen += [workloads.Workload(GRID, b, d, "asked for") for b in batch for d in dim]
    elif not names:
        chosen = [*WORKLOADS.values(), *workloads.grid()]
    elif GRID in names:
        chosen += workloads.grid()
    return [Cell(one.name, one.rows, one.classes, dtype, n) for n in threads for one in chosen for dtype in dtypes]


def _opened(path: Path, resume: bool, usable: dict[str, Implementation]) -> dict[Cell, list[dict[str, Any]]]:
    """Make the output folder ready, and return the cells that are done already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if resume:
            now = {"machine": machine.machine(), "versions": machine.versions()}
            done = results.continued(path, now, usable)
            results.write(path, done.values())
            return done
        if path.exists():
            path.replace(path.with_suffix(".previous.jsonl"))
        path.touch()
    except OSError as error:
        raise click.UsageError(f"--output: {error}") from None
    except results.ResultsError as error:
        raise click.UsageError(f"--resume: {error}") from None
    return {}


def _measure(
    session: Session, todo: list[Cell], dtypes: Sequence[str], done: dict[Cell, list[dict[str, Any]]], path: Path
) -> tuple[dict[Cell, str], bool]:
    """Measure cells into `done` and the file; return those left out, with why, and whether it was interrupted."""
    skipped: dict[Cell, str] = {}
    console = _console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    # Without a thread that redraws: it would take its time from what is being timed.
    with Progress(
        *columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("compiling and checking", total=len(todo), left="")
        bar.refresh()
        try:
            if todo:
                session.prepare(dtypes)
            for cell, rows in session.run(todo, starting=lambda cell: _show(bar, task, cell, session)):
                if isinstance(rows, str):
                    skipped[cell] = rows
                else:
                    results.append(path, rows)
                    done[cell] = rows
                bar.advance(task)
        except KeyboardInterrupt:
            return skipped, True
    return skipped, False


def _show(bar: Progress, task: Any, cell: Cell, session: Session) -> None:
    bar.update(task, description=str(cell), left=f"at most {session.left:.0f} s left")
    bar.refresh()


def _tables(ranked: Sequence[ranking.Ranked], details: bool) -> list[RenderableType]:
    if details:
        return [table.details(ranked)]
    named = [one for one in ranked if one.cell.workload != GRID]
    return [*([table.cells(named)] if named else []), *table.winner_maps(ranked)]


def _record(one: Implementation) -> dict[str, Any]:
    keys = ("family", "summary", "accurate_for", "in_place", "requires", "threaded")
    return {key: getattr(one, key) for key in keys}


def _verdict(one: verdict.Verdict) -> dict[str, Any]:
    failures = [{"check": each.check, "where": each.where, "seen": each.seen} for each in one.failures]
    return {"right": one.right, "accurate_for": one.accurate_for, "errors": one.errors, "failures": failures}


def _console(stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    console.width = max(console.width, NARROWEST if console.is_terminal or "COLUMNS" in os.environ else WIDTH)
    return console


def _print_lines(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, markup=False, soft_wrap=not console.is_terminal)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
