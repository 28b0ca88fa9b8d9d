"""The command ``softmax-impls choose``."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from softmax_impls.choice.answer import Answer, Question
from softmax_impls.choice.asking import ask_by_measuring, ask_results
from softmax_impls.choice.candidates import code_for_mix
from softmax_impls.choice.tradeoffs import front, over_mix
from softmax_impls.cli import options
from softmax_impls.implementation import Implementation
from softmax_impls.report.terminal import answers
from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines
from softmax_impls.threads import available_cores, default_threads
from softmax_impls.timing.first_calls import first_calls
from softmax_impls.timing.workloads import WORKLOADS


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
@click.option("--no-measure", is_flag=True, help=f"Do not measure: answer from the results in {options.FOLDER}.")
@click.option("--measure", is_flag=True, hidden=True)  # the default
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
    no_measure: bool,
    measure: bool,
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
    if measure and (paths or no_measure):
        raise click.UsageError(f"--measure and {'--from' if paths else '--no-measure'} exclude each other")
    if threads is not None:
        options.check_threads(threads)
    usable, unusable = options.select(specs, peers)
    about = (
        dtype,
        threads or min(default_threads(), available_cores()),
        math.inf if max_memory is None else max_memory,
        max_error or math.inf,
        any_accuracy,
        tuple(usable) if any(":" not in spec for spec in specs) else (),
    )
    questions = [Question(batch, dim, *about) for batch, dim, _ in parts]
    if paths or no_measure:
        found = ask_results(questions, usable, paths or (options.FOLDER,), _say, any_threads=threads is None)
    else:
        found = _measured(questions, usable)
    if mix:
        return _print_mix(list(zip((part[2] for part in parts), found, strict=True)), usable, as_json)
    notes = answers.notes(found[0], unusable) + (_startup(found[0], usable) if startup else [])
    return _print_answer(found[0], notes, as_json)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _measured(questions: Sequence[Question], usable: Mapping[str, Implementation]) -> list[Answer]:
    """Measure the shapes of questions, and answer."""
    shapes = ", ".join(f"{question.batch}×{question.dim}" for question in questions)
    with console(stderr=True).status(f"measuring {shapes}"), kernels_to_stderr():
        try:
            return ask_by_measuring(questions, usable, options.FOLDER, _say)
        except ValueError as error:
            raise click.ClickException(str(error)) from None


def _print_answer(answer: Answer, notes: list[str], as_json: bool) -> int:
    if as_json:
        print_json(answer.as_dict() | {"front": front(answer.candidates), "notes": notes})
    else:
        if answer.candidates:
            console().print(answers.candidates_table(answer))
        print_lines([*answers.sentences(answer), *notes, *(["", str(answer.usage)] if answer.usage else [])])
    return 0 if answer.pick else 1


def _startup(answer: Answer, usable: Mapping[str, Implementation]) -> list[str]:
    """Time the first call of the implementation to use, and that of the fastest that needs no compiler."""
    pick, question = answer.pick, answer.question
    if pick is None or pick.name not in usable or usable[pick.name].family != "numba":
        return []
    others = (candidate for candidate in answer.candidates.values() if answer.allows(candidate))
    plain = next((c for c in others if c.name in usable and usable[c.name].family != "numba"), None)
    with console(stderr=True).status(f"starting {pick.name} in new processes"):
        try:
            seconds = [first_calls(c.name, question.batch, question.dim, question.dtype) for c in (pick, plain) if c]
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
    return answers.startup(pick, plain, seconds)


def _print_mix(weighted: Sequence[tuple[float, Answer]], usable: Mapping[str, Implementation], as_json: bool) -> int:
    ranked = over_mix(weighted)
    pick = ranked[0].name if ranked and ranked[0].allowed else None
    code = code_for_mix(pick, (answer for _, answer in weighted), usable) if pick else None
    if as_json:
        shapes = [{"weight": weight} | answer.as_dict() for weight, answer in weighted]
        print_json({"use": pick, "mix": [vars(in_mix) for in_mix in ranked], "shapes": shapes, "code": code})
    else:
        if ranked:
            console().print(answers.mix_table(weighted, ranked))
        print_lines([*answers.mix_sentences(weighted, ranked), *(["", code] if code else [])])
    return 0 if pick else 1
