"""Measure how much the placement of arrays matters: the ratio of two kernels on many new arrays.

``python tools/placement.py`` takes two minutes. cog puts `block` into docs/how-the-numbers-are-made.md.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Sequence

import click
import kept
import numpy as np
from markdown import paragraph, table
from msgspec import Struct
from processes import in_new_process

from softmax_impls.implementation import Array
from softmax_impls.registry import get
from softmax_impls.timing import workloads
from softmax_impls.timing.environment import environment, limit_all_threads
from softmax_impls.timing.statistics import quiet_ratio
from softmax_impls.timing.workloads import CUSTOM, DTYPES, CellKey

RESULTS = kept.MEASUREMENTS / "placement.jsonl"
PAIR = ("numba_rows", "numba_simd")
SHAPES = ((128, 10), (16, 256), (16, 4096), (256, 1000), (4096, 256), (16, 65536), (6144, 512), (256, 65536))
PROCESSES, SETS, ROUNDS = 2, 12, 12
SAMPLE = 3e-4  # seconds
MAX_BLOCKS = 400  # blocks of 48 bytes that are allocated between two sets of arrays

Arrays = tuple[Array, Array, Array]


class Row(Struct, frozen=True):
    """The ratios of the times of the two kernels in `PAIR`, one for each set of arrays.

    `placement` names how the sets were placed in memory, a key of `PLACEMENTS`.
    """

    batch: int
    dim: int
    dtype: str
    placement: str
    machine: str
    commit: str | None
    ratios: tuple[float, ...]


def as_numpy(probs: Array, grad_output: Array) -> Arrays:
    """Return arrays where NumPy allocates them."""
    return probs.copy(), grad_output.copy(), np.zeros_like(probs)


def as_compare(probs: Array, grad_output: Array) -> Arrays:
    """Return arrays where `compare` places them."""
    return workloads.place(probs, grad_output, len(probs))


PLACEMENTS: dict[str, Callable[[Array, Array], Arrays]] = {"numpy": as_numpy, "compare": as_compare}


def ratio(arrays: Arrays) -> float:
    """Return the time of the first kernel in `PAIR` over the time of the second kernel, on these arrays."""
    calls = [get(name).bind_call(*arrays)[0] for name in PAIR]
    numbers = [max(1, round(SAMPLE / min(timeit.repeat(call, number=1, repeat=5)))) for call in calls]
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, number, taken in zip(calls, numbers, samples, strict=True):
            call()  # it finds the caches as the other kernel has left them
            taken.append(timeit.timeit(call, number=number) / number)
    return quiet_ratio(*samples).value


@limit_all_threads(1)
def measure() -> list[Row]:
    """Return a row for each shape, dtype and placement."""
    rng, here = np.random.default_rng(), environment()
    alive, rows = [], []
    for batch, dim in SHAPES:
        for dtype in DTYPES:
            probs, grad_output, _ = workloads.arrays(CellKey(CUSTOM, batch, dim, dtype, 1), 0)
            for placement, place in PLACEMENTS.items():
                ratios = []
                for _ in range(SETS):
                    alive.append(np.zeros(48 * rng.integers(1, MAX_BLOCKS), np.uint8))
                    arrays = place(probs, grad_output)  # the arrays before are still there: it gets other memory
                    ratios.append(float(f"{ratio(arrays):.4g}"))
                rows.append(Row(batch, dim, dtype, placement, here.machine, here.commit, tuple(ratios)))
    return rows


def block(rows: Sequence[Row] | None = None) -> str:
    """Return the block of docs/how-the-numbers-are-made.md in Markdown; by default from the rows that are kept."""
    rows = kept.read(RESULTS, Row) if rows is None else rows
    lines = []
    for batch, dim in SHAPES:
        for dtype in DTYPES:
            line = [f"{batch}×{dim}", dtype]
            for placement in PLACEMENTS:
                kind = (batch, dim, dtype, placement)
                alike = [row for row in rows if (row.batch, row.dim, row.dtype, row.placement) == kind]
                logs = np.log([value for row in alike for value in row.ratios])
                line += [f"{np.exp(logs.mean()):.2f}", f"{logs.std(ddof=1):.1%}"]
            lines.append(line)
    headings = ("batch×dim", "dtype", "as NumPy allocates", "std. deviation", "as `compare` places", "std. deviation")
    about = f"The ratio is the time of `{PAIR[0]}` over the time of `{PAIR[1]}`. Machine: {rows[0].machine}."
    return table(headings, lines) + paragraph(about)


@click.command()
def main() -> None:
    """Measure in several processes."""
    rows: list[Row] = []
    for number in range(PROCESSES):
        click.echo(f"process {number + 1} of {PROCESSES}", err=True)
        rows += in_new_process(measure)
    kept.replace(RESULTS, rows)


if __name__ == "__main__":
    main()
