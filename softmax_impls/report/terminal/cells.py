"""Tables and notes about measured cells: times, the map of the grid, every kernel, and several runs side by side."""

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.text import Text

from softmax_impls.choice.answer import HOW_COMPARED, LOSES_SATURATED_ROWS
from softmax_impls.choice.ranking import Ranked, RankedRun
from softmax_impls.formatting import format_count, format_seconds
from softmax_impls.report.panels import Panel, by_panel, marks, tile_text
from softmax_impls.report.side_by_side import TEXT, side_by_side
from softmax_impls.report.terminal.tables import WideTable, format_ratio, plain_table, ratio_and_interval
from softmax_impls.timing.workloads import GRID, CellKey

ROOFLINE, NOISE = "roofline", "A/A noise"  # the last rows of a table of times
RATIO_WIDTH = 7  # characters, so that the times of a column are aligned
EXPLANATIONS = {
    "=": "= ties: no measurable difference.",
    "~": "~ extrapolated from smaller shapes.",
    "†": f"† {LOSES_SATURATED_ROWS}",
    "‡": "‡ The accuracy on saturated rows is not known.",
    ROOFLINE: "Roofline: the time to read and write the arrays and do nothing else, where they do not fit the caches.",
    NOISE: "A/A noise: the difference between two measurements of the same kernel.",
}
MEASURED = ("timed", "eliminated")  # the statuses of kernels that have a measured time
MENTIONED_FIRST_CALL = 1e-3  # seconds; shorter first calls are not mentioned


def comparison_tables(cells: Sequence[Ranked], details: bool) -> list[RenderableType]:
    """Return the tables of a comparison: times, maps of the fastest implementation by batch and dim, and explanations.

    The maps have the cells of the workload "grid". The tables of times have all other cells. With `details`, return
    instead one table that has a row for each implementation of each cell.
    """
    if details or not cells:
        return [all_kernels(cells)] if cells else []
    times = times_by_panel(cell for cell in cells if cell.key.workload != GRID).items()
    titled = [Group(f"\n{panel}: time of one call, and × the fastest", table) for panel, table in times]
    return [*titled, *winners_tables(cells), "", *explanations(cells)]


def winners_tables(cells: Sequence[Ranked]) -> list[RenderableType]:
    """Return tables of the fastest kernels over the grid: a table for each dtype and number of threads.

    A table has a row for each batch size and a column for each dim.
    """
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
                f"{share.value:.0%}" if (share := cell.share_of_roofline(kernel.name)) else "–",
                str(len(kernel.samples)),
                format_seconds(kernel.first_call_seconds),
                escape(kernel.status if kernel.status in MEASURED else f"{kernel.status}: {kernel.note}"),
            )
        table.add_section()
    return table


def first_calls(cells: Sequence[Ranked]) -> list[str]:
    """Return a line about the first calls that take more than `MENTIONED_FIRST_CALL`: they compile or load code."""
    found = [("Numba itself", cell.cell.compiler_start_seconds) for cell in cells]
    found += [(kernel.name, kernel.first_call_seconds) for cell in cells for kernel in cell.cell.kernels]
    slowest = dict(sorted(found))  # of several values for a name, the largest is sorted last and counts
    long = [f"{name} {format_seconds(s)}" for name, s in slowest.items() if s > MENTIONED_FIRST_CALL]
    line = f"First calls compile or load code, which is not part of the times above: {', '.join(long)}."
    return [line] if long else []


def exclusions(cells: Sequence[Ranked]) -> list[str]:
    """Return lines about the kernels without a measured time: a line for each kernel and status, such as "failed".

    The line names one of the cells, with the reason there, and the number of other cells with the same status.
    """
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


