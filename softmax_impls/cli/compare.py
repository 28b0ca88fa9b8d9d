"""The command ``softmax-impls compare``: measure, print the tables and the recommendation, and draw the winners."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from softmax_impls.cli import options
from softmax_impls.cli.outcomes import draw_winners, print_end, print_outcome
from softmax_impls.timing.workloads import GRID, OTHER_AXES, WORKLOADS

if TYPE_CHECKING:  # imported when the command runs, so that --help and errors of usage are quick
    from softmax_impls.commands.comparison import Comparison

PICTURE = "winners.png"
DRAWING, DRAWING_SHARE = 1.5, 0.15  # seconds that are left for the picture, and as a share of the budget at the most


@click.command()
@options.several(
    "--workload",
    "names",
    "NAME",
    click.Choice([*WORKLOADS, GRID, *OTHER_AXES]),
    f"Only these shapes: {', '.join(WORKLOADS)}, {GRID} (batch and dim in powers of 16); by default, all of these. "
    f"Or shapes with the classes on another axis than the last: {', '.join(OTHER_AXES)}.",
)
@options.several(
    "--batch", "batches", "B", options.SIZE, "With --dim: your own shapes. Without --workload, only these are timed."
)
@options.several("--dim", "dims", "D", options.SIZE, "For example 10,1000.")
@options.several("--dtype", "dtypes", "DTYPE", click.Choice(options.DTYPES), "Of the computation.", options.DTYPES)
@options.several(
    "--threads", "threads", "N", options.SIZE, "Threads that each implementation may use, for example 1,2.", ["1"]
)
@options.impl
@options.peers
@click.option(
    "--budget", type=options.Number(1, 1e6), default=60.0, metavar="SECONDS", help="Time for the whole comparison."
)
@click.option(
    "--max-memory",
    type=options.size_in_bytes,
    metavar="SIZE",
    help="Temporary memory that an implementation may use, like 8GB. By default 4GB, or half of the free memory.",
)
@options.output(f"results.jsonl and {PICTURE}")
@click.option("--resume", is_flag=True, help="Continue with the results in the folder: measure the missing cells.")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Measure on each kind of machine among the workers of a Dask scheduler."
)
@click.option(
    "--machine", metavar="NAME", help="Name of this machine in the results; hash: a hash. By default, its own."
)
@click.option("--details", is_flag=True, help="Show every implementation of every cell.")
@options.seed("the inputs and orders")
@options.as_json
@click.pass_context
def compare(
    context: click.Context,
    names: list[str],
    batches: list[int],
    dims: list[int],
    dtypes: list[str],
    threads: list[int],
    specs: tuple[str, ...],
    peers: bool,
    budget: float,
    max_memory: int | None,
    output: Path,
    resume: bool,
    scheduler: str | None,
    machine: str | None,
    details: bool,
    seed: int,
    as_json: bool,
) -> int:
    """Time the implementations on the shapes of real models, and recommend an implementation.

    Each implementation is checked first, and its result is verified again on the arrays that it is timed on. The
    first run also compiles, which takes about 15 s of the budget. The results and a map of the fastest
    implementations are written to a folder. Ctrl-C keeps the finished cells; --resume continues from there. Exit
    status 1 if an implementation is wrong, or if no cell could be measured. With --scheduler, also if a kind of
    machine is missing.

    \b
    Examples:
      softmax-impls compare
      softmax-impls compare --workload imagenet,gpt2 --dtype float32
      softmax-impls compare --batch 1,64 --dim 1000 --impl mypackage.kernels:my_backward --budget 10
      softmax-impls compare --resume --budget 120
      softmax-impls compare --scheduler tcp://10.0.0.5:8786 --output fleet
    """  # noqa: D301
    if bool(batches) != bool(dims):
        raise click.UsageError("--batch and --dim must be given together")
    if not scheduler:
        options.check_threads(max(threads))
    keys = options.cells(names, list(itertools.product(batches, dims)), dtypes, threads)
    usable, unusable = options.select(specs, peers)
    if scheduler:
        from softmax_impls.cli.fleet import compare_on_fleet

        return compare_on_fleet(context, keys, usable, output / PICTURE)
    from softmax_impls.commands.comparison import Comparison
    from softmax_impls.results.reading import ResultsError

    comparison = Comparison(
        usable,
        keys,
        budget,
        output,
        max_memory=max_memory,
        machine=machine,
        seed=seed,
        start=context.obj,
        reserve=min(DRAWING, DRAWING_SHARE * budget),
    )
    try:
        comparison.open(resume)
    except (OSError, ResultsError) as error:
        raise click.BadParameter(str(error), param_hint="--resume" if resume else "--output") from None
    comparison.run()
    _show(comparison, unusable, output / PICTURE, details, as_json)
    return 130 if comparison.interrupted else 1 if comparison.failed else 0


def _show(comparison: "Comparison", unusable: Mapping[str, str], file: Path, details: bool, as_json: bool) -> None:
    """Draw the winners in a file, and print the results."""
    from msgspec.structs import asdict

    from softmax_impls.report.terminal.cells import comparison_tables, first_calls
    from softmax_impls.report.terminal.console import console

    notes = [f"{name} not available: {why}" for name, why in unusable.items()]
    notes += [*first_calls(comparison.ranked), *comparison.problems]
    if comparison.is_partial:
        notes[-1] += " To continue, run the same command with --resume."
    for table in () if as_json else comparison_tables(comparison.ranked, details):
        console().print(table)
    picture, problems = draw_winners({"": comparison.ranked}, file)  # after the tables, in case of Ctrl-C
    if as_json:
        cells = {"cells": [cell.as_dict() for cell in comparison.ranked]}
        print_outcome(cells | asdict(comparison.environment), comparison, picture, notes + problems)
    else:
        print_end(len(comparison.ranked), comparison, picture, notes + problems)
