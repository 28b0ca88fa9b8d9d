"""The command ``softmax-impls choose``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from softmax_impls.results.runs import Loaded, load
from softmax_impls.timing.environment import environment, largest_temporaries, limit_all_threads
from softmax_impls.timing.first_calls import first_calls
from softmax_impls.timing.session import Measured, Session, Skipped
from softmax_impls.timing.workloads import CUSTOM, WORKLOADS, CellKey

MEASURED_FILE = "measured.jsonl"
BUDGET = 5.0  # seconds to measure one cell


@dataclass(frozen=True)
class _Request:
    """The values of the options."""

    batch: int | None
    dim: int | None
    mix: Sequence[options.Part]
    dtype: str
    threads: int
    max_memory: int | None
    max_error: float
    paths: tuple[Path, ...]
    measure: bool
    startup: bool
    specs: tuple[str, ...]
    peers: bool
    as_json: bool


@click.command()
@click.option("--batch", type=click.IntRange(1, options.MAX_SIZE), metavar="B", help="Number of rows.")
@click.option("--dim", type=click.IntRange(1, options.MAX_SIZE), metavar="D", help="Number of classes.")
@click.option(
    "--workload",
    "mix",
    multiple=True,
    metavar="NAME[:WEIGHT]",
    callback=options.mix,
    help=f"Instead of a shape, a mix of shapes like 256x1000, or of {', '.join(WORKLOADS)}. May be repeated.",
)
@click.option(
    "--dtype", type=click.Choice(options.DTYPES), default="float64", show_default=True, help="Of the computation."
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Threads to use.")
@click.option("--max-memory", callback=options.size_in_bytes, metavar="SIZE", help="Of temporaries, like 1GB.")
@click.option(
    "--max-error",
    type=click.FloatRange(0, min_open=True),
    default=math.inf,
    callback=options.not_nan,
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
def choose(**values: Any) -> int:
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
    request = _Request(**values)
    options.check_threads(request.threads)
    questions = _questions(request)
    usable, unusable = options.select(request.specs, request.peers)
    loaded = _load(request, [question for _, question in questions], usable)
    for line in loaded.problems:
        click.echo(line, err=True)
    runs, here = [rank_run(run) for run in loaded.runs], environment().machine
    weighted = [(weight, choosing.choose(question, runs, here, usable)) for weight, question in questions]
    if request.mix:
        return _print_mix(weighted, request.as_json)
    answer = weighted[0][1]
    notes = [*answers.notes(answer, unusable), *(_startup(answer, usable) if request.startup else [])]
    return _print(answer, notes, request.as_json)


def _questions(request: _Request) -> list[tuple[float, Question]]:
    """Return a question for each shape, with the weight of the shape."""
    parts = list(request.mix)
    if request.batch and request.dim:
        parts.append((request.batch, request.dim, 1.0))
    if not parts or bool(request.mix) == bool(request.batch or request.dim):
        raise click.UsageError("either --batch and --dim, or --workload, must be given")
    memory = math.inf if request.max_memory is None else request.max_memory
    return [
        (weight, Question(batch, dim, request.dtype, request.threads, memory, request.max_error))
        for batch, dim, weight in parts
    ]


def _load(request: _Request, questions: Sequence[Question], usable: Mapping[str, Implementation]) -> Loaded:
    """Load results. Measure the shapes first, if --measure is given or if there are no results."""
    folder = Path(options.FOLDER)
    given = list(request.paths) or ([folder] if folder.is_dir() else [])
    if not request.measure:
        loaded = load(given)
        if request.paths or loaded.runs:
            return loaded
    file = folder / MEASURED_FILE
    for question in questions:
        _measure(question, usable, file)
    return load(dict.fromkeys([*given, folder if folder in given else file]))


def _measure(question: Question, usable: Mapping[str, Implementation], file: Path) -> None:
    """Measure the shape of a question, and append the result to a file."""
    key = CellKey(CUSTOM, question.batch, question.dim, question.dtype, question.threads)
    session = Session(usable, BUDGET, largest_temporaries())
    # With one thread from the first call on, Numba does not compile code for several threads, which takes a second.
    with console(stderr=True).status(f"measuring {key}"), kernels_to_stderr(), limit_all_threads(question.threads):
        session.prepare([question.dtype])
        outcomes: list[Measured | Skipped] = list(session.run([key]))
    last = outcomes[-1]
    if isinstance(last, Skipped):
        raise click.ClickException(f"{key} can't be measured: {last.why}")
    try:
        file.parent.mkdir(exist_ok=True)
        store.append(file, last.cell)
    except OSError as error:
        raise click.ClickException(f"{file} can't be written: {error}") from None


def _startup(answer: Answer, usable: Mapping[str, Implementation]) -> list[str]:
    """Time the first calls of the chosen implementation, and compare them with one that needs no compiler."""
    pick = answer.pick
    if pick is None or pick.name not in usable or usable[pick.name].family != "numba":
        return []
    without = (c for name, c in answer.candidates.items() if name in usable and usable[name].family != "numba")
    plain, question = next(without, None), answer.question
    names = [pick.name, *([plain.name] if plain else [])]
    with console(stderr=True).status(f"starting {pick.name} in new processes"):
        try:
            seconds = [first_calls(name, question.batch, question.dim, question.dtype) for name in names]
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
    return answers.startup(pick, seconds[0], plain, seconds[-1])


def _print(answer: Answer, notes: Sequence[str], as_json: bool) -> int:
    code = answers.code(answer)
    if as_json:
        print_json(answer.as_dict() | {"front": front(answer.candidates), "code": code, "notes": notes})
    else:
        if answer.candidates:
            console().print(answers.candidates_table(answer))
        print_lines([*answers.sentences(answer), *notes, *(["", code] if code else [])])
    return 1 if code is None else 0


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
