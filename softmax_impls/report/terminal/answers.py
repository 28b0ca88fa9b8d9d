"""An answer in words: which one, how long, how sure, at what price, and a line of code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.markup import escape

from softmax_impls.choice.answer import INTERPOLATED, OUTSIDE, Answer, Contender
from softmax_impls.choice.tradeoffs import InMix, calls_until_paid, front
from softmax_impls.formatting import format_bytes, format_seconds
from softmax_impls.report.terminal.tables import count, plain_table, times
from softmax_impls.timing.environment import versions

MATTER = ("softmax-impls", "numpy", "numba")  # whose versions times depend on


def contenders(answer: Answer) -> RenderableType:
    """Return the table of those that may be used, the fastest first."""
    table = plain_table()
    table.add_column("implementation", no_wrap=True)
    for heading in ("time", "× the fastest", "interval", "worst error", "temporaries"):
        table.add_column(heading, justify="right")
    mark = "~" if answer.basis == INTERPOLATED else ""
    for name, one in answer.contenders.items():
        ratio = answer.standing.ratios.get(name) if answer.standing else None
        table.add_row(
            f"[bold]{escape(name)}[/]" if one is answer.pick else escape(name),
            mark + format_seconds(one.seconds),
            times(ratio.value) if ratio else "1",
            f"{times(ratio.low)} to {times(ratio.high)}" if ratio else "",
            _error(one),
            "?" if math.isnan(one.temporary_bytes) else format_bytes(one.temporary_bytes),
        )
    return table


def sentences(answer: Answer) -> list[str]:
    """Return the answer, a line each: what to use, how sure that is, the runner-up, and what it costs."""
    asked = answer.question
    shape = f"{asked.batch}×{asked.dim} {asked.dtype}, {count(asked.threads, 'thread')}"
    if answer.basis == OUTSIDE:
        return [*_outside(answer, shape), f"To measure that very cell: {command(answer)}"]
    if answer.pick is None:
        return [f"Nothing that was measured for {shape} keeps within these limits."]
    pick = answer.pick
    lines = [
        f"Use {pick.name} for {shape}: {format_seconds(pick.seconds)} a call "
        f"({format_seconds(pick.low)} to {format_seconds(pick.high)})."
    ]
    lines.append(_how_sure(answer))
    if second := answer.runner_up:
        name, ratio = second[0].name, second[1]
        told = f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "the fastest by median"
        lines.append(f"Runner-up: {name}, {told}.")
    if other := answer.more_accurate:
        ratio = answer.standing.ratios.get(other.name) if answer.standing else None
        price = f", at {ratio.value:.2f}x the time" if ratio else ""
        lines.append(
            f"When rows may saturate: the worst error of {pick.name} is {_error(pick)}, "
            f"that of {other.name} {_error(other)}{price}."
        )
    return [*lines, f"Beaten by no other in time, error and memory alike: {', '.join(front(answer.contenders))}."]


def _outside(answer: Answer, shape: str) -> list[str]:
    if not answer.source:
        return [f"Nothing was measured in {answer.question.dtype} on {count(answer.question.threads, 'thread')}."]
    (b0, b1), (d0, d1) = answer.source["batch"], answer.source["dim"]
    return [f"{shape} is outside of what was measured: batch {b0} to {b1}, dim {d0} to {d1}, not every pair of them."]


def _how_sure(answer: Answer) -> str:
    assert answer.standing is not None
    based = f"measured in that very cell, {count(answer.rounds, 'round')}"
    if answer.basis == INTERPOLATED:
        based = f"interpolated from {count(answer.source['cells'], 'cell')} that were measured"
    if answer.sure:
        return f"Sure: {based}; all others are slower by more than {_doubt(answer)}."
    names = " and ".join(name for name in answer.contenders if name in (answer.standing.best, *answer.standing.ties))
    advice = f" To measure that very cell: {command(answer)}" if answer.basis == INTERPOLATED else ""
    return f"A tie: {based}; {names} can't be told apart by more than {_doubt(answer)}.{advice}"


def _doubt(answer: Answer) -> str:
    assert answer.standing is not None
    return "interpolating may be off" if answer.basis == INTERPOLATED else f"{answer.standing.margin:.1%}"


def notes(answer: Answer, unavailable: Mapping[str, str]) -> list[str]:
    """Return what was ruled out, and what else there is to know about where the answer comes from."""
    reasons: dict[str, list[str]] = {}
    for name, why in answer.ruled_out.items():
        reasons.setdefault(why, []).append(name)
    lines = [f"Ruled out: {', '.join(names)}: {why}." for why, names in reasons.items()]
    lines += [f"{name} not available: {why}" for name, why in unavailable.items()]
    if answer.source:
        then, now = answer.source["versions"], versions()
        other = [
            f"{key} {then[key]} (now {now.get(key, 'none')})"
            for key in MATTER
            if then.get(key) not in (None, now.get(key))
        ]
        if other:
            lines.append(f"Measured with {', '.join(other)}.")
        if not answer.source["here"]:
            lines.append(
                f"Measured on {answer.source['machine']}, by {answer.source['tool']}: it may be otherwise here."
            )
    return lines


def startup(
    pick: Contender, first: tuple[float, float], plain: Contender | None, plain_first: tuple[float, float]
) -> list[str]:
    """Return what starting costs, compiled and from the cache, and after how many calls that has paid."""
    cold, cached = first
    lines = [
        f"The first call of {pick.name} in a new process takes {format_seconds(cold)}, from the cache {format_seconds(cached)}."
    ]
    if plain:
        paid = [
            calls_until_paid(max(0.0, s - without), pick.seconds, plain.seconds)
            for s, without in zip(first, plain_first, strict=True)
        ]
        if math.inf in paid:
            return [*lines, f"{plain.name}, which needs no compiler, is as fast: it never pays."]
        lines.append(
            f"Against {plain.name}, which needs no compiler, that has paid after {paid[0]:,.0f} calls, "
            f"from the cache after {paid[1]:,.0f}."
        )
    return lines


def mix(answers: Sequence[tuple[float, Answer]], ranked: Sequence[InMix]) -> RenderableType:
    """Return the table of a mix: for each implementation its time over each shape's fastest."""
    table = plain_table()
    table.add_column("implementation", no_wrap=True)
    for heading in ("× the fastest", "at worst", *(_part(weight, found) for weight, found in answers)):
        table.add_column(heading, justify="right")
    for one in ranked:
        table.add_row(escape(one.name), times(one.mean), times(one.worst), *map(times, one.times))
    return table


