"""The command ``softmax-impls choose``: its options, and the question that they ask."""

import math
from pathlib import Path

import click

from softmax_impls.cli import options
from softmax_impls.commands import FOLDER
from softmax_impls.threads import available_cores, default_threads
from softmax_impls.timing.workloads import WORKLOADS


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
@click.option("--dtype", type=click.Choice(options.DTYPES), default="float64", help="Of the computation.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads to use. By default, as the default call.")
@click.option("--max-memory", type=options.size_in_bytes, metavar="SIZE", help="Of temporaries, like 1GB.")
@click.option(
    "--max-error",
    type=options.Number(0, min_open=True),
    metavar="E",
    help="Largest error of a row, like 1e-6, relative to its largest gradient with respect to the logits.",
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
def choose(
    batch: int | None,
    dim: int | None,
    mix: list[tuple[int, int, float]],
    dtype: str,
    threads: int | None,
    max_memory: int | None,
    max_error: float | None,
    any_accuracy: bool,
    paths: tuple[Path, ...],
    measure: bool | None,
    startup: bool,
    specs: tuple[str, ...],
    peers: bool,
    as_json: bool,
) -> int:
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
    parts = mix or ([(batch, dim, 1.0)] if batch and dim else [])
    if not parts or (mix and (batch or dim)):
        raise click.UsageError("either --batch and --dim, or --workload, must be given")
    if mix and startup:
        raise click.UsageError("--startup needs --batch and --dim instead of --workload")
    if measure and paths:
        raise click.UsageError("--measure and --from exclude each other")
    if threads is not None:
        options.check_threads(threads)
    options.cells([], [(batch, dim) for batch, dim, _ in parts], [dtype], [1])  # rejects arrays that are too large
    usable, unusable = options.select(specs, peers)
    from softmax_impls.choice.answer import Question
    from softmax_impls.cli import answering

    about = (
        dtype,
        threads or min(default_threads(), available_cores()),
        math.inf if max_memory is None else max_memory,
        max_error or math.inf,
        any_accuracy,
        tuple(usable) if any(":" not in spec for spec in specs) else (),
    )
    questions = [Question(batch, dim, *about) for batch, dim, _ in parts]
    if measure is False and not paths:
        paths = (FOLDER,)
    found, fleet = answering.ask(questions, usable, paths, any_threads=threads is None)
    if mix:
        return answering.print_mix(list(zip((part[2] for part in parts), found, strict=True)), usable, as_json)
    return answering.print_answer(found[0], fleet, usable, unusable, startup, as_json)
