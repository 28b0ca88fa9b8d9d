"""Do verdicts hold? `compare` ten times, half of them beside a process that makes load; and twins to tell apart.

``python docs/verdicts.py run`` measures, and ``python docs/verdicts.py report`` writes docs/how-the-numbers-are-made.md
from the rows that are kept. A run is `softmax-impls compare` as it comes, and then docs/twins.py.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
from blocks import replaced

from softmax_impls.timing import environment
from softmax_impls.timing.session import Row

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "verdicts.jsonl"
PAGE = ROOT / "docs" / "how-the-numbers-are-made.md"
BUDGET = 60.0  # the default of `compare`
TWINNED = ("numba_simd", "numba_rows")  # by turns
SHORTEST = 1e-5  # seconds; from there on, the slower one is to be found
SIZES = {"10 to 100 µs": 1e-4, "100 µs to 1 ms": 1e-3, "1 to 10 ms": 1e-2, "longer": float("inf")}
BURSTS = (0.05, 2.0)  # seconds of load, and of none: anything between
BURST_ELEMENTS = 2**23  # 64 MiB, more than caches hold


def compared() -> Iterator[Row]:
    """Yield what `softmax-impls compare` says of each cell."""
    with tempfile.TemporaryDirectory() as folder:
        command = ("-m", "softmax_impls", "compare", "--json", "--budget", str(BUDGET), "--output", folder)
        told = json.loads(_python(*command))
    for cell in told["cells"]:
        timed = {name: one for name, one in cell["implementations"].items() if one["status"] == "timed"}
        yield {
            "cell": "{workload} {batch}×{dim} {dtype}".format(**cell),
            "winners": cell["winners"],
            "noise": cell["noise"],
            "margin": cell["margin"],
            "times": {name: [float(f"{one['seconds']:.4g}"), one["rounds"]] for name, one in timed.items()},
        }


def _python(*arguments: str) -> str:
    done = subprocess.run((sys.executable, *arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


@contextmanager
def neighbour(seed: int) -> Iterator[None]:
    """Have another process copy memory meanwhile, in bursts."""
    process = subprocess.Popen((sys.executable, __file__, "load", str(seed), str(os.getpid())))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(number: int) -> Iterator[Row]:
    """Yield a run's two rows; every second one has a neighbour."""
    loaded, name = number % 2 == 0, TWINNED[(number - 1) // 2 % len(TWINNED)]
    about = {"run": number, "loaded": loaded, "machine": environment.machine(), "commit": environment.commit()}
    with neighbour(number) if loaded else tempfile.TemporaryDirectory():
        yield {"kind": "compare", **about, "cells": list(compared())}
        yield {
            "kind": "twins",
            "of": name,
            **about,
            "cells": json.loads(_python("-m", "docs.twins", name, "--budget", str(BUDGET))),
        }


def read() -> list[Row]:
    """Return the runs that are kept."""
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def contradictions(winners: Sequence[Sequence[str]]) -> tuple[bool, bool]:
    """Whether two runs name one winner each, and not the same; and whether two have no winner or tie in common."""
    pairs = list(itertools.combinations(map(set, winners), 2))
    apart = [(a, b) for a, b in pairs if not a & b]
    return any(len(a) == len(b) == 1 for a, b in apart), bool(apart)


def table(rows: Sequence[Row]) -> list[str]:
    """Return a table in Markdown: what held, in runs with the environment to themselves, beside a neighbour, and in all."""
    lines = [
        f"| runs | cells | with one winner | two winners | none in common | A/A ties | {' | '.join(SIZES)} |",
        f"|{'---|' * (6 + len(SIZES))}",
    ]
    for kind, loads in {"alone": (False,), "beside a load": (True,), "all": (False, True)}.items():
        here = [row for row in rows if row["loaded"] in loads]
        lines.append(f"| {kind}: {len({row['run'] for row in here})} | {' | '.join(_figures(here))} |")
    return lines


def _figures(rows: Sequence[Row]) -> Iterator[str]:
    cells: dict[str, list[Sequence[str]]] = {}
    for cell in (cell for row in rows if row["kind"] == "compare" for cell in row["cells"]):
        cells.setdefault(cell["cell"], []).append(cell["winners"])
    verdicts = list(itertools.chain(*cells.values()))
    yield str(len(verdicts))
    yield _share([len(winners) == 1 for winners in verdicts])
    against = [contradictions(winners) for winners in cells.values()]
    yield from (f"{sum(kind)} of {len(cells)}" for kind in zip(*against, strict=True))
    told = [cell for row in rows if row["kind"] == "twins" for cell in row["cells"]]
    yield _share([tied(cell["again"]) for cell in told])
    least = SHORTEST
    for most in SIZES.values():
        yield _share([found(cell) for cell in told if least <= cell["seconds"] < most])
        least = most


def tied(pair: Row) -> bool:
    """Whether two twins were not told apart."""
    return bool(pair["interval"][1] <= 1 + pair["margin"])


def found(cell: Row) -> bool:
    """Whether the slower twin was called so."""
    return cell["slower"]["best"] == "one" and not tied(cell["slower"])


def _share(verdicts: Sequence[bool]) -> str:
    return f"{np.mean(verdicts):.1%} of {len(verdicts)}" if verdicts else "–"


def block(rows: Sequence[Row]) -> str:
    """Return what the page has from these rows."""
    told = [cell for row in rows if row["kind"] == "twins" for cell in row["cells"]]
    long = [cell for cell in told if cell["seconds"] >= SHORTEST]
    low, usual, high = np.percentile([cell["delay"] for cell in long], (5, 50, 95))
    where = rows[-1]["machine"]
    lines = [
        *table(rows),
        "",
        f"Of calls of {SHORTEST * 1e6:.0f} µs and more, the slower twin was found in {_share(list(map(found, long)))}.",
        f"Their measured delay was {usual:.2%} of the call ({low:.2%} to {high:.2%} in nine cells of ten).",
        f"On a {where['cpu']} with {where['cores']} cores.",
    ]
    return "\n".join(lines) + "\n"


def page(text: str, rows: Sequence[Row]) -> str:
    """Return the page with its block made anew."""
    return replaced(text, {"verdicts": block(rows)})


@click.group()
def main() -> None:
    """Measure whether verdicts hold, and write docs/how-the-numbers-are-made.md."""


@main.command()
@click.option(
    "--times", type=click.IntRange(min=1), default=10, show_default=True, help="Runs; a run takes two minutes."
)
def run(times: int) -> None:
    """Measure, after what is kept already; Ctrl-C keeps the runs that are finished."""
    done = max((row["run"] for row in read()), default=0)
    for number in range(done + 1, done + times + 1):
        click.echo(f"run {number} of {done + times}", err=True)
        try:
            rows = list(measure(number))
        except KeyboardInterrupt:
            raise SystemExit(f"interrupted; {number - 1} runs are kept") from None
        with RESULTS.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n" for row in rows)


@main.command()
def report() -> None:
    """Write the page from the runs that are kept."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read()), encoding="utf-8")


@main.command(hidden=True)
@click.argument("seed", type=int)
@click.argument("parent", type=int)
def load(seed: int, parent: int) -> None:
    """Copy memory in bursts for as long as the parent lives."""
    chance = random.Random(seed)
    source = np.ones(BURST_ELEMENTS)
    target = np.empty_like(source)
    while os.getppid() == parent:
        until = time.perf_counter() + chance.uniform(*BURSTS)
        while time.perf_counter() < until:
            target[:] = source
        time.sleep(chance.uniform(*BURSTS))


if __name__ == "__main__":
    main()
