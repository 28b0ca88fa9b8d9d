"""What it matters where arrays lie: one implementation's time over another's, on many new arrays of the same kind.

``python docs/places.py measure`` measures, and ``python docs/places.py report`` writes docs/how-the-numbers-are-made.md
from the rows that are kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from blocks import replaced

from softmax_impls.implementation import Array
from softmax_impls.registry import implementations
from softmax_impls.timing import environment, workloads
from softmax_impls.timing.entry import Entry, calibrate, sample
from softmax_impls.timing.session import Row
from softmax_impls.timing.statistics import quiet_ratio
from softmax_impls.timing.workloads import CUSTOM, Cell

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "places.jsonl"
PAGE = ROOT / "docs" / "how-the-numbers-are-made.md"
PAIR = ("numba_rows", "numba_simd")
SHAPES = ((128, 10), (16, 256), (16, 4096), (256, 1000), (4096, 256), (16, 65536), (6144, 512), (256, 65536))
DTYPES = ("float32", "float64")
PROCESSES, SETS, ROUNDS = 2, 12, 12
SAMPLE = 3e-4  # seconds
LITTER = 400  # blocks of 48 bytes, at most, that something else takes between two sets


def as_numpy_does(probs: Array, grad_output: Array) -> tuple[Array, Array, Array]:
    """Return arrays where NumPy puts them."""
    return probs.copy(), grad_output.copy(), np.zeros_like(probs)


def as_compare_does(probs: Array, grad_output: Array) -> tuple[Array, Array, Array]:
    """Return arrays where `compare` puts them."""
    return workloads.placed(probs, grad_output, len(probs))


PLACES: dict[str, Callable[[Array, Array], tuple[Array, Array, Array]]] = {
    "numpy": as_numpy_does,
    "compare": as_compare_does,
}


def ratio(arrays: tuple[Array, Array, Array]) -> float:
    """Return the time of one of the pair over the other's on these arrays."""
    entries = [Entry(implementations()[name]) for name in PAIR]
    for entry in entries:
        entry.bound = entry.one.bind_call(*arrays)
        entry.seconds = sample(entry)
        calibrate(entry, SAMPLE)
    for _ in range(ROUNDS):
        for entry in entries:
            entry.samples.append(sample(entry))
    return quiet_ratio(entries[0].samples, entries[1].samples).value


def measure() -> Iterator[Row]:
    """Yield a row for each shape, dtype and kind of place: the ratios on each set of arrays."""
    rng = np.random.default_rng()
    kept: list[Any] = []
    for shape in SHAPES:
        for dtype in DTYPES:
            probs, grad_output, _ = workloads.arrays(Cell(CUSTOM, *shape, dtype, 1), 0)
            for places, place in PLACES.items():
                found = []
                for _ in range(SETS):
                    kept.append(np.zeros(48 * rng.integers(1, LITTER), np.uint8))
                    arrays = place(probs, grad_output)  # while those before are still there, or it gets their memory
                    found.append(float(f"{ratio(arrays):.4g}"))
                yield {"batch": shape[0], "dim": shape[1], "dtype": dtype, "places": places, "ratios": found}


def table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    lines = [
        f"`{PAIR[0]}` over `{PAIR[1]}`:",
        "",
        "| batch×dim | dtype | as NumPy has them | differs by | placed | differs by |",
        "|---|---|---|---|---|---|",
    ]
    for batch, dim in SHAPES:
        for dtype in DTYPES:
            here = [row for row in rows[1:] if (row["batch"], row["dim"], row["dtype"]) == (batch, dim, dtype)]
            told = []
            for places in PLACES:
                logs = np.log([one for row in here if row["places"] == places for one in row["ratios"]])
                told += [f"{np.exp(logs.mean()):.2f}", f"{logs.std(ddof=1):.1%}"]
            lines.append(f"| {batch}×{dim} | {dtype} | {' | '.join(told)} |")
    return "\n".join([*lines, "", f"On a {rows[0]['machine']['cpu']} with {rows[0]['machine']['cores']} cores."]) + "\n"


def read() -> list[Row]:
    """Return what is kept."""
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def page(text: str, rows: Sequence[Row]) -> str:
    """Return the page with the table made anew."""
    return replaced(text, {"places": table(rows)})


@click.group()
def main() -> None:
    """Measure what it matters where arrays lie, and write docs/how-the-numbers-are-made.md."""


@main.command("measure")
def every_process() -> None:
    """Measure, in several processes; takes two minutes."""
    rows: list[Row] = [
        {"machine": environment.machine(), "versions": environment.versions(), "commit": environment.commit()}
    ]
    for number in range(PROCESSES):
        click.echo(f"process {number + 1} of {PROCESSES}", err=True)
        done = subprocess.run(
            [sys.executable, __file__, "here"], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
        )
        rows += map(json.loads, done.stdout.splitlines())
    RESULTS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@main.command(hidden=True)
def here() -> None:
    """Measure in this process, and print the rows."""
    with environment.limit_all_threads(1):
        for row in measure():
            click.echo(json.dumps(row))


@main.command()
def report() -> None:
    """Write the page from the rows that are kept."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read()), encoding="utf-8")


if __name__ == "__main__":
    main()
