"""Does the line that `softmax-impls choose` prints take the time that it states? Run it in a new process, by timeit.

``python tools/pasted_line.py`` asks `choose` about 40 cells. For each it runs the printed code in a new
process: with hot caches, and in a loop that touches 64 MB between calls, where it also times the other candidates.
cog puts `block` into docs/how-the-numbers-are-made.md.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
import timeit
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import kept
import numpy as np
from markdown import paragraph, table
from msgspec import Struct
from processes import in_new_process, output_of

from softmax_impls.choice.ranking import ours
from softmax_impls.formatting import format_count
from softmax_impls.threads import available_cores, default_threads
from softmax_impls.timing.disturbance import is_quiet
from softmax_impls.timing.environment import environment
from softmax_impls.timing.workloads import DTYPES
from softmax_impls.usage import usage

RESULTS = kept.MEASUREMENTS / "pasted_line.jsonl"
SHAPES = (
    (1, 10), (1, 1000), (16, 64), (128, 10), (64, 1000),
    (256, 1000), (16, 40000), (1024, 512), (512, 4096), (4096, 4096),
)  # fmt: skip
SAMPLES, SAMPLE_SECONDS = 100, 500e-6  # of the line with hot caches, at most
FEWEST = 12  # samples; with fewer of a quiet processor, all count
MOST_SECONDS = 3.0  # for the samples of a line
COLD_CALLS = 31  # of each candidate
TOUCHED = 8 * 2**20  # elements of float64: 64 MB, more than the last cache holds
RIVALS = 3  # candidates besides the pick that are timed with cold caches
TOLERANCE = 0.1  # relative difference that counts as right even outside of the range


class Pasted(Struct, frozen=True):
    """The time that `choose` states for a cell, and the time that the printed line took in a new process.

    All times are in seconds.
    """

    batch: int
    dim: int
    dtype: str
    threads: int
    machine: str
    commit: str | None
    use: str
    line: str
    stated: float
    interval: tuple[float, float]  # the stated range
    hot: float  # median of the line's samples on a quiet processor
    cold: dict[str, float]  # median of calls of each candidate with cold caches
    choose_seconds: float  # that the command took

    @property
    def right(self) -> bool:
        """Whether the line took the time that was stated."""
        low, high = self.interval
        return low <= self.hot <= high or abs(self.hot / self.stated - 1) <= TOLERANCE

    @property
    def cold_ratio(self) -> float:
        """The time of the pick over the time of the fastest candidate, with cold caches."""
        return self.cold[self.use] / min(self.cold.values())


def measure_cell(batch: int, dim: int, dtype: str, threads: int) -> Pasted:
    """Ask `choose`, and run what it prints."""
    shape = ("--batch", str(batch), "--dim", str(dim), "--dtype", dtype, "--threads", str(threads))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:  # `choose` keeps its measurement in the working folder
        command = (sys.executable, "-m", "softmax_impls", "choose", *shape, "--json")
        answer = json.loads(output_of(*command, cwd=Path(folder)))
    taken = time.perf_counter() - start
    candidates = {name: about for name, about in answer["candidates"].items() if about["accurate_for"] == "logits"}
    pick, ratios = candidates[answer["use"]], {name: c["times_the_fastest"][0] for name, c in candidates.items()}
    rivals = sorted(ratios, key=lambda name: (name != answer["use"], ratios[name]))[: 1 + RIVALS]
    lines = {name: str(usage(name, ours(name), batch, dim, dtype, threads).line) for name in rivals}
    hot = in_new_process(hot_seconds, answer["setup"], answer["code"])
    cold = in_new_process(cold_seconds, answer["setup"], lines)
    here = environment()
    return Pasted(
        batch=batch,
        dim=dim,
        dtype=dtype,
        threads=threads,
        machine=here.machine,
        commit=here.commit,
        use=answer["use"],
        line=answer["code"],
        stated=pick["seconds"],
        interval=(pick["low"], pick["high"]),
        hot=hot,
        cold={name: float(f"{seconds:.4g}") for name, seconds in cold.items()},
        choose_seconds=round(taken, 2),
    )


def _namespace(setup: str) -> dict[str, Any]:
    """Return the names that the setup defines."""
    names: dict[str, Any] = {}
    exec(setup, names)
    return names


def hot_seconds(setup: str, line: str) -> float:
    """Return the seconds of a call of `line` with hot caches, by timeit.

    It is the median of the samples that were taken while the processor was quiet or, if there are too few, of all.
    """
    timer = timeit.Timer(line, globals=_namespace(setup))
    timer.timeit(2)  # compiles or loads compiled code
    number = max(1, round(SAMPLE_SECONDS / min(timer.repeat(5, number=1))))
    timer.timeit(number)
    every: list[float] = []
    quiet: list[float] = []
    end = time.perf_counter() + MOST_SECONDS
    while len(every) < FEWEST or (len(quiet) < SAMPLES and time.perf_counter() < end):
        before = is_quiet()
        timer.timeit(2)  # the caches are warm again after the pause
        every.append(timer.timeit(number) / number)
        if before and is_quiet(after_threads=True):
            quiet.append(every[-1])
    return float(np.median(quiet if len(quiet) >= FEWEST else every))


def cold_seconds(setup: str, lines: Mapping[str, str]) -> dict[str, float]:
    """Return the median of single calls of each line. 64 MB are touched before each call."""
    names, touched = _namespace(setup), np.zeros(TOUCHED)
    timers = {name: timeit.Timer(line, globals=names) for name, line in lines.items()}
    for timer in timers.values():
        timer.timeit(2)
    samples: dict[str, list[float]] = {name: [] for name in timers}
    rng = np.random.default_rng(0)
    for _ in range(COLD_CALLS):
        for name in rng.permutation(list(timers)):
            touched += 1
            samples[name].append(timers[name].timeit(1))
    return {name: float(np.median(taken)) for name, taken in samples.items()}


def rows(cells: Sequence[Pasted]) -> Iterator[list[str]]:
    """Yield the rows of the table: for each number of threads and dtype, and for all cells."""
    groups: dict[str, list[Pasted]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.threads, cell.dtype)):
        groups.setdefault(f"{format_count(cell.threads, 'thread')}, {cell.dtype}", []).append(cell)
    groups["all"] = list(cells)
    for title, group in groups.items():
        over = np.percentile([cell.hot / cell.stated for cell in group], (5, 50, 95))
        cold = [cell.cold_ratio for cell in group]
        yield [
            title,
            str(len(group)),
            f"{np.mean([cell.right for cell in group]):.0%}",
            f"{np.median([cell.interval[1] / cell.interval[0] for cell in group]):.1f}",
            " / ".join(f"{ratio:.2f}" for ratio in over),
            f"{np.median([cell.choose_seconds for cell in group]):.1f} s",
            f"{np.mean([ratio <= 1 + TOLERANCE for ratio in cold]):.0%}",
            f"{max(cold):.2f}",
        ]


def block(cells: Sequence[Pasted] | None = None) -> str:
    """Return the table as Markdown, by default of the cells that are kept."""
    cells = kept.read(RESULTS, Pasted) if cells is None else cells
    headings = (
        "cells", "number", "time as stated", "end / beginning of the range", "measured / stated (5, 50, 95 %)",
        "`choose` takes", "cold: pick within 10 % of the fastest", "cold: at worst",
    )  # fmt: skip
    return table(headings, rows(cells)) + paragraph(
        f"As stated: within the stated range, or within {TOLERANCE:.0%} of the stated time. Cold: 64 MB are touched "
        f"before each call, and the pick is compared with up to {RIVALS} others. Machine: {cells[-1].machine}."
    )


@click.command()
@click.option("--every", type=click.IntRange(min=1), default=1, help="Only every n-th cell.")
def main(every: int) -> None:
    """Measure the cells, and replace the kept results. After Ctrl-C, the earlier results stay."""
    threads = dict.fromkeys((1, min(default_threads(), available_cores())))
    cells = list(itertools.product(SHAPES, DTYPES, threads))[::every]
    kept.replace(RESULTS, _measured(cells))


def _measured(cells: Sequence[tuple[tuple[int, int], str, int]]) -> Iterator[Pasted]:
    for number, ((batch, dim), dtype, threads) in enumerate(cells, start=1):
        cell = measure_cell(batch, dim, dtype, threads)
        about = f"{batch}×{dim} {dtype}, {format_count(threads, 'thread')}: {cell.use}, {cell.stated:.3g} s stated"
        click.echo(f"{number}/{len(cells)} {about}, {cell.hot:.3g} s taken, cold {cell.cold_ratio:.2f}", err=True)
        yield cell


if __name__ == "__main__":
    main()
