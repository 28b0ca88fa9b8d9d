"""Ask the question of ``softmax-impls choose``, and print the answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from softmax_impls.choice.answer import Answer, Question
from softmax_impls.choice.asking import ask_by_measuring, ask_results
from softmax_impls.choice.candidates import Implementations, code_for_mix
from softmax_impls.choice.fleet import Fleet, ask_kinds
from softmax_impls.choice.tradeoffs import front, over_mix
from softmax_impls.cli import options
from softmax_impls.commands import FOLDER
from softmax_impls.report.terminal import answers
from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines
from softmax_impls.report.terminal.progress import progress_line
from softmax_impls.results.runs import load
from softmax_impls.timing.first_calls import first_calls


def ask(
    questions: Sequence[Question], usable: Implementations, paths: Sequence[Path], any_threads: bool
) -> tuple[list[Answer], Fleet | None]:
    """Answer from results, or without `paths` by measuring the shapes now.

    If the results are of several kinds of machines, also answer the first question for each kind.
    """
    if paths:
        loaded = load(paths)  # once, because a path may be a pipe
        found = ask_results(questions, usable, loaded, options.say, any_threads)
        return found, ask_kinds(found[0].question, loaded.runs, usable)
    shapes = ", ".join(f"{question.batch}×{question.dim}" for question in questions)
    with progress_line(text=f"measuring {shapes}"), kernels_to_stderr():
        try:
            return ask_by_measuring(questions, usable, FOLDER, options.say), None
        except ValueError as error:
            raise click.ClickException(str(error)) from None


def print_answer(
    answer: Answer,
    fleet: Fleet | None,
    usable: Implementations,
    unusable: Mapping[str, str],
    startup: bool,
    as_json: bool,
) -> int:
    """Print an answer, with `startup` also the times of first calls; return the exit status."""
    notes = answers.notes(answer, unusable) + (_startup(answer, usable) if startup else [])
    kinds = "; ".join(on.kind for on in fleet.kinds) if fleet else ""
    for_all = [f"On all kinds of machines in these results: {fleet} ({kinds})."] if fleet else []
    if as_json:
        print_json(
            answer.as_dict() | {"front": front(answer.candidates), "notes": notes, "fleet": fleet and fleet.as_dict()}
        )
    else:
        if answer.candidates:
            console().print(answers.candidates_table(answer))
        print_lines([*answers.sentences(answer), *for_all, *notes, *(["", str(answer.usage)] if answer.usage else [])])
    return 0 if answer.pick else 1


def _startup(answer: Answer, usable: Implementations) -> list[str]:
    """Time the first call of the implementation to use, and that of the fastest that needs no compiler."""
    pick, question = answer.pick, answer.question
    if pick is None or pick.name not in usable or usable[pick.name].family != "numba":
        return []
    others = (candidate for candidate in answer.candidates.values() if answer.allows(candidate))
    plain = next((c for c in others if c.name in usable and usable[c.name].family != "numba"), None)
    with progress_line(text=f"starting {pick.name} in new processes"):
        try:
            seconds = [first_calls(c.name, question.batch, question.dim, question.dtype) for c in (pick, plain) if c]
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
    return answers.startup(pick, plain, seconds)


def print_mix(weighted: Sequence[tuple[float, Answer]], usable: Implementations, as_json: bool) -> int:
    """Print the implementations over a mix of shapes with their weights; return the exit status."""
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
