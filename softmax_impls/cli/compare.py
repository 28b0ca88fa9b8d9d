"""The command ``softmax-impls compare``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from softmax_impls.cli import options
from softmax_impls.cli.comparison import PICTURE, Comparison
from softmax_impls.formatting import format_count
from softmax_impls.report.terminal.cells import comparison_tables
from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines
from softmax_impls.results import store
from softmax_impls.timing import workloads
from softmax_impls.timing.environment import largest_temporaries
from softmax_impls.timing.session import Session
from softmax_impls.timing.workloads import GRID, WORKLOADS, CellKey

MAX_ARRAY_BYTES = 2e9


@dataclass(frozen=True)
class _Request:
    """The values of the options."""

    names: tuple[str, ...]
    batches: tuple[int, ...]
    dims: tuple[int, ...]
    dtypes: tuple[str, ...]
    threads: tuple[int, ...]
    specs: tuple[str, ...]
    peers: bool
    budget: float
    max_memory: int | None
    output: Path
    resume: bool
    details: bool
    seed: int
    as_json: bool


@click.command()
@click.option(
    "--workload",
    "names",
    multiple=True,
    metavar="NAME",
    callback=options.words([*WORKLOADS, GRID]),
    help=f"Only these shapes: {', '.join(WORKLOADS)}, {GRID} (batch and dim in powers of 16). By default, all.",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    metavar="B",
    callback=options.integers,
    help="With --dim: your own shapes. Without --workload, only these are timed.",
)
@click.option("--dim", "dims", multiple=True, metavar="D", callback=options.integers, help="For example 10,1000.")
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    default=options.DTYPES,
    show_default=True,
    metavar="DTYPE",
    callback=options.words(options.DTYPES),
    help="Of the computation.",
)
@click.option(
    "--threads",
    multiple=True,
    default=("1",),
    show_default=True,
    metavar="N",
    callback=options.integers,
    help="Threads that each implementation may use, for example 1,2.",
)
@options.impl
@options.peers
@click.option(
    "--budget",
    type=click.FloatRange(min=1, max=1e6),
    callback=options.not_nan,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for the whole comparison.",
)
@click.option(
    "--max-memory",
    callback=options.size_in_bytes,
    metavar="SIZE",
    help="Temporary memory that an implementation may use, like 8GB. By default 4GB, or half of the free memory.",
)
@options.output(f"{store.FILE} and {PICTURE}")
@click.option("--resume", is_flag=True, help="Continue with the results in the folder: measure the missing cells.")
@click.option("--details", is_flag=True, help="Show every implementation of every cell.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the inputs and orders.")
@options.as_json
def compare(**values: Any) -> int:
    """Time the implementations on the shapes of real models, and recommend an implementation.

    Each implementation is checked first, and its result is verified again on the arrays that it is timed on. The
    results and a map of the fastest implementations are written to a folder. Ctrl-C keeps the finished cells;
    --resume continues from there. Exit status 1 if an implementation is wrong, or if no cell could be measured.

    \b
    Examples:
      softmax-impls compare
      softmax-impls compare --workload imagenet,gpt2 --dtype float32
      softmax-impls compare --batch 1,64 --dim 1000 --impl mypackage.kernels:my_backward --budget 10
      softmax-impls compare --resume --budget 120
    """  # noqa: D301
    request = _Request(**values)
    comparison = _open(request)
    with kernels_to_stderr():
        comparison.run()
    if request.as_json:
        print_json(comparison.as_dict())
    else:
        for table in comparison_tables(comparison.ranked, request.details):
            console().print(table)
        print_lines([*comparison.notes, "", *comparison.recommendation, ""])
        cells = format_count(len(comparison.ranked), "cell")
        print_lines([f"{cells} in {comparison.seconds:.0f} s; {comparison.results}, {request.output / PICTURE}"])
    return comparison.exit_status


def _open(request: _Request) -> Comparison:
    """Return a comparison that is ready to run."""
    usable, unusable = options.select(request.specs, request.peers)
    memory = largest_temporaries() if request.max_memory is None else request.max_memory
    session = Session(usable, request.budget, memory, request.seed)
    comparison = Comparison(session, unusable, _keys(request), request.output)
    try:
        comparison.open(request.resume)
    except (OSError, store.ResultsError) as error:
        raise click.BadParameter(str(error), param_hint="--resume" if request.resume else "--output") from None
    return comparison


def _keys(request: _Request) -> list[CellKey]:
    """Return the cells to measure."""
    if bool(request.batches) != bool(request.dims):
        raise click.UsageError("--batch and --dim must be given together")
    options.check_threads(max(request.threads))
    shapes = [(batch, dim) for batch in request.batches for dim in request.dims]
    if any(batch * dim * 8 > MAX_ARRAY_BYTES for batch, dim in shapes):
        raise click.UsageError("--batch × --dim: an array would take more than 2 GB")
    return [
        CellKey(workload.name, workload.batch, workload.dim, dtype, threads)
        for threads in request.threads
        for workload in workloads.select(request.names, shapes)
        for dtype in request.dtypes
    ]
