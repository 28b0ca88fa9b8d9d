"""The command ``softmax-impls choose``."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from softmax_impls.choice import choose as choosing
from softmax_impls.choice.answer import OUTSIDE, Answer, Question
from softmax_impls.choice.ranking import rank_run
from softmax_impls.choice.tradeoffs import front, over_mix
from softmax_impls.cli import options
from softmax_impls.implementation import Implementation
from softmax_impls.report.terminal import answers
from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines
from softmax_impls.results import store
from softmax_impls.results.runs import load
from softmax_impls.timing.environment import environment, largest_temporaries, limit_all_threads
from softmax_impls.timing.first_calls import first_calls
from softmax_impls.timing.session import Session, Skipped
from softmax_impls.timing.workloads import CUSTOM, WORKLOADS, CellKey

MEASURED = options.FOLDER / "measured.jsonl"
BUDGET = 5.0  # seconds to measure one cell


@click.command()
@click.option("--batch", type=options.SIZE, metavar="B", help="Number of rows.")
@click.option("--dim", type=options.SIZE, metavar="D", help="Number of classes.")
@options.several(
    "--workload",
    "mix",
    "NAME[:WEIGHT]",
    click.types.FuncParamType(options.weighted_shape),
    f"Instead of a shape, a mix of shapes like 256x1000, or of {', '.join(WORKLOADS)}. May be repeated.",
)
@click.option("--dtype", type=click.Choice(options.DTYPES), default="float64", help="Of the computation.")
@click.option("--threads", type=click.IntRange(1), default=1, metavar="N", help="Threads to use.")
@click.option("--max-memory", type=options.size_in_bytes, metavar="SIZE", help="Of temporaries, like 1GB.")
@click.option(
    "--max-error",
    type=options.Number(0, min_open=True),
    metavar="E",
    help="Largest error of a row, like 1e-6, relative to its largest gradient with respect to the logits.",
)
@click.option(
    "--from",
    "paths",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help=f"Results of compare, asv or pytest-benchmark, or a folder of results. By default {options.FOLDER}.",
)
@click.option("--measure", is_flag=True, help="Measure the shape, in some seconds, even if there are results.")
@click.option("--startup", is_flag=True, help="Also time the first call, and count the calls after which it pays off.")
@options.impl
@options.peers
@options.as_json
def choose(
    batch: int | None,
    dim: int | None,
    mix: list[tuple[int, int, float]],
    dtype: str,
    threads: int,
    max_memory: int | None,
    max_error: float | None,
    paths: tuple[Path, ...],
    measure: bool,
    startup: bool,
    specs: tuple[str, ...],
    peers: bool,
    as_json: bool,
) -> int:
    """Choose an implementation for a shape, with its time, and state how sure the choice is.

    The answer comes from results: of the same shape, or interpolated between other shapes. If there are no results,
    the shape is measured in some seconds, and the results are kept. Exit status 1 if there is no answer.

    \b
    Examples:
      softmax-impls choose --batch 256 --dim 1000 --dtype float32
      softmax-impls choose --batch 6144 --dim 512 --max-memory 100MB --max-error 1e-6
      softmax-impls choose --workload imagenet:0.7,64x5000:0.3 --dtype float32
      softmax-impls choose --batch 64 --dim 150000 --measure --startup
      softmax-impls choose --batch 64 --dim 1000 --from elsewhere/results.jsonl --json
    """  # noqa: D301
    options.check_threads(threads)
    parts = mix or ([(batch, dim, 1.0)] if batch and dim else [])
    if not parts or (mix and (batch or dim)):
        raise click.UsageError("either --batch and --dim, or --workload, must be given")
    memory = math.inf if max_memory is None else max_memory
    questions = [Question(batch, dim, dtype, threads, memory, max_error or math.inf) for batch, dim, _ in parts]
    usable, unusable = options.select(specs, peers)
    sources = paths or ((options.FOLDER,) if options.FOLDER.is_dir() else ())
    loaded = load(sources)
    if measure or not (paths or loaded.runs):
        for question in questions:
            _measure(question, usable)
        loaded = load([*sources, MEASURED])
    for line in loaded.problems:
        click.echo(line, err=True)
    runs, here = [rank_run(run) for run in loaded.runs], environment().machine
    found = [choosing.choose(question, runs, here, usable) for question in questions]
    if mix:
        return _print_mix([(weight, answer) for (_, _, weight), answer in zip(mix, found, strict=True)], as_json)
    (answer,) = found
    notes = answers.notes(answer, unusable) + (_startup(answer, usable) if startup else [])
    return _print_answer(answer, notes, as_json)


def _print_answer(answer: Answer, notes: list[str], as_json: bool) -> int:
    code = answers.code(answer)
    if as_json:
        print_json(answer.as_dict() | {"front": front(answer.candidates), "code": code, "notes": notes})
    else:
        if answer.candidates:
            console().print(answers.candidates_table(answer))
        print_lines([*answers.sentences(answer), *notes, *(["", code] if code else [])])
    return 0 if code else 1


def _measure(question: Question, usable: Mapping[str, Implementation]) -> None:
    """Measure the shape of a question, and append the result to the file of measured shapes."""
    key = CellKey(CUSTOM, question.batch, question.dim, question.dtype, question.threads)
    session = Session(usable, BUDGET, largest_temporaries())
    # With one thread from the first call on, Numba does not compile code for several threads, which takes a second.
    with console(stderr=True).status(f"measuring {key}"), kernels_to_stderr(), limit_all_threads(question.threads):
        session.prepare([question.dtype])
        *_, last = session.run([key])  # it has the samples of all steps
    if isinstance(last, Skipped):
        raise click.ClickException(f"{key} can't be measured: {last.why}")
    MEASURED.parent.mkdir(exist_ok=True)
    store.append(MEASURED, last)


def _startup(answer: Answer, usable: Mapping[str, Implementation]) -> list[str]:
    """Time the first call of the implementation to use, and that of the fastest that needs no compiler."""
    pick, question = answer.pick, answer.question
    if pick is None or pick.name not in usable or usable[pick.name].family != "numba":
        return []
    without = (c for name, c in answer.candidates.items() if name in usable and usable[name].family != "numba")
    plain = next(without, None)
    with console(stderr=True).status(f"starting {pick.name} in new processes"):
        try:
            seconds = [first_calls(c.name, question.batch, question.dim, question.dtype) for c in (pick, plain) if c]
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
    return answers.startup(pick, plain, seconds)


def _print_mix(weighted: Sequence[tuple[float, Answer]], as_json: bool) -> int:
    ranked = [] if any(answer.basis == OUTSIDE for _, answer in weighted) else over_mix(weighted)
    if as_json:
        shapes = [{"weight": weight} | answer.as_dict() for weight, answer in weighted]
        print_json({"mix": [vars(in_mix) for in_mix in ranked], "shapes": shapes})
    else:
        if ranked:
            console().print(answers.mix_table(weighted, ranked))
        print_lines(answers.mix_sentences(weighted, ranked))
    return 0 if ranked else 1
