"""The command ``softmax-impls history``."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softmax_impls.cli import options
from softmax_impls.formatting import format_count, format_seconds

if TYPE_CHECKING:  # imported when the command runs
    from rich.text import Text

    from softmax_impls.results.slowdowns import Change, CommitComparison, Recorded, Slowdown

MAX_LISTED = 20  # changes of each kind that are printed


@click.command()
@click.argument("base")
@click.argument("head")
@click.option(
    "--results",
    type=options.FOLDER_PATH,
    multiple=True,
    default=[".asv/results"],
    metavar="FOLDER",
    help="Results of asv. May be repeated, for the results of several machines.",
)
@options.as_json
def history(base: str, head: str, results: tuple[Path, ...], as_json: bool) -> int:
    """Say which benchmarks are slower or faster at commit HEAD than at commit BASE; exit 1 if one is slower.

    It reads the samples that asv recorded, and compares the fastest sample of each benchmark. asv itself compares
    medians, which other processes on the machine change. With results of several kinds of machines, it tells a
    slowdown on all kinds from one on a single kind.

    \b
    Examples:
      asv continuous --record-samples -a rounds=6 HEAD~1 HEAD
      softmax-impls history HEAD~1 HEAD
      softmax-impls history v1.0 main --results elsewhere/.asv/results --json
      softmax-impls history v1.0 main --results lab-1/results --results lab-2/results
    """  # noqa: D301
    from softmax_impls.commands.history import history as compare
    from softmax_impls.report.terminal.console import print_json, print_lines
    from softmax_impls.results.slowdowns import by_kind

    try:
        comparisons = compare(base, head, results, warn=partial(click.echo, err=True))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        kinds = [_by_kind(slowdown) for slowdown in by_kind(comparisons)]
        print_json({"comparisons": [_as_dict(comparison) for comparison in comparisons], "slower_by_kind": kinds})
    else:
        machines = [comparison.base.machine for comparison in comparisons]
        for comparison in comparisons:
            print_lines(_lines(comparison, with_environment=machines.count(comparison.base.machine) > 1))
        print_lines([*_kinds(comparisons), _smallest_change()])
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


def _kinds(comparisons: "Sequence[CommitComparison]") -> Iterator[str]:
    """Yield which slowdowns all kinds of machines have, and which only some; nothing for a single kind."""
    from softmax_impls.results.slowdowns import by_kind

    if len({comparison.base.kind for comparison in comparisons}) < 2:
        return
    slowdowns = by_kind(comparisons)
    for slowdown in slowdowns[:MAX_LISTED]:
        where = ", ".join(f"{kind} {ratio:.2f}x" for kind, ratio in slowdown.ratios.items())
        total = len(slowdown.ratios) + len(slowdown.other_kinds)
        count = f"all {total} kinds" if slowdown.on_all else f"{len(slowdown.ratios)} of {format_count(total, 'kind')}"
        yield f"slower on {count}: {slowdown.benchmark} ({where})"
    on_all = sum(slowdown.on_all for slowdown in slowdowns)
    yield f"{on_all} slower on all kinds, so because of the commit; {len(slowdowns) - on_all} on some kinds only."


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


def _by_kind(slowdown: "Slowdown") -> dict[str, Any]:
    return {
        "benchmark": slowdown.benchmark.name,
        "params": slowdown.benchmark.params,
        "ratios": slowdown.ratios,
        "other_kinds": slowdown.other_kinds,
        "on_all": slowdown.on_all,
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
