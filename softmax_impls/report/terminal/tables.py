"""Tables for the terminal: the list of implementations, and the result of `check`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table

from softmax_impls.checks.verdict import Verdict
from softmax_impls.formatting import format_bytes
from softmax_impls.implementation import Implementation
from softmax_impls.timing.statistics import Ratio

TABLE_WIDTH = 110  # characters that a table may take, even on a narrower terminal
EXAMPLE_SHAPE = (4096, 512)  # float64; the shape for which `list` states the temporary memory
ERRORS = [(dtype, kind) for dtype in ("float32", "float64") for kind in ("ordinary", "saturated")]
CHECKS = {  # the columns of the table, and the checks that each column stands for
    "value": ("value", "logits", "shapes", "runs"),
    "numeric": ("numeric",),
    "pairs": ("pairs",),
    "hostile": ("non-finite", "inputs", "written", "in place"),
    "memory": ("memory",),
}
LARGE_ERROR = 1e-2  # larger errors are shown in red
NOTABLE_ERROR = {"float32": 1e-4, "float64": 1e-11}  # larger errors are shown in yellow


class WideTable(Table):
    """A table that may be `TABLE_WIDTH` characters wide, even if the terminal is narrower.

    A narrower terminal wraps the lines that are too long. Without this class, rich makes the columns narrower.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table."""
        return super().__rich_console__(console, options.update(max_width=max(options.max_width, TABLE_WIDTH)))


def plain_table(*headings: str) -> Table:
    """Return an empty table without a frame; columns whose heading starts with ">" are aligned to the right."""
    table = WideTable(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading.lstrip(">"), justify="right" if heading[0] == ">" else "left", no_wrap=number == 0)
    return table


def format_ratio(ratio: float) -> str:
    """Return a ratio of two times with two decimals, or without decimals from 100 on."""
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:,.0f}"


def ratio_and_interval(ratio: Ratio) -> tuple[str, str]:
    """Return the texts of a ratio and of its interval. The fastest kernel has the ratio "1" and no interval."""
    value, low, high = map(format_ratio, astuple(ratio))
    return ("1", "") if ratio == Ratio(1.0, 1.0, 1.0) else (value, f"{low} to {high}")


def listing(usable: Mapping[str, Implementation], unusable: Mapping[str, str]) -> RenderableType:
    """Return a table of all implementations, with notes that explain its columns.

    `usable` has the implementations that can be used here. For the others, `unusable` has the reasons, by name.
    """
    table = plain_table("name", "family", "accurate for*", "temporary memory†", "description")
    for name, implementation in usable.items():
        needed = implementation.temporary_bytes(*EXAMPLE_SHAPE, np.dtype(np.float64))
        memory = format_bytes(needed) if implementation.temporaries else "not stated"
        table.add_row(name, implementation.family, implementation.accurate_for, memory, escape(implementation.summary))
    for name, why in unusable.items():
        table.add_row(name, "", "", "", f"[red]not available:[/red] {escape(why)}")
    batch, dim = EXAMPLE_SHAPE
    return Group(
        table,
        '* "logits": stays accurate where rows are saturated. "probs": does not; see the table of `check`.',
        f"† of a call at {batch}×{dim} float64, where `out` takes {format_bytes(batch * dim * 8)}.",
    )


def verdicts(by_name: Mapping[str, Verdict], forward: Verdict) -> RenderableType:
    """Return the table of `check`: for each implementation its errors, the results of the checks, and the verdict.

    The error of a row is its largest absolute error, divided by its largest gradient with respect to the logits. The
    table has the largest error of all rows. `by_name` has the verdicts of the implementations. `forward` is the verdict
    of softmax itself, which is in the last line; its errors are divided by the row's largest probability.
    """
    table = plain_table("implementation", *(f">{dtype}\n{kind}" for dtype, kind in ERRORS), *CHECKS, "verdict")
    for name, verdict in by_name.items():
        errors = [_error(verdict, dtype, kind) for dtype, kind in ERRORS]
        table.add_row(name, *errors, *(_passed(verdict, checks) for checks in CHECKS.values()), _verdict(verdict))
    errors = [_error(forward, dtype, "probabilities") if kind == "ordinary" else "" for dtype, kind in ERRORS]
    passed = _passed(forward, ["forward"]), "", "", _passed(forward, ["non-finite", "runs"]), ""
    table.add_row("softmax (forward)", *errors, *passed, _verdict(forward))
    note = (
        "* right: p * (g - sum(g * p)) for the rounded p that it is given. In saturated rows, the rounding of p loses\n"
        "  the gradient with respect to the logits."
    )
    has_star = any(verdict.right and verdict.accurate_for != "logits" for verdict in by_name.values())
    title = "Worst error of a row, relative to its largest gradient (softmax: to its largest probability):"
    return Group(title, table, *([note] if has_star else []))


def failures(verdicts: Iterable[Verdict]) -> list[str]:
    """Return a line for each check that an implementation failed: the first failure, and the number of others."""
    lines = []
    for verdict in verdicts:
        for check in sorted({failure.check for failure in verdict.failures}):
            first, *others = (failure for failure in verdict.failures if failure.check == check)
            lines.append(f"{verdict.name}: {first}" + (f" (and {len(others)} more)" if others else ""))
    return lines


def _error(verdict: Verdict, dtype: str, kind: str) -> str:
    error = verdict.errors.get(dtype, {}).get(kind)
    if error is None:
        return "–"
    style = "red" if error > LARGE_ERROR else "yellow" if error > NOTABLE_ERROR[dtype] else ""
    return f"[{style}]{error:.1e}[/]" if style else f"{error:.1e}"


def _passed(verdict: Verdict, checks: Sequence[str]) -> str:
    return "[red]FAIL[/]" if verdict.failed(*checks) else "–" if verdict.failed("runs") else "ok"


def _verdict(verdict: Verdict) -> str:
    right = "[green]right[/]" if verdict.accurate_for == "logits" else "right*"
    return right if verdict.right else "[bold red]WRONG[/]"
