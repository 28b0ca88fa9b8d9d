"""softmax-impls choose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from softmax_impls.choice.answer import OUTSIDE, Answer, Question
from softmax_impls.choice.choose import choose as answer
from softmax_impls.choice.tradeoffs import front, over_mix
from softmax_impls.cli import options
from softmax_impls.cli.comparison import FOLDER
from softmax_impls.implementation import Implementation
from softmax_impls.report.terminal import answers
from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines
from softmax_impls.results import store
from softmax_impls.results.frame import Loaded, load
from softmax_impls.results.importers import machine_name
from softmax_impls.results.values import LARGEST_SIZE
from softmax_impls.timing import environment
from softmax_impls.timing.first_calls import first_calls
from softmax_impls.timing.session import Session
from softmax_impls.timing.workloads import CUSTOM, WORKLOADS, Cell

MEASURED = "measured.jsonl"
BUDGET = 5.0  # seconds, for measuring one cell


@click.command()
@click.option("--batch", type=click.IntRange(1, LARGEST_SIZE), metavar="B", help="Rows.")
@click.option("--dim", type=click.IntRange(1, LARGEST_SIZE), metavar="D", help="Classes.")
@click.option(
    "--workload",
    "mix",
    multiple=True,
    metavar="NAME[:WEIGHT]",
    callback=options.in_mix,
    help=f"Instead of one shape a mix of them: shapes like 256x1000, or {', '.join(WORKLOADS)}. May be repeated.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float64",
    show_default=True,
    help="Of the computation.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Threads to use.")
@click.option("--max-memory", callback=options.size_in_bytes, metavar="SIZE", help="Temporary memory, like 1GB.")
@click.option(
    "--max-error",
    type=click.FloatRange(0, min_open=True),
    callback=options.finite,
    metavar="E",
    help="Worst error of a row, relative to its largest gradient with respect to the logits, like 1e-6.",
)
@click.option(
    "--from",
    "paths",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help=f"Results of compare, asv or pytest-benchmark, or folders of them. By default those in {FOLDER}.",
)
@click.option("--measure", is_flag=True, help="Measure these very cells, in some seconds each, whatever is known.")
@click.option("--startup", is_flag=True, help="Time its first call, too, and tell after how many calls it has paid.")
@options.impl
@options.peers
@options.as_json
def choose(
    batch: int | None,
    dim: int | None,
    mix: Sequence[options.Part],
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
    """Say which implementation to use for a shape, how long it takes, and how sure that is.

    Answers from what was measured; between measured shapes it interpolates. If nothing was measured, it measures that
    very cell in some seconds, and keeps the result. Exit status 1 if there is no answer.

    \b
    Examples:
      softmax-impls choose --batch 256 --dim 1000 --dtype float32
      softmax-impls choose --batch 6144 --dim 512 --max-memory 100MB --max-error 1e-6
      softmax-impls choose --workload imagenet:0.7,64x5000:0.3 --dtype float32
      softmax-impls choose --batch 64 --dim 150000 --measure --startup
      softmax-impls choose --batch 64 --dim 1000 --from elsewhere/store.jsonl --json
    """  # noqa: D301
    if bool(mix) == bool(batch or dim) or (not mix and not (batch and dim)):
        raise click.UsageError("either --batch and --dim, or --workload, has to be given")
    options.check_threads(threads)
    usable, unusable = options.chosen(specs, peers)
    limits = Question(
        batch or 1, dim or 1, dtype, threads, math.inf if max_memory is None else max_memory, max_error or math.inf
    )
    parts = mix or [(limits.batch, limits.dim, 1.0)]
    questions = [replace(limits, batch=b, dim=d) for b, d, _ in parts]
    loaded = _results(questions, paths, usable, measure)
    here = machine_name(environment.machine())
    answers = [answer(question, loaded.frame, loaded.unranked, here, usable) for question in questions]
    for line in loaded.problems:
        click.echo(line, err=True)
    if mix:
        return _tell_mix(list(zip((weight for *_, weight in parts), answers, strict=True)), as_json)
    lines = [*answers.notes(answers[0], unusable), *(_startup(answers[0], usable) if startup else [])]
    return _tell(answers[0], lines, as_json)


def _results(
    questions: Sequence[Question], paths: Sequence[Path], usable: Mapping[str, Implementation], measure: bool
) -> Loaded:
    """Load what there is; measure if that is asked for, or if there is nothing."""
    given = list(paths) or ([Path(FOLDER)] if Path(FOLDER).is_dir() else [])
    loaded = load(given)
    if not measure and (paths or len(loaded.frame)):
        return loaded
    file = Path(FOLDER) / MEASURED
    for question in questions:
        _measure(question, usable, file)
    return load(dict.fromkeys([*given, file.parent if Path(FOLDER) in given else file]))


def _measure(question: Question, usable: Mapping[str, Implementation], file: Path) -> None:
    """Measure one cell, and keep the result."""
    cell = Cell(CUSTOM, question.batch, question.dim, question.dtype, question.threads)
    session = Session(usable, BUDGET, environment.largest_temporaries())
    # Held to these threads from the first call on: what one thread never needs is not compiled, which takes a second.
    with (
        console(stderr=True).status(f"measuring {cell}"),
        kernels_to_stderr(),
        environment.limit_all_threads(question.threads),
    ):
        session.prepare([question.dtype])
        *_, (_, rows) = session.run([cell])
    if isinstance(rows, str):
        raise click.ClickException(f"{cell} can't be measured: {rows}")
    try:
        file.parent.mkdir(exist_ok=True)
        store.append(file, rows)
    except OSError as error:
        raise click.ClickException(f"{file} can't be written: {error}") from None


def _startup(found: Answer, usable: Mapping[str, Implementation]) -> list[str]:
    """Time the first call of what is to be used, and tell when it has paid."""
    pick = found.pick
    if pick is None or pick.name not in usable or usable[pick.name].family != "numba":
        return []
    plain = [one for name, one in found.contenders.items() if name in usable and usable[name].family != "numba"]
    with console(stderr=True).status(f"starting {pick.name} in new processes"):
        asked = found.question
        names = [pick.name, *(one.name for one in plain[:1])]
        try:
            seconds = [first_calls(name, asked.batch, asked.dim, asked.dtype) for name in names]
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
    return answers.startup(pick, seconds[0], plain[0] if plain else None, seconds[-1])


def _tell(found: Answer, lines: Sequence[str], as_json: bool) -> int:
    code = answers.code(found)
    if as_json:
        print_json(found.as_dict() | {"front": front(found.contenders), "code": code, "notes": lines})
    else:
        if found.contenders:
            console().print(answers.contenders(found))
        print_lines([*answers.sentences(found), *lines, *(["", code] if code else [])])
    return 1 if code is None else 0


def _tell_mix(answers: Sequence[tuple[float, Answer]], as_json: bool) -> int:
    ranked = [] if any(found.basis == OUTSIDE for _, found in answers) else over_mix(answers)
    if as_json:
        print_json(
            {
                "mix": [vars(one) for one in ranked],
                "shapes": [{"weight": weight} | found.as_dict() for weight, found in answers],
            }
        )
    else:
        if ranked:
            console().print(answers.mix(answers, ranked))
        print_lines(answers.mix_sentences(answers, ranked))
    return 0 if ranked else 1