def mix_sentences(answers: Sequence[tuple[float, Answer]], ranked: Sequence[InMix]) -> list[str]:
    """Return what to use for a mix."""
    outside = [found for _, found in answers if found.basis == OUTSIDE]
    if outside:
        return [line for found in outside for line in sentences(found)]
    if not ranked:
        return ["Nothing that was measured for all of these shapes keeps within these limits."]
    best, between = ranked[0], sum(found.basis == INTERPOLATED for _, found in answers)
    lines = [
        f"Use {best.name} for this mix: {best.mean:.2f}x the fastest of each shape in the geometric mean, "
        f"{best.worst:.2f}x at worst."
    ]
    if len(ranked) > 1:
        lines.append(f"Runner-up: {ranked[1].name}, {ranked[1].mean:.2f}x.")
    return [*lines, *([f"{count(between, 'shape')} of {len(answers)} interpolated."] if between else [])]


def _part(weight: float, found: Answer) -> str:
    return f"{found.question.batch}×{found.question.dim}:{weight:g}"


def code(answer: Answer) -> str | None:
    """Return a line to paste."""
    if answer.pick is None:
        return None
    name = f'"{answer.pick.name}"' if answer.pick.name.isidentifier() else "your_kernel"
    return f"softmax_backward(probs, grad_output, impl={name}, threads={answer.question.threads})"


def command(answer: Answer) -> str:
    """Return the command that measures the very cell."""
    asked = answer.question
    threads = f" --threads {asked.threads}" if asked.threads > 1 else ""
    return f"softmax-impls choose --batch {asked.batch} --dim {asked.dim} --dtype {asked.dtype}{threads} --measure"


def _error(one: Contender) -> str:
    return "?" if math.isnan(one.error) else f"{one.error:.0e}"
