"""Tables and notes for the terminal: the cells that `compare` measured."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report.panels import by_panel, tile_text
from softmax_impls.report.terminal.tables import WideTable, plain_table, ratio_and_interval
from softmax_impls.report.terminal.times import explanations, times_tables
from softmax_impls.timing.workloads import GRID, CellKey

MEASURED = ("timed", "eliminated")  # the statuses of kernels that were not left out
MENTIONED_FIRST_CALL = 1e-3  # seconds; shorter first calls are not mentioned


def comparison_tables(cells: Sequence[Ranked], details: bool) -> list[RenderableType]:
    """Return the tables of a comparison: the times of all shapes but the grid, a map of the grid, and explanations.

    With `details`, return one table that has a row for each implementation of each cell.
    """
    if details or not cells:
        return [all_kernels(cells)] if cells else []
    timed = [cell for cell in cells if cell.key.workload != GRID]
    return [*times_tables(timed), *winners_tables(cells), "", *explanations(cells)]


def winners_tables(cells: Sequence[Ranked]) -> list[RenderableType]:
    """Return a map of the grid for each dtype and number of threads. A tile has the implementations and the time."""
    tables: list[RenderableType] = []
    for panel, on_grid in by_panel(cell for cell in cells if cell.key.workload == GRID).items():
        by_shape = {(cell.key.batch, cell.key.dim): cell for cell in on_grid}
        batches, dims = (sorted(set(sizes)) for sizes in zip(*by_shape, strict=True))
        table = WideTable("batch \\ dim", *map(str, dims), show_lines=True)
        table.columns[0].justify = "right"
        for batch in batches:
            shown = (by_shape.get((batch, dim)) for dim in dims)
            table.add_row(str(batch), *(escape(tile_text(cell)) if cell else "" for cell in shown))
        tables.append(Group(f"\n{panel}: fastest over the grid", table))
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


def _share(cell: Ranked, name: str) -> str:
    share = cell.share_of_roofline(name)
    return f"{share.value:.0%}" if share else "–"
