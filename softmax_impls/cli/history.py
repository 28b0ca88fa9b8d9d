"""softmax-impls history."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from softmax_impls.cli import options
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report.terminal.console import console, print_json
from softmax_impls.results import slowdowns
from softmax_impls.results.slowdowns import Change, CommitComparison, Recorded

MAX_LISTED = 20  # changes of each kind that are printed


@click.command()
@click.argument("base")
@click.argument("head")
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".asv", "results"),
    show_default=True,
    metavar="FOLDER",
    help="The results folder of asv.",
)
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
    sides = [_read(results, name) for name in (base, head)]
    comparisons = list(slowdowns.compare_commits(*sides))
    if not any(comparison.compared for comparison in comparisons):
        raise click.UsageError(f"{base} and {head} have no benchmark in common on any machine and environment")
    if as_json:
        print_json({"comparisons": [_as_dict(comparison) for comparison in comparisons]})
    else:
        screen = console(min_width=0)
        for comparison in comparisons:
            for line in _lines(comparison, _place(comparison, comparisons)):
                screen.print(line, soft_wrap=not screen.is_terminal)
        screen.print(_smallest_change(), soft_wrap=not screen.is_terminal)
    return 1 if any(comparison.slower for comparison in comparisons) else 0


def _read(folder: Path, name: str) -> list[Recorded]:
    """Return what asv recorded of a commit, or end with the command that records it."""
    recorded, problems = slowdowns.read_commit(folder, _resolve(name))
    for line in problems:
        print(line, file=sys.stderr)
    command = f"asv run --record-samples -a rounds=6 {name}^!"
    if not recorded:
        raise click.UsageError(f"no results of {name} in {folder}: run '{command}'")
    if not any(side.samples for side in recorded):
        raise click.UsageError(f"asv recorded no samples of {name}: run '{command}', with --record-samples")
    return recorded


def _resolve(name: str) -> str:
    """Return the full hash of a commit."""
    command = ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except FileNotFoundError:
        raise click.UsageError("git is not installed") from None
    except subprocess.CalledProcessError:
        raise click.UsageError(f"{name!r} is not a commit of a git repository here") from None


def _place(comparison: CommitComparison, comparisons: Sequence[CommitComparison]) -> str:
    """Return the machine, and the environment if there are several on that machine."""
    base = comparison.base
    several = sum(other.base.machine == base.machine for other in comparisons) > 1
    return f"{base.machine}, {base.environment}" if several else base.machine


def _lines(comparison: CommitComparison, place: str) -> Iterator[Text]:
    """Yield the changes, and the sentence that counts them."""
    yield from _changes("slower", "red", comparison.slower)
    yield from _changes("faster", "green", comparison.faster)
    counts = f"{len(comparison.slower)} slower, {len(comparison.faster)} faster"
    yield Text(f"{format_count(comparison.compared, 'benchmark')} compared on {place}: {counts}.")
    yield Text(f"Base {_side(comparison.base)}; head {_side(comparison.head)}.")


def _changes(kind: str, style: str, changes: Sequence[Change]) -> Iterator[Text]:
    for change in changes[:MAX_LISTED]:
        times = f"{format_seconds(change.before)} -> {format_seconds(change.after)}"
        yield Text.assemble((kind, style), f" {change.ratio:.2f}x  {change.benchmark}  {times}")
    if len(changes) > MAX_LISTED:
        yield Text(f"… and {len(changes) - MAX_LISTED} more that are {kind}")


def _side(recorded: Recorded) -> str:
    return f"{recorded.commit[:10]} of {_day(recorded.date)}, measured {_day(recorded.measured)}"


def _day(time: datetime.datetime | None) -> str:
    return "unknown date" if time is None else f"{time:%Y-%m-%d}"


def _smallest_change() -> str:
    """Return how small a change would have been seen."""
    longest = {size_class.factor: size_class.longest for size_class in slowdowns.SIZE_CLASSES}
    *short, (largest, _) = longest.items()
    parts = [f"{factor}x for calls of up to {format_seconds(seconds)}" for factor, seconds in short]
    return f"A smaller change than {', '.join(parts)} and {largest}x for longer calls is not reported."


def _as_dict(comparison: CommitComparison) -> dict[str, Any]:
    return {
        "machine": comparison.base.machine,
        "environment": comparison.base.environment,
        "base": _side_as_dict(comparison.base),
        "head": _side_as_dict(comparison.head),
        "compared": comparison.compared,
        "slower": [_change_as_dict(change) for change in comparison.slower],
        "faster": [_change_as_dict(change) for change in comparison.faster],
    }


def _side_as_dict(recorded: Recorded) -> dict[str, Any]:
    times = {"date": recorded.date, "measured": recorded.measured}
    return {"commit": recorded.commit, **{key: time and time.isoformat() for key, time in times.items()}}


def _change_as_dict(change: Change) -> dict[str, Any]:
    return {
        "benchmark": change.benchmark.name,
        "params": list(change.benchmark.params),
        "ratio": change.ratio,
        "smallest_reported_factor": slowdowns.size_class(min(change.before, change.after)).factor,
        "before_seconds": change.before,
        "after_seconds": change.after,
    }
