"""Make the blocks of docs/performance.md from the results of tools/performance.py.

The functions that take `Results` return Markdown about one kind of processor; cog puts it into the page by `each`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from kept import MEASUREMENTS
from markdown import Row, paragraph, table
from performance_goals import LINES, Compared, Results, entries, format_ratio, goals, worst_text
from performance_records import OURS, ROOFLINE, Compiled, Errors, Rest, Start

from softmax_impls.formatting import format_bytes, format_seconds
from softmax_impls.timing.workloads import GRID

WORST = 10  # cells that are listed


def files() -> list[Path]:
    """Return the results files, one for each kind of processor."""
    return sorted(MEASUREMENTS.glob("performance-*.jsonl"))


def report(path: Path) -> str:
    """Return all tables of a results file."""
    results = Results(path)
    parts = (environment, goals, worst_cells, workloads, accuracy, start, compile_times)
    return "".join(part(results) for part in parts)


@functools.cache
def _measured() -> list[Results]:
    return [Results(path) for path in files()]


def each(part: Callable[[Results], str]) -> str:
    """Return a part of the page for each kind of processor."""
    several = len(_measured()) > 1
    return "".join(
        (paragraph(f"**{results.processor}**") if several else "") + part(results) for results in _measured()
    )


def processors() -> str:
    """Return a table of the worst cells by kind of processor; nothing for a single kind."""
    found = _measured()
    rows = [(line.title, *(worst_text(results.by_threads(line)) for results in found)) for line in LINES]
    return table(("worst cell", *(results.processor for results in found)), rows) if len(found) > 1 else ""


def environment(results: Results) -> str:
    """Return machines and versions as sentences."""
    texts = []
    for rest in results.of(Rest):
        versions = ", ".join(f"{name} {version}" for name, version in rest.environment.versions.items())
        texts.append(paragraph(f"Measured on {rest.environment.machine}, with {versions}."))
    return "".join(texts)


def worst_cells(results: Results) -> str:
    """Return a table of the cells that are farthest from their goals."""
    worst = sorted(results.compared, key=lambda one: one.ratio.value / one.line.must)[:WORST]
    headings = ("cell", "comparison", "time", "GB/s", "fastest rival", "rival ÷ ours", "required")
    return table(headings, [(one.cell.key, one.line.title, *_figures(one), f"{one.line.must:g}") for one in worst])


def _figures(one: Compared) -> Row:
    seconds = one.cell.seconds(one.line.ours)
    speed = one.cell.key.moved_bytes / seconds / 1e9
    return format_seconds(seconds), f"{speed:.1f}", one.rival, format_ratio(one.ratio)


def workloads(results: Results) -> str:
    """Return a table of named workloads."""
    headings = ("cell", "time", "GB/s", "fastest rival", "rival ÷ ours", "allocating", "% of roofline")
    default, allocating = LINES[0], LINES[1]
    rows = []
    for key, cell in results.cells.items():
        found = {one.line: one for one in results.compared if one.cell is cell}
        main = found.get(default) or next((found[line] for line in LINES if line.ours == OURS and line in found), None)
        if main and key.workload != GRID:
            plain = found.get(allocating)
            share = f"{cell.ratio(ROOFLINE, OURS).value:.0%}" if cell.samples.get(ROOFLINE) else "–"
            rows.append((key, *_figures(main), format_ratio(plain.ratio) if plain else "–", share))
    return table(headings, rows)


def accuracy(results: Results) -> str:
    """Return a table of the worst errors."""
    tables = []
    for errors in results.of(Errors):
        worst: dict[str, dict[str, float]] = {}
        for one in entries(errors):
            of_name, column = worst.setdefault(one.name, {}), f"{one.dtype} {one.kind}"
            of_name[column] = max(one.error, of_name.get(column, 0.0))
        columns = list(dict.fromkeys(column for found in worst.values() for column in found))
        rows = [(name, *(f"{found[c]:.1e}" if c in found else "–" for c in columns)) for name, found in worst.items()]
        tables.append(table(("", *columns), rows) + paragraph(f"{errors.rows:,} rows of each dtype."))
    return "".join(tables)


def start(results: Results) -> str:
    """Return a table of start-up times, and a sentence on memory."""
    starts, text = results.of(Start), ""
    if starts:
        rows = [(found.kind, *(f"{seconds:.2f}" for seconds in found.seconds.values())) for found in starts]
        text = table(("", *starts[0].seconds), rows)
    for rest in results.of(Rest):
        memory, result = {how: format_bytes(size) for how, size in rest.memory.items()}, format_bytes(512 * 50257 * 8)
        text += paragraph(
            f"A call at 512×50257 float64, whose result takes {result}, raises the peak memory of the process by "
            f"{memory['out']} with `out` and by {memory['allocating']} without."
        )
    return text


def compile_times(results: Results) -> str:
    """Return a table of compile times."""
    rows = [
        (f"`{name}`" if name != "all" else "all steps, with imports", f"{seconds:.2f}")
        for found in results.of(Compiled)
        for name, seconds in sorted(found.seconds.items(), key=lambda item: -item[1])
        if seconds >= 0.05
    ]
    return table(("function", "seconds"), rows) if rows else ""
