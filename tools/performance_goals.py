"""The goals of tools/performance.py: what is compared, what is required, and what was reached."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from markdown import Row, table
from msgspec import Struct
from performance_records import (
    BACKWARD,
    FORWARD,
    LOOP,
    LOOP_KEY,
    OURS,
    OURS_ALLOCATING,
    OURS_SATURATED,
    PEERS,
    ROOFLINE,
    ROWS,
    ROWS_SATURATED,
    TORCH,
    TORCH_ALLOCATING,
    Cell,
    Compiled,
    Errors,
    Rest,
    Start,
    read,
)

from softmax_impls.formatting import format_count
from softmax_impls.timing.statistics import Ratio

SHORT = 1000  # classes up to which errors are stated in units of rounding
UNITS, LARGEST = 4, {"float32": 1e-6, "float64": 2e-15}  # errors that are allowed: for short rows, and for all
FIRST_CALL = {"nothing cached": (1.5, 1.0), "cached": (0.35, 0.25)}  # seconds, required and as an aim
CODE = (1300, 1000)  # lines
LOOP_RATIO = (2000, 4000)
WIDE = 1.2  # ratio of the ends of an interval, from which a cell is not sure
NOT_MEASURED = "not measured"

T = TypeVar("T", Start, Compiled, Errors, Rest)


class Line(Struct, frozen=True):
    """A line in the table of goals: the time of the fastest rival over our time.

    Every cell must reach the ratio `must` and should reach `aim`. `over_cells` has the same for a mean or median.
    """

    title: str
    direction: str
    last_axis: bool
    ours: str
    rivals: tuple[str, ...]
    must: float
    aim: float
    over_cells: tuple[str, float, float] | None = None  # kind of mean, required, aim

    def compare(self, cell: Cell) -> tuple[Ratio, str] | None:
        """Return the time of the fastest rival over ours, and the rival's name; None if the line skips this cell."""
        rivals = [name for name in self.rivals if cell.samples.get(name)]
        about = (cell.key.direction, cell.key.is_last) == (self.direction, self.last_axis)
        if not (about and rivals and cell.samples.get(self.ours)):
            return None
        return min(((cell.ratio(name, self.ours), name) for name in rivals), key=lambda found: found[0].value)


