"""The results of tools/out_of_memory.py, and the block of docs/beyond-one-machine.md that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import kept
from markdown import paragraph, table
from msgspec import Struct

from softmax_impls.formatting import format_bytes, format_seconds

RESULTS = kept.MEASUREMENTS / "out_of_memory.jsonl"
CLASSES = 32768
CHUNKS = {"whole rows": (512, CLASSES), "divided rows": (2048, CLASSES // 4)}  # 64 MiB of float32 each
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
    cpu: float = 0.0  # seconds of processor time, of the worker and of this process with the scheduler

    @property
    def identity(self) -> tuple[str, str, str]:
        """What later runs must have in common with an earlier one to replace it."""
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
    """Return the block of docs/beyond-one-machine.md."""
    memory = [run for run in runs if run.kind == "memory"]
    lines = [
        [
            run.chunks, format_bytes(run.bytes), run.by, format_seconds(run.seconds),
            " · ".join(map(format_bytes, run.peaks)), run.digest[:8],
        ]
        for run in memory
    ]  # fmt: skip
    headings = ["chunks", "logits", "computed by", "time", "peak memory of each worker", "hash of the result"]
    shapes = " or ".join("×".join(map(str, shape)) for shape in CHUNKS.values())
    described = f"Rows of {CLASSES} classes in chunks of 64 MiB, {shapes}. Machine: {memory[0].machine}."
    return table(headings, lines) + paragraph(described) + paragraph(costs(runs))


def costs(runs: list[Run]) -> str:
    """Return the costs of scheduling and of threads in words."""
    found = {kind: pairs(runs, kind, "1 worker", "without Dask") for kind in CHUNKS}
    scheduling = ", and ".join(
        f"{median([a.cpu / b.cpu for a, b in of_kind]):.2f} times the processor time and "
        f"{median([a.seconds / b.seconds for a, b in of_kind]):.2f} times the time with {kind}"
        for kind, of_kind in found.items()
    )
    threads = median([a.seconds / b.seconds for a, b in pairs(runs, "whole rows", *CALLS)])
    return (
        f"Compared with a process that computes the same chunks without Dask, a worker takes {scheduling} (medians of "
        f"{len(found['whole rows'])} pairs; the scheduler's processor time is included). In a worker with as many "
        f"threads as processors, calls in one thread take {threads:.2f} times the time of calls in all threads."
    )


def pairs(runs: list[Run], rows: str, of: str, to: str) -> list[tuple[Run, Run]]:
    """Return the runs of two sides, round by round."""
    sides = [[run for run in runs if run.chunks == rows and run.by == by] for by in (of, to)]
    return list(zip(*sides, strict=True))
