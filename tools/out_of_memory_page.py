"""The results of tools/out_of_memory.py, and the block of docs/beyond-one-machine.md that shows them."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec
from markdown import paragraph, table
from msgspec import Struct

from softmax_impls.formatting import format_bytes, format_seconds

RESULTS = Path(__file__).parents[1] / "measurements" / "out_of_memory.jsonl"
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


def keep(run: Run) -> None:
    """Append a run to the results, and show it."""
    with RESULTS.open("ab") as file:
        file.write(msgspec.json.encode(run) + b"\n")
    peaks = " · ".join(map(format_bytes, run.peaks))
    print(f"{run.chunks}, {run.by}: {run.seconds:.1f} s, {run.cpu:.1f} s of CPU, {peaks}, {run.digest}", flush=True)


def read() -> list[Run]:
    """Return the runs that are kept."""
    return [msgspec.json.decode(line, type=Run) for line in RESULTS.read_bytes().splitlines()]


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
    one = {kind: [(run, other) for run, other in pairs(runs, kind, "1 worker", "without Dask")] for kind in CHUNKS}
    scheduling = ", ".join(
        f"{median([a.cpu / b.cpu for a, b in found]):.2f} times the processor time and "
        f"{median([a.seconds / b.seconds for a, b in found]):.2f} times the time with {kind}"
        for kind, found in one.items()
    )
    threads = median([a.seconds / b.seconds for a, b in pairs(runs, "whole rows", *CALLS)])
    return (
        f"A worker takes {scheduling} of a process that computes the same chunks without Dask (medians of "
        f"{len(one['whole rows'])} pairs; the scheduler's processor time is included). In a worker with as many "
        f"threads as processors, calls in one thread take {threads:.2f} times the time of calls in all threads."
    )


def pairs(runs: list[Run], rows: str, of: str, to: str) -> list[tuple[Run, Run]]:
    """Return the runs of two sides, round by round."""
    sides = [[run for run in runs if run.chunks == rows and run.by == by] for by in (of, to)]
    return list(zip(*sides, strict=True))
