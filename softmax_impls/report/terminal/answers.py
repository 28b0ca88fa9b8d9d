"""The answer of `choose` as a table, as sentences, and as a line of code."""

import math
from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.markup import escape

from softmax_impls.choice.answer import INTERPOLATED, OUTSIDE, Answer, Candidate, Question
from softmax_impls.choice.tradeoffs import InMix, calls_until_paid, front
from softmax_impls.formatting import format_bytes, format_count, format_seconds
from softmax_impls.report.terminal.tables import format_ratio, plain_table, ratio_and_interval
from softmax_impls.timing.environment import environment

PACKAGES = ("softmax-impls", "numpy", "numba")  # times depend most on their versions


def candidates_table(answer: Answer) -> RenderableType:
    """Return the table of the candidates, the fastest first."""
    table = plain_table("implementation", ">time", ">× fastest", ">interval", ">worst error", ">temporary memory")
    for name, candidate in answer.candidates.items():
        shown = f"[bold]{escape(name)}[/]" if candidate is answer.pick else escape(name)
        time = ("~" if answer.basis == INTERPOLATED else "") + format_seconds(candidate.seconds)
        memory = "?" if math.isnan(candidate.temporary_bytes) else format_bytes(candidate.temporary_bytes)
        table.add_row(shown, time, *ratio_and_interval(answer.ratio(name)), _error(candidate), memory)
    return table


def sentences(answer: Answer) -> list[str]:
    """Return the answer as lines: the implementation to use, how sure that is, the runner-up, and the trade-offs."""
    question, pick = answer.question, answer.pick
    shape = f"{question.batch}×{question.dim} {question.dtype}, {format_count(question.threads, 'thread')}"
    if answer.basis == OUTSIDE:
        return [_outside(answer, shape), f"To measure this shape: {_measure_command(question)}"]
    if pick is None:
        return [f"No implementation that was measured meets these requirements for {shape}."]
    interval = f" ({format_seconds(pick.low)} to {format_seconds(pick.high)})" if pick.high >= pick.low else ""
    lines = [f"Use {pick.name} for {shape}: {format_seconds(pick.seconds)} a call{interval}.", _certainty(answer)]
    if answer.runner_up:
        candidate, ratio = answer.runner_up
        interval = f"{format_ratio(ratio.low)} to {format_ratio(ratio.high)}" if ratio else ""
        times = f"{format_ratio(ratio.value)}x the time of the fastest ({interval})" if ratio else "which is as fast"
        lines.append(f"Runner-up: {candidate.name}, {times}.")
    if accurate := answer.more_accurate:
        lines.append(
            f"On saturated rows, use {accurate.name}: its worst error is {_error(accurate)}, that of {pick.name} "
            f"{_error(pick)}. It takes {format_ratio(answer.ratio(accurate.name).value)}x the time of the fastest."
        )
    return [*lines, f"Pareto front of time, error and memory: {', '.join(front(answer.candidates))}."]


def _outside(answer: Answer, shape: str) -> str:
    if answer.source is None:
        threads = format_count(answer.question.threads, "thread")
        return f"There are no results in {answer.question.dtype} with {threads}."
    (batch_low, batch_high), (dim_low, dim_high) = answer.source.batch, answer.source.dim
    measured = f"batch {batch_low} to {batch_high}, dim {dim_low} to {dim_high}, not every combination"
    return f"{shape} lies outside of the measured shapes: {measured}."


def _certainty(answer: Answer) -> str:
    assert answer.comparison is not None
    basis, margin = f"measured at this shape, {answer.rounds} rounds", f"{answer.comparison.margin:.1%}"
    advice = ""
    if answer.basis == INTERPOLATED:
        cells = format_count(answer.source.cells if answer.source else 0, "measured cell")
        basis, margin = f"interpolated from {cells}", "the error of the interpolation"
        advice = f" To measure this shape: {_measure_command(answer.question)}"
    if answer.sure:
        return f"Sure: {basis}; all others are slower by more than {margin}."
    tied = " and ".join(name for name in answer.candidates if name in answer.winners)
    return f"Tie: {basis}; the difference between {tied} may be less than {margin}.{advice}"


