"""What people read in a terminal, as rich tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from softmax_impls.checks.verdict import Verdict
from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_bytes, format_seconds
from softmax_impls.implementation import Implementation
from softmax_impls.timing.entry import DROPPED, EXTRAPOLATED, TIMED
from softmax_impls.timing.workloads import CUSTOM, GRID

WORTH_A_WORD = 1e-3  # seconds
EXAMPLE_SHAPE = (4096, 512)  # float64, for showing how much temporary memory a call takes


def plain_table() -> Table:
    """Return an empty table without lines around it."""
    return Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))


def listing(usable: Mapping[str, Implementation], unusable: Mapping[str, str]) -> RenderableType:
    """Return a table of what there is."""
    table = plain_table()
    table.add_column("name", no_wrap=True)
    for heading in ("family", "right about", "temporaries*", "what it is"):
        table.add_column(heading)
    for name, one in usable.items():
        temporaries = (
            format_bytes(one.temporary_bytes(*EXAMPLE_SHAPE, np.dtype(np.float64))) if one.temporaries else "?"
        )
        about = "the logits" if one.accurate_for == "logits" else "given probs"
        table.add_row(name, one.family, about, temporaries, escape(one.summary))
    for name, why in unusable.items():
        table.add_row(name, "", "", "", f"[red]not available:[/red] {escape(why)}")
    return Group(table, f"* of a call at {EXAMPLE_SHAPE[0]}×{EXAMPLE_SHAPE[1]} float64, where out takes 16.8 MB")


def verdicts(found: Mapping[str, Verdict], forward: Verdict) -> RenderableType:
    """Return the table of a check: errors against the logits' gradient, and what passed."""
    table = plain_table()
    table.add_column("implementation", no_wrap=True)
    for dtype in ("float32", "float64"):
        for kind in ("ordinary", "saturated"):
            table.add_column(f"{dtype}\n{kind}", justify="right", no_wrap=True)
    for heading in ("value", "numeric", "pairs", "hostile", "memory", "verdict"):
        table.add_column(heading, no_wrap=True)
    for name, one in found.items():
        errors = [_error(one, dtype, kind) for dtype in ("float32", "float64") for kind in ("ordinary", "saturated")]
        table.add_row(
            name,
            *errors,
            _passed(one, "value", "logits", "shapes", "runs"),
            _passed(one, "numeric"),
            _passed(one, "pairs"),
            _passed(one, "non-finite", "inputs", "written", "in place", "empty"),
            _passed(one, "memory"),
            _verdict(one),
        )
    errors = [text for dtype in ("float32", "float64") for text in (_error(forward, dtype, "probabilities"), "")]
    passed = (_passed(forward, "forward"), "", "", _passed(forward, "non-finite", "runs"), "")
    table.add_row("softmax (forward)", *errors, *passed, _verdict(forward))
    return Group(
        "Worst error of a row, relative to its largest gradient with respect to the logits:",
        table,
        "* right about p * (g - sum(g * p)) for the rounded p it is given; saturated rows lose their gradient that way",
    )


def failures(found: Iterable[Verdict]) -> list[str]:
    """Return a line for each check that an implementation failed, with the first thing that it failed on."""
    lines = []
    for one in found:
        by_check = {failure.check: failure for failure in reversed(one.failures)}
        for check, failure in sorted(by_check.items()):
            count = sum(other.check == check for other in one.failures)
            more = f" (and {count - 1} more)" if count > 1 else ""
            lines.append(f"{one.name}: {failure}{more}")
    return lines


def _error(one: Verdict, dtype: str, kind: str) -> str:
    error = one.errors.get(dtype, {}).get(kind)
    if error is None:
        return "–"
    style = "red" if error > 1e-2 else "yellow" if error > 1e-4 or (dtype == "float64" and error > 1e-11) else ""
    return f"[{style}]{error:.1e}[/]" if style else f"{error:.1e}"


def _passed(one: Verdict, *checks: str) -> str:
    if one.failed(*checks):
        return "[red]FAIL[/]"
    return "–" if one.failed("runs") else "ok"


def _verdict(one: Verdict) -> str:
    if not one.right:
        return "[bold red]WRONG[/]"
    return "[green]right[/]" if one.accurate_for == "logits" else "right*"


def cells(ranked: Sequence[Ranked]) -> RenderableType:
    """Return the table of a comparison: the fastest of each cell, and how fast that is."""
    table = plain_table()
    table.add_column("workload")
    table.add_column("batch×dim", justify="right")
    table.add_column("dtype")
    table.add_column("fastest")
    for heading in ("time", "× the loop*", "GB/s", "% of limit*", "noise"):
        table.add_column(heading, justify="right")
    for one in ranked:
        table.add_row(*_cell(one), end_section=one is ranked[-1])
    return Group(
        "Fastest in each cell; with = those it can't be told apart from:",
        table,
        "* the source's column loop; ~ where its time is extrapolated from smaller cells. The limit: what moving the\n"
        "  bytes takes on this machine, measured beside them",
    )


