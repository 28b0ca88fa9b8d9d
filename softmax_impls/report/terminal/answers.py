"""The answer of `choose` as a table, as sentences, and as a line of code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.markup import escape

from softmax_impls.choice.answer import INTERPOLATED, OUTSIDE, Answer, Candidate
from softmax_impls.choice.tradeoffs import InMix, calls_until_paid, front
from softmax_impls.formatting import format_bytes, format_count, format_seconds
from softmax_impls.report.terminal.cells import format_interval, format_ratio
from softmax_impls.report.terminal.tables import plain_table
from softmax_impls.timing.environment import environment

PACKAGES = ("softmax-impls", "numpy", "numba")  # times depend most on their versions


def candidates_table(answer: Answer) -> RenderableType:
    """Return the table of the candidates, the fastest first."""
    table = plain_table("implementation", right=("time", "× fastest", "interval", "worst error", "temporary memory"))
    mark = "~" if answer.basis == INTERPOLATED else ""
    for name, candidate in answer.candidates.items():
        ratio, fastest = answer.ratio(name), name == answer.winners[0]
        table.add_row(
            f"[bold]{escape(name)}[/]" if candidate is answer.pick else escape(name),
            mark + format_seconds(candidate.seconds),
            "1" if fastest else format_ratio(ratio.value),
            "" if fastest else format_interval(ratio),
            _error(candidate),
            "?" if math.isnan(candidate.temporary_bytes) else format_bytes(candidate.temporary_bytes),
        )
    return table


def sentences(answer: Answer) -> list[str]:
    """Return the answer as lines: the implementation to use, how sure that is, the runner-up, and the trade-offs."""
    question, pick = answer.question, answer.pick
    shape = f"{question.batch}×{question.dim} {question.dtype}, {format_count(question.threads, 'thread')}"
    if answer.basis == OUTSIDE:
        return [_outside(answer, shape), f"To measure this shape: {measure_command(answer)}"]
    if pick is None:
        return [f"No implementation that was measured meets these requirements for {shape}."]
    interval = f" ({format_seconds(pick.low)} to {format_seconds(pick.high)})" if pick.high >= pick.low else ""
    return [
        f"Use {pick.name} for {shape}: {format_seconds(pick.seconds)} a call{interval}.",
        _certainty(answer),
        *_runner_up(answer),
        *_more_accurate(answer, pick),
        f"Pareto front of time, error and memory: {', '.join(front(answer.candidates))}.",
    ]


def _outside(answer: Answer, shape: str) -> str:
    if answer.source is None:
        threads = format_count(answer.question.threads, "thread")
        return f"There are no results in {answer.question.dtype} with {threads}."
    (batch_low, batch_high), (dim_low, dim_high) = answer.source.batch, answer.source.dim
    measured = f"batch {batch_low} to {batch_high}, dim {dim_low} to {dim_high}, not every combination"
    return f"{shape} lies outside of the measured shapes: {measured}."


def _certainty(answer: Answer) -> str:
    assert answer.comparison is not None
    interpolated = answer.basis == INTERPOLATED
    cells = format_count(answer.source.cells if answer.source else 0, "measured cell")
    basis = f"interpolated from {cells}" if interpolated else f"measured at this shape, {answer.rounds} rounds"
    margin = "the error of the interpolation" if interpolated else f"{answer.comparison.margin:.1%}"
    if answer.sure:
        return f"Sure: {basis}; all others are slower by more than {margin}."
    tied = " and ".join(name for name in answer.candidates if name in answer.winners)
    advice = f" To measure this shape: {measure_command(answer)}" if interpolated else ""
    return f"Tie: {basis}; the difference between {tied} may be less than {margin}.{advice}"


def _runner_up(answer: Answer) -> list[str]:
    if answer.runner_up is None:
        return []
    candidate, ratio = answer.runner_up
    if ratio is None:
        return [f"Runner-up: {candidate.name}, which is as fast."]
    interval = format_interval(ratio)
    return [f"Runner-up: {candidate.name}, {format_ratio(ratio.value)}x the time of the fastest ({interval})."]


def _more_accurate(answer: Answer, pick: Candidate) -> list[str]:
    accurate = answer.more_accurate
    if accurate is None:
        return []
    return [
        f"On saturated rows, use {accurate.name}: its worst error is {_error(accurate)}, that of {pick.name} "
        f"{_error(pick)}. It takes {format_ratio(answer.ratio(accurate.name).value)}x the time of the fastest."
    ]


def notes(answer: Answer, unavailable: Mapping[str, str]) -> list[str]:
    """Return lines about implementations that were ruled out or are not available, and about other machines."""
    reasons: dict[str, list[str]] = {}
    for name, why in answer.ruled_out.items():
        reasons.setdefault(why, []).append(name)
    lines = [f"Ruled out: {', '.join(names)}: {why}." for why, names in reasons.items()]
    lines += [f"{name} not available: {why}" for name, why in unavailable.items()]
    if answer.source is None:
        return lines
    then, now = answer.source.versions, environment().versions
    different = [
        f"{package} {then[package]} (now {now.get(package, 'missing')})"
        for package in PACKAGES
        if package in then and then[package] != now.get(package)
    ]
    if different:
        lines.append(f"Measured with {', '.join(different)}.")
    if not answer.source.here:
        lines.append(f"Measured by {answer.source.tool} on {answer.source.machine}: times on this machine may differ.")
    return lines


def startup(
    pick: Candidate, first: tuple[float, float], plain: Candidate | None, plain_first: tuple[float, float]
) -> list[str]:
    """Return lines about the first call of a compiled implementation, and after how many calls it saves time.

    `first` and `plain_first` are the seconds of first calls in new processes, without and with cached code. `plain` is
    an implementation that needs no compiler.
    """
    cold, cached = map(format_seconds, first)
    lines = [f"The first call of {pick.name} in a new process takes {cold}, with cached code {cached}."]
    if plain is None:
        return lines
    calls = [
        calls_until_paid(max(0.0, seconds - other), pick.seconds, plain.seconds)
        for seconds, other in zip(first, plain_first, strict=True)
    ]
    if math.inf in calls:
        return [*lines, f"It never saves time over {plain.name}, which needs no compiler."]
    return [
        *lines,
        f"Compared with {plain.name}, which needs no compiler, it saves time after {calls[0]:,.0f} calls, "
        f"with cached code after {calls[1]:,.0f}.",
    ]


def mix_table(answers: Sequence[tuple[float, Answer]], ranked: Sequence[InMix]) -> RenderableType:
    """Return the table of a mix: the times of each implementation, relative to the fastest at each shape."""
    shapes = [f"{answer.question.batch}×{answer.question.dim}:{weight:g}" for weight, answer in answers]
    table = plain_table("implementation", right=("× fastest", "at worst", *shapes))
    for in_mix in ranked:
        times = map(format_ratio, (in_mix.mean, in_mix.worst, *in_mix.times))
        table.add_row(escape(in_mix.name), *times)
    return table


def mix_sentences(answers: Sequence[tuple[float, Answer]], ranked: Sequence[InMix]) -> list[str]:
    """Return the answer for a mix as lines."""
    outside = [answer for _, answer in answers if answer.basis == OUTSIDE]
    if outside:
        return [line for answer in outside for line in sentences(answer)]
    if not ranked:
        return ["No implementation that was measured for all of these shapes meets these requirements."]
    best, interpolated = ranked[0], sum(answer.basis == INTERPOLATED for _, answer in answers)
    lines = [
        f"Use {best.name} for this mix: {best.mean:.2f}x the time of the fastest at each shape on average "
        f"(geometric mean), {best.worst:.2f}x at worst."
    ]
    if len(ranked) > 1:
        lines.append(f"Runner-up: {ranked[1].name}, {ranked[1].mean:.2f}x on average.")
    if interpolated:
        lines.append(f"Interpolated: {interpolated} of {format_count(len(answers), 'shape')}.")
    return lines


def code(answer: Answer) -> str | None:
    """Return a line of Python that calls the implementation to use; None without an answer."""
    if answer.pick is None:
        return None
    name = f'"{answer.pick.name}"' if answer.pick.name.isidentifier() else "your_kernel"
    return f"softmax_backward(probs, grad_output, impl={name}, threads={answer.question.threads})"


def measure_command(answer: Answer) -> str:
    """Return the command that measures the shape of the question."""
    question = answer.question
    threads = f" --threads {question.threads}" if question.threads > 1 else ""
    shape = f"--batch {question.batch} --dim {question.dim} --dtype {question.dtype}"
    return f"softmax-impls choose {shape}{threads} --measure"


def _error(candidate: Candidate) -> str:
    return "?" if math.isnan(candidate.error) else f"{candidate.error:.0e}"
