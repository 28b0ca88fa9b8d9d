"""The answer of `choose` as a table and as sentences."""

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from softmax_impls import dispatch
from softmax_impls.choice.answer import (
    HOW_COMPARED,
    HOW_STATED,
    LOSES_SATURATED_ROWS,
    OUTSIDE,
    PREDICTED,
    Answer,
    Candidate,
    Question,
)
from softmax_impls.choice.tradeoffs import InMix, calls_until_paid, front
from softmax_impls.formatting import format_bytes, format_count, format_seconds
from softmax_impls.report.terminal.tables import format_ratio, plain_table, ratio_and_interval
from softmax_impls.timing.environment import environment
from softmax_impls.timing.statistics import Ratio

PACKAGES = ("softmax-impls", "numpy", "numba")  # times depend most on their versions
MARKS = {"logits": "", "probs": " †", None: " ‡"}  # by `Candidate.accurate_for`
EXPLAINED = {
    "probs": f"† Loses saturated rows: recommended only with --any-accuracy. {LOSES_SATURATED_ROWS}",
    None: "‡ Accuracy on saturated rows not known: recommended only with --any-accuracy.",
}


def candidates_table(answer: Answer) -> RenderableType:
    """Return the table of the candidates, the fastest first."""
    table = plain_table("implementation", ">time", ">× fastest", ">interval", ">error bound", ">temporary memory")
    for name, candidate in answer.candidates.items():
        shown = f"[bold]{escape(name)}[/]" if candidate is answer.pick else escape(name)
        time = ("~" if answer.basis == PREDICTED else "") + format_seconds(candidate.seconds)
        ratio = ratio_and_interval(answer.ratio(name)) if answer.comparison else ("–", "")
        memory = "?" if math.isnan(candidate.temporary_bytes) else format_bytes(candidate.temporary_bytes)
        table.add_row(shown + MARKS[candidate.accurate_for], time, *ratio, _error(candidate), memory)
    kinds = {candidate.accurate_for for candidate in answer.candidates.values()}
    how = HOW_STATED.format(answer.pick.name) if answer.just_measured and answer.pick else HOW_COMPARED
    return Group(table, Text(how), *(text for kind, text in EXPLAINED.items() if kind in kinds))


def sentences(answer: Answer) -> list[str]:
    """Return the answer as lines: the implementation to use, how sure the answer is, the runner-up, and trade-offs."""
    question, pick = answer.question, answer.pick
    shape = f"{question.batch}×{question.dim} {question.dtype}, {format_count(question.threads, 'thread')}"
    if answer.basis == OUTSIDE:
        return [_outside(answer, shape), f"To measure this shape: {_measure_command(question)}"]
    if pick is None:
        accurate = "stays accurate on saturated rows and " if answer.candidates else ""
        return [f"No implementation that was measured {accurate}meets these requirements for {shape}."]
    interval = f" ({format_seconds(pick.low)} to {format_seconds(pick.high)} nine times in ten)"
    time = format_seconds(pick.seconds) + " a call" + interval * (pick.high >= pick.low)  # not if NaN
    default = ", the default call" if pick.name == dispatch.pick().impl else ""
    lines = [f"Use {pick.name}{default}, for {shape}: {time}."]
    return [*lines, _certainty(answer), *_others(answer, pick)]


def _others(answer: Answer, pick: Candidate) -> Iterator[str]:
    """Yield lines about the runner-up, about faster and more accurate candidates, and about the Pareto front."""
    if runner_up := answer.runner_up:
        if runner_up.name in answer.winners:
            yield f"Runner-up: {runner_up.name}, which ties."
        else:
            yield f"Runner-up: {runner_up.name}, {_times(answer.ratio(runner_up.name))} the time of the fastest."
    faster = [c.name for c in answer.candidates.values() if not answer.allows(c) and answer.ratio(c.name).high < 1]
    if faster:
        times = ", ".join(f"{name} {_times(answer.ratio(name))}" for name in faster)
        yield f"Faster, but not recommended (see the marks in the table): {times}."
    if accurate := answer.more_accurate:
        times = _times(answer.ratio(accurate.name))
        yield (
            f"{pick.name} loses saturated rows. {accurate.name} does not: it takes {times} the time of the fastest, "
            f"and its error bound is {_error(accurate)}, that of {pick.name} is {_error(pick)}."
        )
    if of_known := front(answer.candidates):
        yield f"Pareto front of time, error and memory: {', '.join(of_known)}."
    unknown = [c.name for c in answer.candidates.values() if math.isnan(c.error_bound + c.temporary_bytes)]
    if unknown:
        yield f"Error or memory not known: {', '.join(unknown)}."