def _cell(one: Ranked) -> tuple[str, ...]:
    cell = one.cell
    threads = f", {count(cell.threads, 'thread')}" if cell.threads > 1 else ""
    start = (cell.workload, f"{cell.rows}×{cell.classes}", cell.dtype + threads)
    if not one.standing:
        return (*start, "nothing to rank", "", "", "", "", "")
    times = _speedup(*one.speedup) if one.speedup else "–"
    winners = f"[bold]{one.winners[0]}[/]" + "".join(f" = {name}" for name in one.winners[1:])
    noise = "–" if one.noise is None else f"{one.noise:.1%}"
    share = _share(one, one.winners[0])
    return (*start, winners, format_seconds(one.seconds), times, f"{one.gigabytes_per_second:.1f}", share, noise)


def _share(one: Ranked, name: str) -> str:
    share = one.share_of_limit(name)
    return f"{share.value:.0%}" if share else "–"


def _speedup(times: float, extrapolated: bool) -> str:
    """Return a factor; with two digits and a mark where it rests on an extrapolation."""
    if extrapolated:
        return f"~{float(f'{times:.1e}'):,.0f}"
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}"


def comparison(ranked: Sequence[Ranked], in_detail: bool) -> list[RenderableType]:
    """Return the tables of a comparison; of shapes that were asked for, every implementation is shown."""
    if in_detail or all(one.cell.workload == CUSTOM for one in ranked):
        return [details(ranked)] if ranked else []
    named = [one for one in ranked if one.cell.workload != GRID]
    return [*([cells(named)] if named else []), *winner_maps(ranked)]


def winner_maps(ranked: Sequence[Ranked]) -> list[RenderableType]:
    """Return, for each dtype and number of threads, the winners over the grid: batch down, dim across."""
    tables: list[RenderableType] = []
    on_grid = [one for one in ranked if one.cell.workload == GRID]
    for dtype, threads in sorted({(one.cell.dtype, one.cell.threads) for one in on_grid}):
        found = {
            (one.cell.rows, one.cell.classes): one
            for one in on_grid
            if (one.cell.dtype, one.cell.threads) == (dtype, threads)
        }
        table = Table(show_lines=True)
        table.add_column("batch \\ dim", justify="right")
        classes = sorted({d for _, d in found})
        for d in classes:
            table.add_column(str(d))
        for b in sorted({b for b, _ in found}):
            table.add_row(str(b), *(_winner(found.get((b, d))) for d in classes))
        title = f"\nWinners over the grid, {dtype}, {count(threads, 'thread')}:"
        tables.append(Group(title, table))
    return tables


def _winner(one: Ranked | None) -> str:
    if one is None or not one.standing:
        return ""
    return "\n= ".join(one.winners) + f"\n{format_seconds(one.seconds)}"


def details(ranked: Sequence[Ranked]) -> RenderableType:
    """Return every implementation of every cell: time, interval, how far from the fastest, and what became of it."""
    table = plain_table()
    for heading in ("cell", "implementation"):
        table.add_column(heading, no_wrap=True)
    for heading in ("time", "× the fastest", "interval", "% of limit", "rounds", "first call"):
        table.add_column(heading, justify="right")
    table.add_column("note")
    for one in ranked:
        first = True
        for name, row in sorted(one.rows.items(), key=lambda item: (one.times_best(item[0]), item[1]["seconds"] or 0)):
            ratio = one.standing.ratios.get(name) if one.standing else None
            mark = "~" if row["status"] == EXTRAPOLATED else ""
            note = row["status"] if row["status"] in (TIMED, DROPPED) else f"{row['status']}: {row['note']}"
            table.add_row(
                str(one.cell) if first else "",
                name,
                mark + format_seconds(row["seconds"]) if row["seconds"] else "–",
                times(ratio.value) if ratio else "1" if name in one.winners else "–",
                f"{times(ratio.low)} to {times(ratio.high)}" if ratio else "",
                _share(one, name),
                str(len(row["samples"])),
                format_seconds(row["first_call_seconds"]),
                escape(note),
            )
            first = False
        table.add_section()
    return table


def first_calls(ranked: Sequence[Ranked]) -> list[str]:
    """Return a line on what first calls cost, where that is worth a word: compiling, or loading what was compiled."""
    slowest: dict[str, float] = {}
    for one in ranked:
        for name, row in one.rows.items():
            slowest["Numba itself"] = row["compiler_start_seconds"]
            slowest[name] = max(slowest.get(name, 0.0), row["first_call_seconds"])
    told = [f"{name} {format_seconds(seconds)}" for name, seconds in sorted(slowest.items()) if seconds > WORTH_A_WORD]
    return [f"First calls, not counted above: {', '.join(told)}."] if told else []


def times(ratio: float) -> str:
    """Return a ratio with the digits that it has."""
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:,.0f}"


def count(number: int, what: str) -> str:
    """Return "1 cell", "2 cells"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def left_out(ranked: Sequence[Ranked]) -> list[str]:
    """Return lines on what was pruned, extrapolated, wrong or failed, and in how many cells."""
    reasons: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one in ranked:
        for name, row in one.rows.items():
            if row["status"] not in (TIMED, DROPPED):
                reasons.setdefault((name, row["status"]), []).append((str(one.cell), row["note"]))
    lines = []
    for (name, status), cases in sorted(reasons.items()):
        cell, note = cases[-1]
        more = f" and {count(len(cases) - 1, 'more cell')}" if len(cases) > 1 else ""
        lines.append(f"{name} {status}: {note} ({cell}{more})")
    return lines
