"""Tables and notes for the terminal: the cells that `compare` measured."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report.panels import by_panel
from softmax_impls.report.terminal.tables import plain_table, ratio_and_interval
from softmax_impls.timing.workloads import CUSTOM, GRID, CellKey

MEASURED = ("timed", "eliminated")  # the statuses of kernels that were not left out
MENTIONED_FIRST_CALL = 1e-3  # seconds; shorter first calls are not mentioned


def comparison_tables(cells: Sequence[Ranked], details: bool) -> list[RenderableType]:
    """Return the tables of a comparison. Every implementation is shown with `details`, or if all shapes are custom."""
    if details or all(cell.key.workload == CUSTOM for cell in cells):
        return [all_kernels(cells)] if cells else []
    named = [cell for cell in cells if cell.key.workload != GRID]
    return [*([fastest_kernels(named)] if named else []), *winners_tables(cells)]


def fastest_kernels(cells: Sequence[Ranked]) -> RenderableType:
    """Return a table with a row for each cell: its fastest kernel, the time, and the kernels that tie."""
    numbers = (">time", ">speedup*", ">GB/s", ">% of roofline*", ">A/A noise*")
    table = plain_table("workload", ">batch×dim", "dtype", "fastest", *numbers)
    for cell in cells:
        key, names = cell.key, [escape(name) for name in cell.winners]
        threads = f", {key.threads} threads" if key.threads > 1 else ""
        shape = (key.workload, f"{key.batch}×{key.dim}", key.dtype + threads)
        if not names:
            table.add_row(*shape, "nothing to rank")
            continue
        table.add_row(
            *shape,
            " = ".join([f"[bold]{names[0]}[/]", *names[1:]]),
            format_seconds(cell.seconds),
            _speedup(*cell.speedup) if cell.speedup else "–",
            f"{cell.gigabytes_per_second:.1f}",
            _share(cell, cell.winners[0]),
            "–" if cell.noise is None else f"{cell.noise:.1%}",
        )
    return Group(
        "The fastest kernel of each cell; = marks a tie:",
        table,
        "* Speedup: over the loop of the original program; ~ if the loop's time is extrapolated from smaller shapes.\n"
        "  % of roofline: the time to read and write the arrays and do nothing else, over the time of the kernel.\n"
        "  A/A noise: the difference between two measurements of the same kernel.",
    )


def winners_tables(cells: Sequence[Ranked]) -> list[RenderableType]:
    """Return a table of the winners over the grid for each dtype and number of threads: batch down, dim across."""
    tables: list[RenderableType] = []
    for panel, on_grid in by_panel(cell for cell in cells if cell.key.workload == GRID).items():
        by_shape = {(cell.key.batch, cell.key.dim): cell for cell in on_grid}
        batches, dims = (sorted(set(sizes)) for sizes in zip(*by_shape, strict=True))
        table = Table("batch \\ dim", *map(str, dims), show_lines=True)
        table.columns[0].justify = "right"
        for batch in batches:
            table.add_row(str(batch), *(_winners(by_shape.get((batch, dim))) for dim in dims))
        tables.append(Group(f"\nWinners over the grid, {panel}:", table))
    return tables


def all_kernels(cells: Sequence[Ranked]) -> RenderableType:
    """Return a table with a row for each kernel of each cell, the fastest first."""
    numbers = (">time", ">× fastest", ">interval", ">% of roofline", ">rounds", ">first call")
    table = plain_table("cell", "implementation", *numbers, "status")
    table.columns[1].no_wrap = True
    for cell in cells:
        kernels = sorted(cell.kernels.values(), key=lambda kernel: (cell.times_best(kernel.name), kernel.seconds or 0))
        for kernel in kernels:
            ratio, mark = cell.ratio(kernel.name), "~" if kernel.status == "extrapolated" else ""
            table.add_row(
                str(cell.key) if kernel is kernels[0] else "",
                escape(kernel.name),
                "–" if kernel.seconds is None else mark + format_seconds(kernel.seconds),
                *(ratio_and_interval(ratio) if ratio else ("–", "")),
                _share(cell, kernel.name),
                str(len(kernel.samples)),
                format_seconds(kernel.first_call_seconds),
                escape(kernel.status if kernel.status in MEASURED else f"{kernel.status}: {kernel.note}"),
            )
        table.add_section()
    return table


def first_calls(cells: Sequence[Ranked]) -> list[str]:
    """Return a line about first calls that compile or load compiled code, if they take long enough to be mentioned."""
    found = [("Numba itself", cell.cell.compiler_start_seconds) for cell in cells]
    found += [(kernel.name, kernel.first_call_seconds) for cell in cells for kernel in cell.cell.kernels]
    slowest = dict(sorted(found))  # of several values for a name, the last counts
    long = [f"{name} {format_seconds(s)}" for name, s in slowest.items() if s > MENTIONED_FIRST_CALL]
    line = f"First calls compile or load code, which is not part of the times above: {', '.join(long)}."
    return [line] if long else []


def exclusions(cells: Sequence[Ranked]) -> list[str]:
    """Return a line for each kernel that was extrapolated, pruned, wrong or failed: the reason, and the cells."""
    excluded: dict[tuple[str, str], list[tuple[str, CellKey]]] = {}
    for cell in cells:
        for kernel in cell.cell.kernels:
            if kernel.status not in MEASURED:
                excluded.setdefault((kernel.name, kernel.status), []).append((kernel.note, cell.key))
    lines = []
    for (name, status), cases in sorted(excluded.items()):
        *others, (note, key) = cases
        more = f" and {format_count(len(others), 'more cell')}" if others else ""
        lines.append(f"{name} {status}: {note} ({key}{more})")
    return lines


def _winners(cell: Ranked | None) -> str:
    if cell is None or not cell.winners:
        return ""
    return "\n= ".join(map(escape, cell.winners)) + f"\n{format_seconds(cell.seconds)}"


def _share(cell: Ranked, name: str) -> str:
    share = cell.share_of_roofline(name)
    return f"{share.value:.0%}" if share else "–"


def _speedup(factor: float, extrapolated: bool) -> str:
    """Return a factor; with ~ and two digits if it is extrapolated."""
    if extrapolated:
        return f"~{float(f'{factor:.1e}'):,.0f}"
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"
