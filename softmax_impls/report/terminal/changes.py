"""Lines for the terminal: the benchmarks that are slower or faster at another commit."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.results.slowdowns import SIZE_CLASSES, CommitComparison, Recorded, by_kind, kinds

MAX_LISTED = 20  # lines that are printed of each list: slower, faster, and slower by kind of machine


def changes(comparisons: Sequence[CommitComparison]) -> Iterator[str | Text]:
    """Yield the changes on each machine, the slowdowns by kind of machine, and the smallest reported change."""
    machines = [comparison.base.machine for comparison in comparisons]
    for comparison in comparisons:
        yield from _on_machine(comparison, with_environment=machines.count(comparison.base.machine) > 1)
    if len(set(kinds(comparisons))) > 1:
        yield from _over_kinds(comparisons)
    yield _smallest_change()


def _on_machine(comparison: CommitComparison, with_environment: bool) -> Iterator[Text]:
    """Yield lines for the benchmarks that are slower or faster on a machine, their numbers, and the two commits.

    At most `MAX_LISTED` slower and `MAX_LISTED` faster benchmarks have a line. If `with_environment` is true, asv's
    environment is stated after the machine.
    """
    base, head = comparison.base, comparison.head
    for kind, style, listed in (("slower", "red", comparison.slower), ("faster", "green", comparison.faster)):
        for change in listed[:MAX_LISTED]:
            times = f"{format_seconds(change.before)} -> {format_seconds(change.after)}"
            yield Text.assemble((kind, style), f" {change.ratio:.2f}x  {change.benchmark}  {times}")
        if len(listed) > MAX_LISTED:
            yield Text(f"… and {len(listed) - MAX_LISTED} more that are {kind}")
    place = f"{base.machine}, {base.environment}" if with_environment else base.machine
    counts = f"{len(comparison.slower)} slower, {len(comparison.faster)} faster"
    yield Text(f"{format_count(comparison.compared, 'benchmark')} compared on {place}: {counts}.")
    yield Text(f"Base {_side(base)}; head {_side(head)}.")


def _side(recorded: Recorded) -> str:
    date, measured = (f"{day:%Y-%m-%d}" if day else "unknown date" for day in (recorded.date, recorded.measured))
    return f"{recorded.commit[:10]} of {date}, measured {measured}"


def _over_kinds(comparisons: Sequence[CommitComparison]) -> Iterator[str]:
    """Yield a line for each slowdown, with the kinds of machines that have it, and a line with totals.

    Only the first `MAX_LISTED` slowdowns have a line.
    """
    slowdowns = by_kind(comparisons)
    for slowdown in slowdowns[:MAX_LISTED]:
        where = ", ".join(f"{kind} {ratio:.2f}x" for kind, ratio in slowdown.ratios.items())
        total = len(slowdown.ratios) + len(slowdown.other_kinds)
        count = f"all {total} kinds" if slowdown.on_all else f"{len(slowdown.ratios)} of {format_count(total, 'kind')}"
        yield f"slower on {count}: {slowdown.benchmark} ({where})"
    on_all = sum(slowdown.on_all for slowdown in slowdowns)
    yield f"{on_all} slower on all kinds, so because of the commit; {len(slowdowns) - on_all} on some kinds only."


def _smallest_change() -> str:
    longest = {size_class.factor: size_class.longest for size_class in SIZE_CLASSES}
    *short, (largest, _) = longest.items()
    parts = [f"{factor}x for calls of up to {format_seconds(seconds)}" for factor, seconds in short]
    return f"A smaller change than {', '.join(parts)} and {largest}x for longer calls is not reported."
