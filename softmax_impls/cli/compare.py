"""The command ``softmax-impls compare``: its options, and the cells that they ask for."""

import itertools
from types import SimpleNamespace
from typing import Any

import click

from softmax_impls.cli import options
from softmax_impls.timing.workloads import DTYPES, GRID, OTHER_AXES, WORKLOADS

PICTURE = "winners.png"


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
@options.several("--dtype", "dtypes", "DTYPE", click.Choice(DTYPES), "Of the computation.", DTYPES)
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
def compare(context: click.Context, /, **values: Any) -> int:
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
    given = SimpleNamespace(**vars(context.obj), **values)
    if bool(given.batches) != bool(given.dims):
        raise click.UsageError("--batch and --dim must be given together")
    if not given.scheduler:
        options.check_threads(max(given.threads))
    shapes = list(itertools.product(given.batches, given.dims))
    keys = options.cells(given.names, shapes, given.dtypes, given.threads)
    usable, unusable = options.select(given.specs, given.peers)
    from softmax_impls.cli.comparing import compare_here, compare_on_fleet
    from softmax_impls.commands.fleet.messages import Order

    limits = given.budget, given.peers, given.max_memory, given.machine, given.seed
    order = Order(keys, list(given.specs), *limits)
    return compare_on_fleet(given, order, usable) if given.scheduler else compare_here(given, order, usable, unusable)