BOTH = (TORCH, TORCH_ALLOCATING)
MEAN, MEDIAN = "geometric mean", "median"
LINES = (
    Line("default call, against the best peer", BACKWARD, True, OURS, PEERS, 1.0, 1.1, (MEAN, 1.5, 1.75)),
    Line("allocating call, against torch's", BACKWARD, True, OURS_ALLOCATING, (TORCH_ALLOCATING,), 1.0, 1.2),
    Line("beyond the caches, against the roofline", BACKWARD, True, OURS, (ROOFLINE,), 0.75, 0.8, (MEDIAN, 0.8, 0.87)),
    Line("in the caches, against numba_rows", BACKWARD, True, OURS, (ROWS,), 0.85, 0.95),
    Line("the same, saturated rows", BACKWARD, True, OURS_SATURATED, (ROWS_SATURATED,), 0.7, 0.85),
    Line("other axes, against torch", BACKWARD, False, OURS, BOTH, 1.0, 1.3),
    Line("forward, against torch", FORWARD, True, OURS, BOTH, 0.9, 1.0, (MEAN, 1.2, 1.5)),
    Line(
        "forward, allocating, against torch's", FORWARD, True, OURS_ALLOCATING, (TORCH_ALLOCATING,), 0.9, 1.0,
        (MEAN, 1.2, 1.5),
    ),
    Line("forward, other axes, against torch", FORWARD, False, OURS, BOTH, 0.9, 1.0),
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """The comparison that a line of the table makes in one cell: the time of the fastest rival over ours."""

    line: Line
    cell: Cell
    ratio: Ratio
    rival: str


class Entry(NamedTuple):
    """The worst error on a family of inputs, of another library or of one way to call the package."""

    name: str
    dtype: str
    kind: str
    dim: int
    family: str
    error: float


class Results:
    """The results of one kind of processor."""

    def __init__(self, path: Path) -> None:
        self.processor, records = path.stem.removeprefix("performance-"), read(path)
        self.cells = {record.key: record for record in records if isinstance(record, Cell)}
        self._others = [record for record in records if not isinstance(record, Cell)]

    def of(self, kind: type[T]) -> list[T]:
        """Return the records of this type."""
        return [record for record in self._others if isinstance(record, kind)]

    @functools.cached_property
    def compared(self) -> list[Compared]:
        """Every comparison of every cell."""
        pairs = ((line, cell, line.compare(cell)) for line in LINES for cell in self.cells.values())
        return [Compared(line, cell, *found) for line, cell, found in pairs if found and cell.key != LOOP_KEY]

    def by_threads(self, line: Line) -> dict[int, list[Compared]]:
        """Return the comparisons that `line` makes in all cells, by the number of threads."""
        found = [one for one in self.compared if one.line == line]
        threads = sorted({one.cell.key.threads for one in found})
        return {number: [one for one in found if one.cell.key.threads == number] for number in threads}


def goals(results: Results) -> str:
    """Return a table of goals, measured values, and whether they are reached."""
    rows = [
        *(row for line in LINES for row in _line_rows(line, results.by_threads(line))),
        *_loop_rows(results),
        *_first_call_rows(results),
        *_error_rows(results),
        *_code_rows(results),
    ]
    return table(("", "required", "aim", "measured", ""), rows)


def _line_rows(line: Line, found: dict[int, list[Compared]]) -> Iterator[Row]:
    """Yield the table rows of a line: the worst cell and, if `over_cells` is set, the mean or median of all cells."""
    ratios = [one.ratio for group in found.values() for one in group]
    if not ratios:
        yield f"{line.title}: worst cell", f"{line.must:g}", f"{line.aim:g}", NOT_MEASURED, ""
        return
    yield f"{line.title}: worst cell", f"{line.must:g}", f"{line.aim:g}", worst_text(found), _verdict(line, ratios)
    if line.over_cells:
        kind, required, aim = line.over_cells
        means = {number: _over_cells(kind, group) for number, group in found.items()}
        text = ", ".join(f"{value:.2f}{_on(number)}" for number, value in means.items())
        yield _goal(f"… {kind}", required, aim, min(means.values()), text)


def _verdict(line: Line, ratios: Sequence[Ratio]) -> str:
    """Return in words whether the ratios of all cells reach `line.must`.

    A smaller ratio with `must` in its interval is tied or, if the interval is wide, not sure. Ties count as reached.
    """
    if min(ratio.value for ratio in ratios) >= line.aim:
        return "aim reached"
    below = [ratio for ratio in ratios if ratio.value < line.must]
    missed = sum(ratio.high < line.must for ratio in below)
    tied = sum(ratio.high >= line.must and ratio.high < WIDE * ratio.low for ratio in below)
    counts = {"tied": tied, "not sure": len(below) - missed - tied}
    notes = "".join(f", {number} {what}" for what, number in counts.items() if number)
    if missed:
        return f"**missed** in {missed} of {len(ratios)} cells{notes}"
    return notes.removeprefix(", ") if counts["not sure"] else f"reached{notes}"


def _over_cells(kind: str, group: Sequence[Compared]) -> float:
    logs = [math.log(one.ratio.value) for one in group]
    return math.exp(float(np.median(logs) if kind == MEDIAN else np.mean(logs)))


def worst_text(found: dict[int, list[Compared]]) -> str:
    """Return the smallest ratio and its interval for each number of threads, as text."""
    worst = {
        number: min((one.ratio for one in group), key=lambda ratio: ratio.value) for number, group in found.items()
    }
    return ", ".join(f"{format_ratio(ratio)}{_on(number)}" for number, ratio in worst.items()) or NOT_MEASURED


def _on(threads: int) -> str:
    return f" on {format_count(threads, 'thread')}"


def _loop_rows(results: Results) -> Iterator[Row]:
    if cell := results.cells.get(LOOP_KEY):
        value, (batch, dim) = cell.ratio(LOOP, OURS).value, LOOP_KEY.shape
        yield _goal(f"the original program's loop, {batch}×{dim} float64", *LOOP_RATIO, value, f"{value:,.0f}")


def _first_call_rows(results: Results) -> Iterator[Row]:
    for found in results.of(Start):
        seconds = found.seconds["small float64"]
        yield _goal(
            f"first small call, {found.kind}", *FIRST_CALL[found.kind], seconds, f"{seconds:.2f} s", at_most=True
        )


def _code_rows(results: Results) -> Iterator[Row]:
    for rest in results.of(Rest):
        yield _goal("lines in `simd/`, comments included", *CODE, rest.lines, f"{rest.lines:,}", at_most=True)


def _error_rows(results: Results) -> Iterator[Row]:
    for errors in results.of(Errors):
        for dtype, largest in LARGEST.items():
            ours = [one for one in entries(errors) if one.dtype == dtype and one.name.startswith((OURS, "…"))]
            unit = float(np.finfo(dtype).eps) / 2
            for where, limit, of in ((f"D ≤ {SHORT}, in units of rounding", UNITS, unit), ("everywhere", largest, 1.0)):
                worst = max((one for one in ours if of == 1.0 or one.dim <= SHORT), key=lambda one: one.error)
                text = f"{worst.error / of:.2g} ({worst.name}, {worst.family}, D = {worst.dim})"
                yield _goal(f"worst error, {dtype}, {where}", limit, limit, worst.error / of, text, at_most=True)


def entries(errors: Errors) -> Iterator[Entry]:
    """Yield the worst error on each family of inputs, for each way to call the package and each other library."""
    for name, worst in errors.worst.items():
        for place, error in worst.items():
            dtype, kind, dim, family = place.split(" ", 3)
            yield Entry(name, dtype, kind, int(dim), family, error)


def _goal(what: str, required: float, aim: float, value: float, text: str, at_most: bool = False) -> Row:
    """Return a table row that says whether `value` is at least (with `at_most`, at most) `required` and `aim`."""
    reached = [value <= goal if at_most else value >= goal for goal in (required, aim)]
    verdict = "aim reached" if all(reached) else "reached" if reached[0] else "**missed**"
    return what, f"{required:,g}", f"{aim:,g}", text, verdict


def format_ratio(ratio: Ratio) -> str:
    """Return a ratio and its interval."""
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
