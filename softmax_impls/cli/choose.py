"""The command ``softmax-impls choose``: its options, and the question that they ask."""

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from softmax_impls.cli import options
from softmax_impls.commands import FOLDER
from softmax_impls.threads import available_cores, default_threads
from softmax_impls.timing.workloads import DTYPES, WORKLOADS


@click.command()
@click.option("--batch", type=options.SIZE, metavar="B", help="Number of rows: the product of all sizes but D.")
@click.option("--dim", type=options.SIZE, metavar="D", help="Number of classes.")
@options.several(
    "--workload",
    "mix",
    "NAME[:WEIGHT]",
    click.types.FuncParamType(options.weighted_shape),
    f"Instead of a shape, a mix of shapes like 256x1000, or of {', '.join(WORKLOADS)}. May be repeated.",
)
@click.option("--dtype", type=click.Choice(DTYPES), default="float64", help="Of the computation.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads to use. By default, as the default call.")
@click.option("--max-memory", type=options.size_in_bytes, metavar="SIZE", help="Of temporaries, like 1GB.")
@click.option(
    "--max-error",
    type=options.Number(0, min_open=True),
    metavar="E",
    help="Largest error of a row, like 1e-5, relative to its largest gradient with respect to the logits.",
)
@click.option("--any-accuracy", is_flag=True, help="Allow implementations that lose saturated rows.")
@click.option(
    "--from",
    "paths",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Do not measure: answer from results of compare, asv or pytest-benchmark, or from a folder of results.",
)
@click.option(
    "--measure/--no-measure",
    default=None,
    help=f"Measure, which is the default, or answer from the results in {FOLDER}.",
)
@click.option("--startup", is_flag=True, help="Also time the first call, and count the calls after which it pays off.")
@options.impl
@options.peers
@options.as_json
def choose(**values: Any) -> int:
    """Choose an implementation for a shape, with its time and the code that calls it, and state how sure the choice is.

    The shape is measured, which takes a few seconds. With --no-measure or --from, the answer comes from results: of
    the same shape, or predicted from other shapes. Exit status 1 if there is no answer.

    \b
    Examples:
      softmax-impls choose --batch 256 --dim 1000 --dtype float32
      softmax-impls choose --batch 6144 --dim 512 --max-memory 100MB --max-error 1e-6
      softmax-impls choose --workload imagenet:0.7,64x5000:0.3 --dtype float32
      softmax-impls choose --batch 64 --dim 150000 --threads 1 --startup
      softmax-impls choose --batch 64 --dim 1000 --from elsewhere/results.jsonl --json
    """  # noqa: D301
    given = SimpleNamespace(**values)
    sizes = [(given.batch, given.dim)] if given.batch and given.dim else [(b, d) for b, d, _ in given.mix]
    if not sizes or (given.mix and (given.batch or given.dim)):
        raise click.UsageError("either --batch and --dim, or --workload, must be given")
    if given.mix and given.startup:
        raise click.UsageError("--startup needs --batch and --dim instead of --workload")
    if given.measure and given.paths:
        raise click.UsageError("--measure and --from exclude each other")
    if given.threads is not None:
        options.check_threads(given.threads)
    options.cells([], sizes, [given.dtype], [1])  # rejects arrays that are too large
    usable, unusable = options.select(given.specs, given.peers)
    from softmax_impls.choice.answer import Question
    from softmax_impls.cli.answering import answer

    question = partial(
        Question,
        dtype=given.dtype,
        threads=given.threads or min(default_threads(), available_cores()),
        max_memory=math.inf if given.max_memory is None else given.max_memory,
        max_error=given.max_error or math.inf,
        any_accuracy=given.any_accuracy,
        only=tuple(usable) if any(":" not in spec for spec in given.specs) else (),
    )
    return answer(given, [question(*shape) for shape in sizes], usable, unusable)