def _times(ratio: Ratio) -> str:
    return f"{format_ratio(ratio.value)}x ({format_ratio(ratio.low)} to {format_ratio(ratio.high)})"


def _outside(answer: Answer, shape: str) -> str:
    if answer.source is None:
        threads = format_count(answer.question.threads, "thread")
        return f"There are no results in {answer.question.dtype} with {threads}."
    (batch_low, batch_high), (dim_low, dim_high) = answer.source.batch, answer.source.dim
    measured = f"batch {batch_low} to {batch_high}, dim {dim_low} to {dim_high}, not every combination"
    return f"{shape} lies outside of the measured shapes: {measured}."


def _certainty(answer: Answer) -> str:
    assert answer.comparison is not None
    measured = "measured now" if answer.just_measured else "measured at this shape"
    basis, margin = f"{measured}, {format_count(answer.rounds, 'round')}", f"{answer.comparison.margin:.1%}"
    advice = ""
    if answer.basis == PREDICTED:
        cells = format_count(answer.source.cells if answer.source else 0, "measured cell")
        basis, margin = f"predicted from {cells}", "the error of the prediction"
        advice = f" To measure this shape: {_measure_command(answer.question)}"
    if len(answer.winners) > 1:
        tied = " and ".join(name for name in answer.candidates if name in answer.winners)
        return f"Tie: {basis}; the difference between {tied} may be less than {margin}.{advice}"
    if answer.doubts:
        return f"Not sure: {basis}. {' '.join(answer.doubts)}"
    unmarked = "" if all(map(answer.allows, answer.candidates.values())) else " without a mark"
    if answer.runner_up is None:
        return f"Sure: {basis}; there is no other candidate{unmarked}."
    return f"Sure: {basis}; all others{unmarked} are slower by more than {margin}."


def notes(answer: Answer, unavailable: Mapping[str, str]) -> list[str]:
    """Return lines about implementations that were ruled out or are not available, and about earlier measurements.

    `unavailable` has the reasons why implementations are not available, by name. If the answer is based on earlier
    measurements, lines may state the package versions, the machine and the commit of these measurements.
    """
    reasons: dict[str, list[str]] = {}
    for name, why in answer.ruled_out.items():
        reasons.setdefault(why, []).append(name)
    lines = [f"Ruled out: {', '.join(names)}: {why}." for why, names in reasons.items()]
    lines += [f"{name} not available: {why}" for name, why in unavailable.items()]
    return lines + _about_source(answer)


def _about_source(answer: Answer) -> list[str]:
    """Return lines about the package versions, the machine and the commit of earlier measurements.

    Versions are stated if they differ from the versions in use now. The machine is stated if it is not this machine.
    The commit is stated if it is known and another tool than `compare` measured, such as asv. There are no lines if
    the shape was measured for this answer.
    """
    lines, source = [], answer.source
    if source is None or answer.just_measured:
        return []
    then, now = source.versions, environment().versions
    changed = [package for package in PACKAGES if package in then and then[package] != now.get(package)]
    if changed:
        versions = (f"{package} {then[package]} (now {now.get(package, 'missing')})" for package in changed)
        lines.append(f"Measured with {', '.join(versions)}.")
    commit = f" at commit {source.commit[:10]}" if source.commit and source.tool != "compare" else ""
    if not source.here:
        lines.append(f"Measured by {source.tool}{commit} on {source.machine}: times on this machine may differ.")
    elif commit:
        lines.append(f"Measured by {source.tool}{commit}.")
    return lines