@dataclass(frozen=True)
class Wrapped:
    """A table that is split into several tables, one below the other, if it is too wide. Each has the first column."""

    first: Sequence[str]  # heading and texts of the first column
    columns: Sequence[Sequence[str]]  # heading and texts of each other column

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield as few tables as possible, with about the same number of columns each."""
        texts = "\n".join(itertools.chain(*self.columns))
        widest = 1 + max(Text(line).cell_len for line in texts.split("\n"))
        room = options.max_width - 1 - max(Text(text).cell_len for text in self.first)
        tables = math.ceil(len(self.columns) / max(1, room // widest))
        step = math.ceil(len(self.columns) / tables)
        for start in range(0, len(self.columns), step):
            shown = self.columns[start : start + step]
            table = plain_table(escape(self.first[0]), *(">" + escape(texts[0]) for texts in shown))
            for column in table.columns[1:]:
                column.min_width = widest - 1  # so that the columns of all tables are equally wide
            for row in zip(self.first[1:], *(texts[1:] for texts in shown), strict=True):
                table.add_row(*map(Text, row))
            yield from [""] * (start > 0) + [table]


def times_by_panel(cells: Iterable[Ranked]) -> dict[Panel, Wrapped]:
    """Return a table for each dtype and number of threads: the time in each cell, and its ratio to the fastest time.

    Each implementation has a row, the fastest on average first. If known, the roofline and the A/A noise follow.
    """
    return {panel: _times(shown) for panel, shown in by_panel(cells).items()}


def _times(cells: Sequence[Ranked]) -> Wrapped:
    names = sorted({name for cell in cells for name in cell.kernels}, key=lambda name: _mean_ratio(cells, name))
    marked = marks(cells)
    below = [ROOFLINE] * any(cell.cell.roofline for cell in cells) + [NOISE] * any(cell.noise for cell in cells)
    columns = []
    for cell in cells:
        heading = f"{cell.key.workload}\n{cell.key.shape_text}"
        last = {ROOFLINE: _roofline(cell), NOISE: "" if cell.noise is None else f"{cell.noise:.1%}"}
        columns.append([heading, *(_time(cell, name) for name in names), *(last[name] for name in below)])
    return Wrapped(["implementation", *(name + marked[name] for name in names), *below], columns)


def _mean_ratio(cells: Sequence[Ranked], name: str) -> tuple[int, float]:
    """Return the number of cells that do not rank an implementation, and its mean ratio in the other cells.

    The mean is the geometric mean of the ratios to the fastest time; inf if no cell ranks the implementation.
    """
    ratios = [ratio for cell in cells if (ratio := cell.times_best(name)) < math.inf]
    return len(cells) - len(ratios), statistics.geometric_mean(ratios) if ratios else math.inf


def _time(cell: Ranked, name: str) -> str:
    """Return a time and its ratio to the fastest; the reason if there is no time; "" if the cell lacks the kernel."""
    kernel, ratio = cell.kernels.get(name), cell.ratio(name)
    if kernel is None:
        return ""
    if kernel.status == "extrapolated" and kernel.seconds and cell.comparison:
        return _pair("~" + format_seconds(kernel.seconds), f"{float(f'{kernel.seconds / cell.seconds:.1e}'):,.0f}")
    if kernel.seconds is None or ratio is None:
        return "not verified" if kernel.status in ("timed", "eliminated") else kernel.status
    tie = "=" * (name in cell.winners and len(cell.winners) > 1)
    is_one = name == cell.winners[0] and not tie
    return _pair(format_seconds(kernel.seconds), "1" if is_one else tie + format_ratio(ratio.value))


def _roofline(cell: Ranked) -> str:
    roofline, share = cell.cell.roofline, cell.share_of_roofline(cell.winners[0]) if cell.winners else None
    return _pair(format_seconds(roofline.seconds), f"{share.value:.2f}") if roofline and share else ""


def _pair(time: str, ratio: str) -> str:
    return f"{time} {ratio:>{RATIO_WIDTH}}"


def explanations(cells: Sequence[Ranked]) -> list[str]:
    """Return a line for each mark in the tables of these cells, and a line about times and ratios."""
    kernels = [kernel for cell in cells for kernel in cell.kernels.values()]
    present = {
        "=": any(len(cell.winners) > 1 for cell in cells),
        "~": any(kernel.status == "extrapolated" for kernel in kernels),
        **{mark: f" {mark}" in marks(cells).values() for mark in "†‡"},
        ROOFLINE: any(cell.cell.roofline for cell in cells),
        NOISE: any(cell.noise for cell in cells),
    }
    return [HOW_COMPARED, *(EXPLANATIONS[mark] for mark, shown in present.items() if shown)]


def runs_table(runs: Sequence[RankedRun]) -> list[RenderableType]:
    """Return the titles of runs, a table of the cells that the first run shares with another run, and an explanation.

    Return an empty list if there are no such cells.
    """
    found = side_by_side(runs)
    table = plain_table("cell", *found.titles, *(f">{head}" for head in found.heads))
    for row in found.rows:
        table.add_row(*map(Text, (str(row.key), *row.bests, *row.ratios, *[row.for_all] * bool(found.summary))))
    titles = (Text(f"{letter}: {title}") for letter, title in found.titles.items())
    return ["", *titles, table, TEXT] if found.rows else []
