"""The results of tools/out_of_memory.py, and the block of docs/beyond-one-machine.md that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import kept
from markdown import paragraph, table
from msgspec import Struct

from softmax_impls.formatting import format_bytes, format_seconds
from softmax_impls.timing.statistics import paired_ratio

RESULTS = kept.MEASUREMENTS / "out_of_memory.jsonl"
CLASSES = 32768
CHUNKS = {"whole rows": (512, CLASSES), "divided rows": (2048, CLASSES // 4)}  # 64 MiB of float32 each
WITHOUT_DASK = "without Dask"
SETTINGS: dict[str, dict[str, object]] = {  # of Dask, for the compared workers
    "1 worker": {},
    "1 worker, less monitoring": {
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "500ms",
        "distributed.admin.system-monitor.interval": "5s",
    },
}
HEADINGS = "chunks", "logits", "computed by", "machine", "time", "peak memory of each worker", "hash of the result"
CALLS = ("calls in one thread", "calls in all threads")


class Run(Struct, frozen=True):
    """A computation of the row sums of |gradient|."""

    kind: str  # "memory", "scheduling" or "threads"
    chunks: str
    by: str  # "2 workers", "2 workers, one was killed", …
    bytes: int
    seconds: float
    digest: str  # of the result
    machine: str
    peaks: tuple[int, ...] = ()  # bytes of memory, of each worker
    lost: int = 0  # results of tasks that the killed worker held
    cpu: float = 0.0  # seconds of processor time, of the worker and of the process with the scheduler
    cpu_of_tasks: float = 0.0  # those of them in the worker's threads but its event loop: of tasks and Dask's profiler

    @property
    def identity(self) -> tuple[str, str, str]:
        """The identity of a run: later runs replace earlier runs with the same identity."""
        return self.kind, self.chunks, self.by

    def __str__(self) -> str:
        peaks = " · ".join(map(format_bytes, self.peaks))
        return f"{self.chunks}, {self.by}: {self.seconds:.1f} s, {self.cpu:.1f} s of CPU, {peaks}, {self.digest}"


def read() -> list[Run]:
    """Return the runs that are kept."""
    return kept.read(RESULTS, Run)


def keep(runs: Sequence[Run]) -> None:
    """Keep runs in place of earlier runs of the same computations."""
    measured = {run.identity for run in runs}
    kept.replace(RESULTS, [*(run for run in read() if run.identity not in measured), *runs])


def block(runs: list[Run]) -> str:
    """Return the Markdown for docs/beyond-one-machine.md: tables of the runs and of the costs of Dask."""
    memory = [run for run in runs if run.kind == "memory"]
    lines = [
        [
            run.chunks, format_bytes(run.bytes), run.by, run.machine, format_seconds(run.seconds),
            " · ".join(map(format_bytes, run.peaks)), run.digest[:8],
        ]
        for run in memory
    ]  # fmt: skip
    shapes = " or ".join("×".join(map(str, shape)) for shape in CHUNKS.values())
    described = f"Rows of {CLASSES} classes in chunks of 64 MiB, {shapes}."
    return table(HEADINGS, lines) + paragraph(described) + scheduling(runs) + paragraph(threads(runs))


def scheduling(runs: list[Run]) -> str:
    """Return what a worker costs, compared with a process without Dask."""
    lines = []
    for rows in CHUNKS:
        for by in SETTINGS:
            of, to = zip(*pairs(runs, rows, by, WITHOUT_DASK), strict=True)
            cpu = ratio([run.cpu for run in of], [run.cpu for run in to])
            seconds = ratio([run.seconds for run in of], [run.seconds for run in to])
            outside = median([run.cpu / run.cpu_of_tasks - 1 for run in of])
            lines.append([rows, by, f"{outside:.1%}", cpu, seconds])
    described = "; ".join(
        f"{by}: " + ", ".join(f"`{name}={value}`" for name, value in settings.items())
        for by, settings in SETTINGS.items()
        if settings
    )
    return table(["chunks", "computed by", "outside of tasks", "processor time", "time"], lines) + paragraph(
        "*outside of tasks*: the processor time of the scheduler and of the worker's event loop, relative to that of "
        "the worker's other threads. *processor time* and *time*: compared with a process that computes the same "
        f"chunks without Dask. All are medians of {len(of)} rounds, the last two with confidence intervals of 95 %. "
        f"All processes have the environment variables that Dask gives to workers, as those of malloc. {described}. "
        f"Machine: {of[0].machine}."
    )


def ratio(of: Sequence[float], to: Sequence[float]) -> str:
    """Return the ratio of paired numbers, with a confidence interval."""
    found = paired_ratio(of, to)
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def threads(runs: list[Run]) -> str:
    """Return the cost of threads in words."""
    found = pairs(runs, "whole rows", *CALLS)
    value = median([a.seconds / b.seconds for a, b in found])
    return (
        f"In a worker with as many threads as processors, calls in one thread take {value:.2f} times the time of calls "
        f"in all threads. Machine: {found[0][0].machine}."
    )


def pairs(runs: list[Run], rows: str, of: str, to: str) -> list[tuple[Run, Run]]:
    """Return pairs of runs with the chunks `rows`: for each round, the run computed by `of` and the run by `to`."""
    sides = [[run for run in runs if run.chunks == rows and run.by == by] for by in (of, to)]
    return list(zip(*sides, strict=True))
