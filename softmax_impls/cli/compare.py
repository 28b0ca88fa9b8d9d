"""The command ``softmax-impls compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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


@click.command()
@options.several(
    "--workload",
    "names",
    "NAME",
    click.Choice([*WORKLOADS, GRID]),
    f"Only these shapes: {', '.join(WORKLOADS)}, {GRID} (batch and dim in powers of 16). By default, all.",
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
    callback=options.size_in_bytes,
    metavar="SIZE",
    help="Temporary memory that an implementation may use, like 8GB. By default 4GB, or half of the free memory.",
)
@options.output(f"{store.FILE} and {PICTURE}")
@click.option("--resume", is_flag=True, help="Continue with the results in the folder: measure the missing cells.")
@click.option("--details", is_flag=True, help="Show every implementation of every cell.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the inputs and orders.")
@options.as_json
def compare(
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
    details: bool,
    seed: int,
    as_json: bool,
) -> int:
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
    usable, unusable = options.select(specs, peers)
    keys = _keys(names, batches, dims, dtypes, threads)
    session = Session(usable, budget, largest_temporaries() if max_memory is None else max_memory, seed)
    comparison = Comparison(session, keys, output)
    try:
        comparison.open(resume)
    except (OSError, store.ResultsError) as error:
        raise click.BadParameter(str(error), param_hint="--resume" if resume else "--output") from None
    with kernels_to_stderr():
        comparison.run()
    notes = [f"{name} not available: {why}" for name, why in unusable.items()] + comparison.notes()
    if as_json:
        print_json(comparison.as_dict() | {"notes": notes})
    else:
        for table in comparison_tables(comparison.ranked, details):
            console().print(table)
        cells = f"{format_count(len(comparison.ranked), 'cell')} in {comparison.seconds:.0f} s"
        print_lines(
            [*notes, "", *comparison.recommendation(), "", f"{cells}; {comparison.results}, {comparison.picture}"]
        )
    return comparison.exit_status()


def _keys(
    names: Sequence[str], batches: Sequence[int], dims: Sequence[int], dtypes: Sequence[str], threads: Sequence[int]
) -> list[CellKey]:
    """Return the cells to measure, each of them once."""
    if bool(batches) != bool(dims):
        raise click.UsageError("--batch and --dim must be given together")
    options.check_threads(max(threads))
    shapes = [(batch, dim) for batch in batches for dim in dims]
    if any(batch * dim * 8 > MAX_ARRAY_BYTES for batch, dim in shapes):
        raise click.UsageError("--batch × --dim: an array would take more than 2 GB")
    keys = (
        CellKey(workload.name, workload.batch, workload.dim, dtype, number)
        for number in threads
        for workload in workloads.select(names, shapes)
        for dtype in dtypes
    )
    return list(dict.fromkeys(keys))
