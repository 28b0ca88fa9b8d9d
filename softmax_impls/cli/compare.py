"""softmax-impls compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from softmax_impls.cli import options
from softmax_impls.cli.comparison import PICTURE, Comparison
from softmax_impls.report.terminal import tables
from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines
from softmax_impls.results import store
from softmax_impls.timing import environment, workloads
from softmax_impls.timing.session import Session
from softmax_impls.timing.workloads import GRID, WORKLOADS, Cell


@click.command()
@click.option(
    "--workload",
    "names",
    multiple=True,
    metavar="NAME",
    callback=options.words([*WORKLOADS, GRID]),
    help=f"Only these of: {', '.join(WORKLOADS)}, {GRID} (batch and dim in powers of 16). All by default.",
)
@click.option(
    "--batch",
    multiple=True,
    metavar="B",
    callback=options.several(int, 1),
    help="Rows: with --dim, your own shapes; without --workload, only those.",
)
@click.option(
    "--dim",
    multiple=True,
    metavar="D",
    callback=options.several(int, 1),
    help="Classes; a list like 10,1000 or repeated.",
)
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    default=("float32", "float64"),
    show_default=True,
    metavar="DTYPE",
    callback=options.words(("float32", "float64")),
    help="Of the computation.",
)
@click.option(
    "--threads",
    multiple=True,
    default=("1",),
    show_default=True,
    metavar="N",
    callback=options.several(int, 1),
    help="Threads each may use; a list like 1,2.",
)
@options.impl
@options.peers
@click.option(
    "--budget",
    type=click.FloatRange(min=1, max=1e6),
    callback=options.finite,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for everything.",
)
@click.option(
    "--max-memory",
    callback=options.size_in_bytes,
    metavar="SIZE",
    help="Temporary memory an implementation may take, like 8GB. By default 4GB, or half of what is free.",
)
@options.output(f"{store.FILE} and {PICTURE}")
@click.option("--resume", is_flag=True, help="Go on with the store in the output folder: measure what is missing.")
@click.option("--details", is_flag=True, help="Show every implementation of every cell.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of inputs and orders.")
@options.as_json
def compare(
    names: tuple[str, ...],
    batch: tuple[int, ...],
    dim: tuple[int, ...],
    dtypes: tuple[str, ...],
    threads: tuple[int, ...],
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
    """Time the implementations on real shapes, and say which one to use.

    Each is checked first, and verified again on the very arrays it is timed on. Writes the raw store and a map of the
    winners. Ctrl-C keeps the cells that are done, and --resume goes on from there. Exit status 1 if one is wrong, or if
    no cell could be measured.

    \b
    Examples:
      softmax-impls compare
      softmax-impls compare --workload imagenet,gpt2 --dtype float32
      softmax-impls compare --batch 1,64 --dim 1000 --impl mypackage.kernels:my_backward --budget 10
      softmax-impls compare --resume --budget 120
    """  # noqa: D301
    usable, unusable = options.chosen(specs, peers)
    cells = _cells(names, batch, dim, dtypes, threads)
    limit = environment.largest_temporaries() if max_memory is None else max_memory
    comparison = Comparison(Session(usable, budget, limit, seed), unusable, cells, output)
    try:
        comparison.open(resume)
    except (OSError, store.ResultsError) as error:
        raise click.BadParameter(str(error), param_hint="--resume" if resume else "--output") from None
    with kernels_to_stderr():
        comparison.run()
    if as_json:
        print_json(comparison.as_dict())
    else:
        for shown in tables.comparison(comparison.ranked, details):
            console().print(shown)
        print_lines([*comparison.notes, "", *comparison.rule, ""])
        files = f"{comparison.results}, {output / PICTURE}"
        print_lines([f"{tables.count(len(comparison.ranked), 'cell')} in {comparison.seconds:.0f} s; {files}"])
    if comparison.interrupted:
        return 130
    return 1 if comparison.wrong or not comparison.ranked else 0


def _cells(
    names: Sequence[str], batch: Sequence[int], dim: Sequence[int], dtypes: Sequence[str], threads: Sequence[int]
) -> list[Cell]:
    if bool(batch) != bool(dim):
        raise click.UsageError("--batch and --dim go together")
    options.check_threads(max(threads))
    if batch and any(b * d * 8 > 2e9 for b in batch for d in dim):
        raise click.UsageError("--batch × --dim: an array would take more than 2 GB")
    chosen = workloads.chosen(names, [(b, d) for b in batch for d in dim])
    return [Cell(one.name, one.rows, one.classes, dtype, n) for n in threads for one in chosen for dtype in dtypes]