def notes(answer: Answer, unavailable: Mapping[str, str]) -> list[str]:
    """Return lines about implementations that were ruled out or are not available, and about other machines."""
    reasons: dict[str, list[str]] = {}
    for name, why in answer.ruled_out.items():
        reasons.setdefault(why, []).append(name)
    lines = [f"Ruled out: {', '.join(names)}: {why}." for why, names in reasons.items()]
    lines += [f"{name} not available: {why}" for name, why in unavailable.items()]
    if answer.source:
        then, now = answer.source.versions, environment().versions
        changed = [package for package in PACKAGES if package in then and then[package] != now.get(package)]
        if changed:
            versions = (f"{package} {then[package]} (now {now.get(package, 'missing')})" for package in changed)
            lines.append(f"Measured with {', '.join(versions)}.")
        if not answer.source.here:
            place = f"by {answer.source.tool} on {answer.source.machine}"
            lines.append(f"Measured {place}: times on this machine may differ.")
    return lines


def startup(pick: Candidate, plain: Candidate | None, seconds: Sequence[tuple[float, float]]) -> list[str]:
    """Return lines about first calls, in seconds without and with cached code of each; `plain` needs no compiler."""
    cold, cached = map(format_seconds, seconds[0])
    lines = [f"The first call of {pick.name} in a new process takes {cold}, with cached code {cached}."]
    if plain:
        extra = (max(0.0, first - other) for first, other in zip(*seconds, strict=True))
        calls = [calls_until_paid(first, pick.seconds, plain.seconds) for first in extra]
        saves = f"it saves time after {calls[0]:,.0f} calls, with cached code after {calls[1]:,.0f}"
        never = f"It never saves time over {plain.name}, which needs no compiler."
        lines.append(never if math.inf in calls else f"Compared with {plain.name}, which needs no compiler, {saves}.")
    return lines


def mix_table(answers: Sequence[tuple[float, Answer]], ranked: Sequence[InMix]) -> RenderableType:
    """Return the table of a mix: the times of each implementation, relative to the fastest at each shape."""
    shapes = [f">{answer.question.batch}×{answer.question.dim}:{weight:g}" for weight, answer in answers]
    table = plain_table("implementation", ">× fastest", ">at worst", *shapes)
    for in_mix in ranked:
        table.add_row(escape(in_mix.name), *map(format_ratio, (in_mix.mean, in_mix.worst, *in_mix.times)))
    return table


def mix_sentences(answers: Sequence[tuple[float, Answer]], ranked: Sequence[InMix]) -> list[str]:
    """Return the answer for a mix as lines."""
    outside = [answer for _, answer in answers if answer.basis == OUTSIDE]
    if outside:
        return [line for answer in outside for line in sentences(answer)]
    if not ranked:
        return ["No implementation that was measured for all of these shapes meets these requirements."]
    best, *others = ranked
    mean = f"{best.mean:.2f}x the time of the fastest at each shape on average (geometric mean)"
    lines = [f"Use {best.name} for this mix: {mean}, {best.worst:.2f}x at worst."]
    if others:
        lines.append(f"Runner-up: {others[0].name}, {others[0].mean:.2f}x on average.")
    if interpolated := sum(answer.basis == INTERPOLATED for _, answer in answers):
        lines.append(f"Interpolated: {interpolated} of {format_count(len(answers), 'shape')}.")
    return lines


def code(answer: Answer) -> str | None:
    """Return a line of Python that calls the implementation to use; None without an answer."""
    if answer.pick is None:
        return None
    name = f'"{answer.pick.name}"' if answer.pick.name.isidentifier() else "your_kernel"
    return f"softmax_backward(probs, grad_output, impl={name}, threads={answer.question.threads})"


def _measure_command(question: Question) -> str:
    threads = f" --threads {question.threads}" if question.threads > 1 else ""
    shape = f"--batch {question.batch} --dim {question.dim} --dtype {question.dtype}"
    return f"softmax-impls choose {shape}{threads} --measure"


def _error(candidate: Candidate) -> str:
    return "?" if math.isnan(candidate.error) else f"{candidate.error:.0e}"
