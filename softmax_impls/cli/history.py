"""The command ``softmax-impls history``."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from softmax_impls.cli import options
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report.terminal.console import print_json, print_lines
from softmax_impls.results import slowdowns
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
    comparisons = list(slowdowns.compare_commits(_read(results, base), _read(results, head)))
    if not any(comparison.compared for comparison in comparisons):
        raise click.UsageError(f"{base} and {head} have no benchmark in common on any machine and environment")
    if as_json:
        print_json({"comparisons": [_as_dict(comparison) for comparison in comparisons]})
    else:
        machines = [comparison.base.machine for comparison in comparisons]
        for comparison in comparisons:
            print_lines(_lines(comparison, with_environment=machines.count(comparison.base.machine) > 1))
        print_lines([_smallest_change()])
    return 1 if any(comparison.slower for comparison in comparisons) else 0


def _read(folder: Path, name: str) -> list[Recorded]:
    """Return what asv recorded of a commit, or end with the command that records it."""
    try:
        command = ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except FileNotFoundError:
        raise click.UsageError("git is not installed") from None
    except subprocess.CalledProcessError:
        raise click.UsageError(f"{name!r} is not a commit of a git repository here") from None
    recorded, problems = slowdowns.read_commit(folder, commit)
    for line in problems:
        click.echo(line, err=True)
    advice = f"run 'asv run --record-samples -a rounds=6 {name}^!'"
    if not recorded:
        raise click.UsageError(f"no results of {name} in {folder}: {advice}")
    if not any(side.samples for side in recorded):
        raise click.UsageError(f"asv recorded no samples of {name}: {advice}, with --record-samples")
    return recorded


def _lines(comparison: CommitComparison, with_environment: bool) -> Iterator[Text]:
    """Yield the changes, and the sentences that count them and name the two sides."""
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


def _side(recorded: Recorded) -> str:
    date, measured = (f"{day:%Y-%m-%d}" if day else "unknown date" for day in (recorded.date, recorded.measured))
    return f"{recorded.commit[:10]} of {date}, measured {measured}"


def _smallest_change() -> str:
    """Return how small a change would have been seen."""
    longest = {size_class.factor: size_class.longest for size_class in slowdowns.SIZE_CLASSES}
    *short, (largest, _) = longest.items()
    parts = [f"{factor}x for calls of up to {format_seconds(seconds)}" for factor, seconds in short]
    return f"A smaller change than {', '.join(parts)} and {largest}x for longer calls is not reported."


def _as_dict(comparison: CommitComparison) -> dict[str, Any]:
    sides = {"base": comparison.base, "head": comparison.head}
    return {
        "machine": comparison.base.machine,
        "environment": comparison.base.environment,
        "compared": comparison.compared,
        **{name: {"commit": side.commit, "date": side.date, "measured": side.measured} for name, side in sides.items()},
        "slower": [_change(change) for change in comparison.slower],
        "faster": [_change(change) for change in comparison.faster],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "benchmark": change.benchmark.name,
        "params": change.benchmark.params,
        "ratio": change.ratio,
        "smallest_reported_factor": slowdowns.size_class(min(change.before, change.after)).factor,
        "before_seconds": change.before,
        "after_seconds": change.after,
    }
