"""Ask the question of ``softmax-impls choose``, and print the answer."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from softmax_impls.choice.answer import Answer, Question
from softmax_impls.choice.asking import ask_by_measuring, ask_results
from softmax_impls.choice.candidates import Implementations, code_for_mix
from softmax_impls.choice.fleet import Fleet, ask_kinds
from softmax_impls.choice.tradeoffs import front, over_mix
from softmax_impls.cli.options import rejecting, say
from softmax_impls.commands import FOLDER
from softmax_impls.report.terminal import answers
from softmax_impls.report.terminal.console import kernels_to_stderr, show
from softmax_impls.report.terminal.progress import progress_line
from softmax_impls.results.runs import load
from softmax_impls.timing.first_calls import first_calls


def answer(
    given: SimpleNamespace, questions: Sequence[Question], usable: Implementations, unusable: Mapping[str, str]
) -> int:
    """Answer the questions of `choose`, print the answer, and return the exit status.

    `given` has the options of the command. With --from or --no-measure, the answer comes from results; otherwise the
    shapes are measured now. `unusable` has the reasons why implementations are not available, by name. For a single
    shape and results of several kinds of machines, also print the answer for each kind.
    """
    fleet = None
    if given.paths or given.measure is False:
        loaded = load(given.paths or [FOLDER])  # read once, because a path may be a pipe
        found = ask_results(questions, usable, loaded, say, any_threads=given.threads is None)
        fleet = ask_kinds(found[0].question, loaded.runs, usable)
    else:
        shapes = ", ".join(f"{question.batch}×{question.dim}" for question in questions)
        with progress_line(text=f"measuring {shapes}"), kernels_to_stderr(), rejecting(ValueError):
            found = ask_by_measuring(questions, usable, FOLDER, say)
    if given.mix:
        weights = (weight for _, _, weight in given.mix)
        return _show_mix(list(zip(weights, found, strict=True)), usable, given.as_json)
    notes = answers.notes(found[0], unusable) + (_startup(found[0], usable) if given.startup else [])
    return _show_answer(found[0], fleet, notes, given.as_json)


def _show_answer(found: Answer, fleet: Fleet | None, notes: list[str], as_json: bool) -> int:
    kinds = "; ".join(on.kind for on in fleet.kinds) if fleet else ""
    for_all = [f"On all kinds of machines in these results: {fleet} ({kinds})."] if fleet else []
    more = {"front": front(found.candidates), "notes": notes, "fleet": fleet and fleet.as_dict()}
    tables = [answers.candidates_table(found)] if found.candidates else []
    code = ["", str(found.usage)] if found.usage else []
    show(as_json, found.as_dict() | more, tables, [*answers.sentences(found), *for_all, *notes, *code])
    return 0 if found.pick else 1


def _startup(found: Answer, usable: Implementations) -> list[str]:
    """Time the first calls of the implementation to use and of the fastest implementation that needs no compiler.

    Return lines about these calls; none if the implementation to use needs no compiler.
    """
    pick, question = found.pick, found.question
    if pick is None or pick.name not in usable or usable[pick.name].family != "numba":
        return []
    others = (candidate for candidate in found.candidates.values() if found.allows(candidate))
    plain = next((c for c in others if c.name in usable and usable[c.name].family != "numba"), None)
    with progress_line(text=f"starting {pick.name} in new processes"), rejecting(RuntimeError):
        seconds = [first_calls(c.name, question.batch, question.dim, question.dtype) for c in (pick, plain) if c]
    return answers.startup(pick, plain, seconds)


def _show_mix(weighted: Sequence[tuple[float, Answer]], usable: Implementations, as_json: bool) -> int:
    """Print the answer for a mix of shapes, each with its weight; return the exit status."""
    ranked = over_mix(weighted)
    pick = ranked[0].name if ranked and ranked[0].allowed else None
    code = code_for_mix(pick, (found for _, found in weighted), usable) if pick else None
    shapes = [{"weight": weight} | found.as_dict() for weight, found in weighted]
    data = {"use": pick, "mix": [vars(in_mix) for in_mix in ranked], "shapes": shapes, "code": code}
    tables = [answers.mix_table(weighted, ranked)] if ranked else []
    show(as_json, data, tables, [*answers.mix_sentences(weighted, ranked), *(["", code] if code else [])])
    return 0 if pick else 1
