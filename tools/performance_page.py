"""Make the blocks of docs/performance.md from the results of tools/performance.py.

The functions without arguments return Markdown; cog puts it into the page.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import performance
from markdown import Row, paragraph, table
from performance import DTYPES, LOOP, LOOP_CELL, OURS

from softmax_impls.formatting import format_seconds
from softmax_impls.simd.sizes import NONTEMPORAL_FROM
from softmax_impls.timing.records import Cell
from softmax_impls.timing.statistics import Ratio, paired_ratio
from softmax_impls.timing.workloads import GRID, CellKey

OURS_PLAIN, PEER_PLAIN, ROOFLINE = "auto (plain)", "torch (plain)", "roofline"
KINDS = ("ordinary", "saturated")
WIDE = 5.0  # an interval whose ends differ by this factor is not shown


@dataclass(frozen=True)
class Timed:
    """A cell that was measured, and ratios of its samples."""

    cell: Cell

    def ratio(self, name: str, other: str) -> Ratio:
        """Return the time of one implementation, or of the roofline, over the time of another."""
        return paired_ratio(self._samples(name), self._samples(other))

    def has(self, *names: str) -> bool:
        """Whether these were timed in this cell."""
        return all(map(self._samples, names))

    def _samples(self, name: str) -> tuple[float, ...]:
        if name == ROOFLINE:
            return self.cell.roofline.samples if self.cell.roofline else ()
        return self.cell.by_name[name].samples

    @functools.cached_property
    def best_peer(self) -> str:
        """The fastest implementation of another library."""
        peers = [
            kernel for kernel in self.cell.kernels if kernel.name not in (OURS, OURS_PLAIN, LOOP) and kernel.samples
        ]
        return min(peers, key=lambda kernel: float(np.median(kernel.samples))).name


def cells() -> dict[CellKey, Timed]:
    """Return the cells that are kept."""
    return {key: Timed(cell) for key, cell in performance.cells().items()}


def environment() -> str:
    """Return machine and versions as a sentence."""
    where = performance.rest().environment
    versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
    return paragraph(f"Measured on {where.machine}, with {versions}.")


def goals() -> str:
    """Return a table of goals, measured values, and whether they are reached."""
    compared = [cell for key, cell in cells().items() if key != LOOP_CELL and cell.has(OURS)]
    beyond = [cell for cell in compared if cell.cell.key.moved_bytes > NONTEMPORAL_FROM]
    against_peers = [(cell.ratio(cell.best_peer, OURS), cell) for cell in compared]
    plain = [(cell.ratio(PEER_PLAIN, OURS_PLAIN), cell) for cell in compared if cell.has(PEER_PLAIN, OURS_PLAIN)]
    share = [(cell.ratio(ROOFLINE, OURS), cell) for cell in beyond if cell.has(ROOFLINE)]
    mean = math.exp(float(np.mean([math.log(ratio.value) for ratio, _ in against_peers])))
    median = float(np.median([ratio.value for ratio, _ in share]))
    small = cells()[CellKey("sample-10", 1, 10, "float64", 1)].ratio(PEER_PLAIN, OURS_PLAIN)
    loop = cells()[LOOP_CELL].ratio(LOOP, OURS).value
    rows = [
        _goal("time of the best peer ÷ `softmax_backward(…, out=out)`, worst cell", 1, 1.1, *_worst(against_peers, 1)),
        _goal("the same, geometric mean over cells", 1.25, 1.5, mean, f"{mean:.2f}"),
        _goal("plain torch ÷ plain `softmax_backward`, worst cell", 1, 1.5, *_worst(plain, 1)),
        _goal("the same at 1×10 float64", 1, 1.3, small.value, _format(small)),
        _goal("roofline ÷ `softmax_backward`, worst cell beyond the last-level cache", 0.8, 0.9, *_worst(share, 0.8)),
        _goal("the same, median of these cells", 0.8, 0.9, median, f"{median:.2f}"),
        _goal("the original program's loop ÷ `softmax_backward`, 128×1000 float64", 2000, 4000, loop, f"{loop:,.0f}"),
        *(
            _error_goal(dtype, *limits)
            for dtype, limits in {"float32": (1e-6, 2.4e-7), "float64": (2e-15, 4.4e-16)}.items()
        ),
    ]
    return table(("", "required", "aim", "measured", ""), rows)


def accuracy() -> str:
    """Return a table of the worst errors."""
    columns = [f"{dtype} {kind}" for dtype in DTYPES for kind in KINDS]
    rows = [
        (name, *(f"{worst[column]:.1e}" for column in columns)) for name, worst in performance.rest().errors.items()
    ]
    return table(("", *columns), rows)


def start() -> str:
    """Return a table of start-up times, and a sentence on memory."""
    headings = ("", "import numpy", "import softmax_impls", "first call, 1×10", "first call in threads, 300×500")
    rows = [
        (kind, *(f"{s:.2f}" for s in msgspec.structs.astuple(times)))
        for kind, times in performance.rest().start.items()
    ]
    memory = {how: f"{size / 1e6:.0f} MB" for how, size in performance.rest().memory.items()}
    return table(headings, rows) + paragraph(
        f"A call at 512×50257 float64, whose result takes {512 * 50257 * 8 / 1e6:.0f} MB, raises the peak memory of "
        f"the process by {memory['out']} with `out` and by {memory['plain']} without."
    )


def workloads_table() -> str:
    """Return a table of the cells of named workloads."""
    named = [cell for key, cell in cells().items() if key.workload != GRID and key != LOOP_CELL]
    named.sort(key=lambda cell: (cell.cell.threads, cell.cell.key.elements, cell.cell.dtype))
    headings = (
        "workload",
        "dtype",
        "threads",
        "time",
        "best peer",
        "best peer ÷ ours",
        "plain torch ÷ ours",
        "% of roofline",
    )
    return table(headings, [_workload_row(cell) for cell in named])


def _workload_row(timed: Timed) -> Row:
    cell = timed.cell
    return (
        f"{cell.workload} {cell.batch}×{cell.dim}",
        cell.dtype,
        cell.threads,
        format_seconds(float(np.median(cell.by_name[OURS].samples))),
        timed.best_peer,
        _format(timed.ratio(timed.best_peer, OURS)),
        _format(timed.ratio(PEER_PLAIN, OURS_PLAIN)) if timed.has(PEER_PLAIN, OURS_PLAIN) else "–",
        f"{timed.ratio(ROOFLINE, OURS).value:.0%}" if timed.has(ROOFLINE) else "–",
    )


def _format(ratio: Ratio) -> str:
    """Return a ratio and its interval; without the interval if it is too wide to say anything."""
    wide = ratio.high > WIDE * ratio.low
    return f"{ratio.value:.2f}" + (" (few rounds)" if wide else f" ({ratio.low:.2f} to {ratio.high:.2f})")


def _worst(found: Sequence[tuple[Ratio, Timed]], required: float) -> tuple[float, str]:
    """Return the smallest ratio, and a text that says in which cell, and how many cells surely miss the goal."""
    ratio, worst = min(found, key=lambda pair: pair[0].value)
    less = sum(other.high < required for other, _ in found)
    return (
        ratio.value,
        f"{_format(ratio)}, {worst.cell.key}; clearly less than {required:g} in {less} of {len(found)} cells",
    )


def _error_goal(dtype: str, required: float, aim: float) -> Row:
    errors = performance.rest().errors["numba_simd"]
    worst = max(error for column, error in errors.items() if column.startswith(dtype))
    return _goal(
        f"worst error, {dtype}, {performance.rest().rows:,} rows", required, aim, worst, f"{worst:.1e}", at_most=True
    )


def _goal(what: str, required: float, aim: float, value: float, text: str, at_most: bool = False) -> Row:
    """Return a row that says whether a value reaches what is required, and the aim."""
    reached = [value <= goal if at_most else value >= goal for goal in (required, aim)]
    verdict = "aim reached" if all(reached) else "reached" if reached[0] else "**missed**"
    return what, f"{required:,g}", f"{aim:,g}", text, verdict
