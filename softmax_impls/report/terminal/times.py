"""Tables of times: implementations down and workloads across, and the cells of several runs side by side."""

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
from softmax_impls.formatting import format_seconds
from softmax_impls.report.panels import Panel, by_panel, marks
from softmax_impls.report.side_by_side import TEXT, side_by_side
from softmax_impls.report.terminal.tables import format_ratio, plain_table

ROOFLINE, NOISE = "roofline", "A/A noise"  # the last rows
RATIO_WIDTH = 7  # characters, so that the times of a column are aligned
EXPLANATIONS = {
    "=": "= ties: no measurable difference.",
    "~": "~ extrapolated from smaller shapes.",
    "†": f"† {LOSES_SATURATED_ROWS}",
    "‡": "‡ The accuracy on saturated rows is not known.",
    ROOFLINE: "Roofline: the time to read and write the arrays and do nothing else, where they do not fit the caches.",
    NOISE: "A/A noise: the difference between two measurements of the same kernel.",
}


@dataclass(frozen=True)
class Wrapped:
    """A table that continues below where it is too wide. Each table begins with the first column."""

    first: Sequence[str]  # the heading, and the cells
    columns: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the tables: as few as possible, of about as many columns each."""
        texts = "\n".join(itertools.chain(*self.columns))
        widest = 1 + max(Text(line).cell_len for line in texts.split("\n"))
        room = options.max_width - 1 - max(Text(text).cell_len for text in self.first)
        tables = math.ceil(len(self.columns) / max(1, room // widest))
        step = math.ceil(len(self.columns) / tables)
        for start in range(0, len(self.columns), step):
            shown = self.columns[start : start + step]
            table = plain_table(escape(self.first[0]), *(">" + escape(texts[0]) for texts in shown))
            for column in table.columns[1:]:
                column.min_width = widest - 1  # so that the tables have the same columns
            for row in zip(self.first[1:], *(texts[1:] for texts in shown), strict=True):
                table.add_row(*map(Text, row))
            yield from [""] * (start > 0) + [table]


def times_tables(cells: Iterable[Ranked]) -> list[RenderableType]:
    """Return the tables of `times_by_panel`, each with a title."""
    tables = times_by_panel(cells).items()
    return [Group(f"\n{panel}: time of one call, and × the fastest", table) for panel, table in tables]


def times_by_panel(cells: Iterable[Ranked]) -> dict[Panel, Wrapped]:
    """Return a table for each dtype and number of threads: the time in each cell, and its ratio to the fastest time.

    There is a row for each implementation, the fastest on average first, for the roofline, and for the noise.
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
    """Return in how many cells an implementation is not ranked, and the geometric mean of its ratios in the others."""
    ratios = [ratio for cell in cells if (ratio := cell.times_best(name)) < math.inf]
    return len(cells) - len(ratios), statistics.geometric_mean(ratios) if ratios else math.inf


def _time(cell: Ranked, name: str) -> str:
    """Return the time of an implementation and its ratio; or why it has none."""
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
    share = cell.share_of_roofline(cell.winners[0]) if cell.winners else None
    return (
        _pair(format_seconds(cell.cell.roofline.seconds), f"{share.value:.2f}") if cell.cell.roofline and share else ""
    )


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
    """Return a table of the cells that runs have in common; nothing if there are none."""
    found = side_by_side(runs)
    table = plain_table("cell", *found.titles, *(f">{head}" for head in found.heads))
    for row in found.rows:
        table.add_row(*map(Text, (str(row.key), *row.bests, *row.ratios, *[row.for_all] * bool(found.summary))))
    titles = (Text(f"{letter}: {title}") for letter, title in found.titles.items())
    return ["", *titles, table, TEXT] if found.rows else []
