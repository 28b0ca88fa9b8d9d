"""The command ``softmax-impls history``."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softmax_impls.cli import options
from softmax_impls.formatting import format_count, format_seconds

if TYPE_CHECKING:  # imported when the command runs
    from rich.text import Text

    from softmax_impls.results.slowdowns import Change, CommitComparison, Recorded

MAX_LISTED = 20  # changes of each kind that are printed


@click.command()
@click.argument("base")
@click.argument("head")
@click.option("--results", type=options.FOLDER_PATH, default=".asv/results", metavar="FOLDER", help="Results of asv.")
@options.as_json
def history(base: str, head: str, results: Path, as_json: bool) -> int:
    """Say which benchmarks are slower or faster at commit HEAD than at commit BASE; exit 1 if one is slower.

    It reads the samples that asv recorded, and compares the fastest sample of each benchmark. asv itself compares
    medians, which other processes on the machine change.

    \b
    Examples:
      asv continuous --record-samples -a rounds=6 HEAD~1 HEAD
      softmax-impls history HEAD~1 HEAD
      softmax-impls history v1.0 main --results elsewhere/.asv/results --json
    """  # noqa: D301
    from softmax_impls.commands.history import history as compare
    from softmax_impls.report.terminal.console import print_json, print_lines

    try:
        comparisons = compare(base, head, results, warn=partial(click.echo, err=True))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print_json({"comparisons": [_as_dict(comparison) for comparison in comparisons]})
    else:
        machines = [comparison.base.machine for comparison in comparisons]
        for comparison in comparisons:
            print_lines(_lines(comparison, with_environment=machines.count(comparison.base.machine) > 1))
        print_lines([_smallest_change()])
    return 1 if any(comparison.slower for comparison in comparisons) else 0


def _lines(comparison: "CommitComparison", with_environment: bool) -> "Iterator[Text]":
    """Yield the changes, and the sentences that count them and name the two sides."""
    from rich.text import Text

    base, head = comparison.base, comparison.head
    for kind, style, changes in (("slower", "red", comparison.slower), ("faster", "green", comparison.faster)):
        for change in changes[:MAX_LISTED]:
            times = f"{format_seconds(change.before)} -> {format_seconds(change.after)}"
            yield Text.assemble((kind, style), f" {change.ratio:.2f}x  {change.benchmark}  {times}")
        if len(changes) > MAX_LISTED:
            yield Text(f"… and {len(changes) - MAX_LISTED} more that are {kind}")
    place = f"{base.machine}, {base.environment}" if with_environment else base.machine
    counts = f"{len(comparison.slower)} slower, {len(comparison.faster)} faster"
    yield Text(f"{format_count(comparison.compared, 'benchmark')} compared on {place}: {counts}.")
    yield Text(f"Base {_side(base)}; head {_side(head)}.")


def _side(recorded: "Recorded") -> str:
    date, measured = (f"{day:%Y-%m-%d}" if day else "unknown date" for day in (recorded.date, recorded.measured))
    return f"{recorded.commit[:10]} of {date}, measured {measured}"


def _smallest_change() -> str:
    """Return how small a change would have been seen."""
    from softmax_impls.results.slowdowns import SIZE_CLASSES

    longest = {size_class.factor: size_class.longest for size_class in SIZE_CLASSES}
    *short, (largest, _) = longest.items()
    parts = [f"{factor}x for calls of up to {format_seconds(seconds)}" for factor, seconds in short]
    return f"A smaller change than {', '.join(parts)} and {largest}x for longer calls is not reported."


def _as_dict(comparison: "CommitComparison") -> dict[str, Any]:
    sides = {"base": comparison.base, "head": comparison.head}
    return {
        "machine": comparison.base.machine,
        "environment": comparison.base.environment,
        "compared": comparison.compared,
        **{name: {"commit": side.commit, "date": side.date, "measured": side.measured} for name, side in sides.items()},
        "slower": [_change(change) for change in comparison.slower],
        "faster": [_change(change) for change in comparison.faster],
    }


def _change(change: "Change") -> dict[str, Any]:
    from softmax_impls.results.slowdowns import size_class

    return {
        "benchmark": change.benchmark.name,
        "params": change.benchmark.params,
        "ratio": change.ratio,
        "smallest_reported_factor": size_class(min(change.before, change.after)).factor,
        "before_seconds": change.before,
        "after_seconds": change.after,
    }