def startup(pick: Candidate, plain: Candidate | None, seconds: Sequence[tuple[float, float]]) -> list[str]:
    """Return lines about the first call of `pick`, and after how many calls it has saved time compared with `plain`.

    `plain` is the fastest candidate that needs no compiler; None if there is none. `seconds` has a pair for `pick` and
    a pair for `plain`: the seconds of the first call without cached code, and with cached code.
    """
    cold, cached = map(format_seconds, seconds[0])
    lines = [f"The first call of {pick.name} in a new process takes {cold}, with cached code {cached}."]
    if plain:
        extra = (max(0.0, first - other) for first, other in zip(*seconds, strict=True))
        calls = [calls_until_paid(first, pick.seconds, plain.seconds) for first in extra]
        saves = f"it saves time {_after(calls[0])}, with cached code {_after(calls[1])}"
        never = f"It never saves time over {plain.name}, which needs no compiler."
        lines.append(never if math.inf in calls else f"Compared with {plain.name}, which needs no compiler, {saves}.")
    return lines


def _after(calls: float) -> str:
    return f"after {calls:,.0f} {'call' if calls == 1 else 'calls'}" if calls else "from the first call on"


def mix_table(answers: Sequence[tuple[float, Answer]], ranked: Sequence[InMix]) -> RenderableType:
    """Return the table of a mix of shapes: each implementation's times, relative to the fastest at each shape."""
    shapes = [f">{answer.question.batch}×{answer.question.dim}:{weight:g}" for weight, answer in answers]
    table = plain_table("implementation", ">× fastest", ">at worst", *shapes)
    kinds = {name: c.accurate_for for _, answer in answers for name, c in answer.candidates.items()}
    for in_mix in ranked:
        times = map(format_ratio, (in_mix.mean, in_mix.worst, *in_mix.times))
        table.add_row(escape(in_mix.name) + MARKS[kinds[in_mix.name]], *times)
    shown = {kinds[in_mix.name] for in_mix in ranked}
    return Group(table, *(text for kind, text in EXPLAINED.items() if kind in shown))


def mix_sentences(answers: Sequence[tuple[float, Answer]], ranked: Sequence[InMix]) -> list[str]:
    """Return the answer for a mix of shapes as lines: the implementation to use, the runner-up, and doubts.

    `answers` has the weight and the answer of each shape. `ranked` has the implementations, ranked over the whole mix.
    If no time can be predicted for some of the shapes, the lines are only about those shapes, and name no
    implementation.
    """
    if outside := [answer for _, answer in answers if answer.basis == OUTSIDE]:
        return [line for answer in outside for line in sentences(answer)]
    allowed = [in_mix for in_mix in ranked if in_mix.allowed]
    if not allowed:
        return ["No implementation that was measured for all of these shapes meets these requirements."]
    best, *others = allowed
    default = ", the default call" if best.name == dispatch.pick().impl else ""
    mean = f"{best.mean:.2f}x the time of the fastest at each shape on average (geometric mean)"
    lines = [f"Use {best.name}{default}, for this mix: {mean}, {best.worst:.2f}x at worst."]
    if others:
        lines.append(f"Runner-up: {others[0].name}, {others[0].mean:.2f}x on average.")
    for basis, count in (
        ("Measured now", sum(answer.just_measured for _, answer in answers)),
        ("Predicted", sum(answer.basis == PREDICTED for _, answer in answers)),
    ):
        lines += [f"{basis}: {count} of {format_count(len(answers), 'shape')}."] if count else []
    for _, answer in answers:
        shape = f"{answer.question.batch}×{answer.question.dim}"
        lines += [f"{shape}: {doubt}" for doubt in answer.doubts]
    return lines


def _measure_command(question: Question) -> str:
    shape = f"--batch {question.batch} --dim {question.dim} --dtype {question.dtype}"
    return f"softmax-impls choose {shape} --threads {question.threads}"


def _error(candidate: Candidate) -> str:
    error = candidate.error_bound
    return "?" if math.isnan(error) else "none" if math.isinf(error) else f"{error:.1e}"
