"""Tables and notes for the terminal: the cells that `compare` measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report.terminal.tables import plain_table
from softmax_impls.timing.records import KernelResult
from softmax_impls.timing.statistics import Ratio
from softmax_impls.timing.workloads import CUSTOM, GRID

MENTIONED_FIRST_CALL = 1e-3  # seconds; shorter first calls are not mentioned


def comparison_tables(cells: Sequence[Ranked], details: bool) -> list[RenderableType]:
    """Return the tables of a comparison. Every implementation is shown with `details`, or if all shapes are custom."""
    if details or all(cell.key.workload == CUSTOM for cell in cells):
        return [all_kernels(cells)] if cells else []
    named = [cell for cell in cells if cell.key.workload != GRID]
    return [*([fastest_kernels(named)] if named else []), *winners_tables(cells)]


def fastest_kernels(cells: Sequence[Ranked]) -> RenderableType:
    """Return a table with a row for each cell: its fastest kernel, the time, and the kernels that tie."""
    table = plain_table("workload")
    table.add_column("batch×dim", justify="right")
    table.add_column("dtype")
    table.add_column("fastest")
    for heading in ("time", "speedup*", "GB/s", "% of roofline*", "A/A noise*"):
        table.add_column(heading, justify="right")
    for cell in cells:
        table.add_row(*_fastest(cell))
    return Group(
        "The fastest kernel of each cell; = marks a tie:",
        table,
        "* Speedup: over the loop of the original program; ~ where its time is extrapolated from smaller shapes.\n"
        "  Roofline: the time that moving the bytes takes on this machine, measured in the same rounds.\n"
        "  A/A noise: the difference between two measurements of one kernel.",
    )


def winners_tables(cells: Sequence[Ranked]) -> list[RenderableType]:
    """Return a table of the winners over the grid for each dtype and number of threads: batch down, dim across."""
    on_grid = [cell for cell in cells if cell.key.workload == GRID]
    tables: list[RenderableType] = []
    for dtype, threads in sorted({(cell.key.dtype, cell.key.threads) for cell in on_grid}):
        panel = [cell for cell in on_grid if (cell.key.dtype, cell.key.threads) == (dtype, threads)]
        by_shape = {(cell.key.batch, cell.key.dim): cell for cell in panel}
        table = Table(show_lines=True)
        table.add_column("batch \\ dim", justify="right")
        dims = sorted({dim for _, dim in by_shape})
        for dim in dims:
            table.add_column(str(dim))
        for batch in sorted({batch for batch, _ in by_shape}):
            table.add_row(str(batch), *(_winners(by_shape.get((batch, dim))) for dim in dims))
        tables.append(Group(f"\nWinners over the grid, {dtype}, {format_count(threads, 'thread')}:", table))
    return tables


def all_kernels(cells: Sequence[Ranked]) -> RenderableType:
    """Return a table with a row for each kernel of each cell, the fastest first."""
    table = plain_table("cell", "implementation")
    table.columns[1].no_wrap = True
    for heading in ("time", "× fastest", "interval", "% of roofline", "rounds", "first call"):
        table.add_column(heading, justify="right")
    table.add_column("status")
    for cell in cells:
        kernels = sorted(cell.kernels.values(), key=lambda kernel: (cell.times_best(kernel.name), kernel.seconds or 0))
        for kernel in kernels:
            table.add_row(str(cell.key) if kernel is kernels[0] else "", *_kernel(cell, kernel))
        table.add_section()
    return table


def first_calls(cells: Sequence[Ranked]) -> list[str]:
    """Return a line about first calls that compile or load compiled code, if they take long enough to be mentioned."""
    slowest: dict[str, float] = {}
    for cell in cells:
        slowest["Numba itself"] = cell.cell.compiler_start_seconds
        for kernel in cell.cell.kernels:
            slowest[kernel.name] = max(slowest.get(kernel.name, 0.0), kernel.first_call_seconds)
    long = [f"{name} {format_seconds(s)}" for name, s in sorted(slowest.items()) if s > MENTIONED_FIRST_CALL]
    return (
        [f"First calls compile or load code, which is not part of the times above: {', '.join(long)}."] if long else []
    )


def exclusions(cells: Sequence[Ranked]) -> list[str]:
    """Return a line for each kernel that was extrapolated, pruned, wrong or failed: the reason, and the cells."""
    by_reason: dict[tuple[str, str], list[tuple[Ranked, KernelResult]]] = {}
    for cell in cells:
        for kernel in cell.cell.kernels:
            if kernel.status not in ("timed", "eliminated"):
                by_reason.setdefault((kernel.name, kernel.status), []).append((cell, kernel))
    lines = []
    for (name, status), cases in sorted(by_reason.items()):
        cell, kernel = cases[-1]
        more = f" and {format_count(len(cases) - 1, 'more cell')}" if len(cases) > 1 else ""
        lines.append(f"{name} {status}: {kernel.note} ({cell.key}{more})")
    return lines


def format_ratio(ratio: float) -> str:
    """Return a ratio of two times with two decimals, or without if it is large."""
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:,.0f}"


def format_interval(ratio: Ratio) -> str:
    """Return the confidence interval of a ratio: "1.02 to 1.10"."""
    return f"{format_ratio(ratio.low)} to {format_ratio(ratio.high)}"


def _fastest(cell: Ranked) -> Iterator[str]:
    key = cell.key
    yield key.workload
    yield f"{key.batch}×{key.dim}"
    yield key.dtype + (f", {format_count(key.threads, 'thread')}" if key.threads > 1 else "")
    if not cell.winners:
        yield "nothing to rank"
        return
    yield f"[bold]{escape(cell.winners[0])}[/]" + "".join(f" = {escape(name)}" for name in cell.winners[1:])
    yield format_seconds(cell.seconds)
    yield _speedup(*cell.speedup) if cell.speedup else "–"
    yield f"{cell.gigabytes_per_second:.1f}"
    yield _share(cell, cell.winners[0])
    yield "–" if cell.noise is None else f"{cell.noise:.1%}"


def _winners(cell: Ranked | None) -> str:
    if cell is None or not cell.winners:
        return ""
    return "\n= ".join(map(escape, cell.winners)) + f"\n{format_seconds(cell.seconds)}"


def _kernel(cell: Ranked, kernel: KernelResult) -> Iterator[str]:
    ratio = cell.ratio(kernel.name)
    yield escape(kernel.name)
    yield "–" if kernel.seconds is None else ("~" * (kernel.status == "extrapolated") + format_seconds(kernel.seconds))
    yield "–" if ratio is None else "1" if kernel.name == cell.winners[0] else format_ratio(ratio.value)
    yield "" if ratio is None or kernel.name == cell.winners[0] else format_interval(ratio)
    yield _share(cell, kernel.name)
    yield str(len(kernel.samples))
    yield format_seconds(kernel.first_call_seconds)
    yield escape(kernel.status if kernel.status in ("timed", "eliminated") else f"{kernel.status}: {kernel.note}")


def _share(cell: Ranked, name: str) -> str:
    share = cell.share_of_roofline(name)
    return f"{share.value:.0%}" if share else "–"


def _speedup(factor: float, extrapolated: bool) -> str:
    """Return a factor; with ~ and two digits if it is extrapolated."""
    if extrapolated:
        return f"~{float(f'{factor:.1e}'):,.0f}"
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"
