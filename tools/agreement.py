"""Do asv, pytest-benchmark and `softmax-impls compare` rank the implementations alike? On this machine, one thread.

``python docs/agreement.py`` measures the cells that all three have, in a clone of this repository, and tells where two
of them contradict each other: each sure, and of the opposite. Needs ``pip install -e '.[dev]'``.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import pandas as pd
from history import run
from rich.console import Console
from rich.table import Table

from softmax_impls.formatting import format_seconds
from softmax_impls.registry import names
from softmax_impls.results.frame import load

ROOT = Path(__file__).parents[1]
SHARED = ("sample-10", "digits", "imagenet")  # workloads that all three have
MARGIN = 1.1  # what medians and fastest samples have to be apart: processes differ by more than samples within one

Cell = tuple[str, str]  # workload, dtype


class Time(NamedTuple):
    """Of a call, in seconds. A median is moved by what disturbs the machine for a while, the fastest sample by less."""

    median: float
    fastest: float

    def surely_less(self, other: Time) -> bool:
        """Whether both are."""
        return self.median * MARGIN < other.median and self.fastest * MARGIN < other.fastest

    def __str__(self) -> str:
        return f"{format_seconds(self.median)}, fastest {format_seconds(self.fastest)}"


Ranking = Mapping[Cell, Mapping[str, Time]]  # by implementation


def measure(clone: Path) -> pd.DataFrame:
    """Run all three in a clone, and return what they found in the cells that they share."""
    python = (sys.executable, "-m")
    commit = run("git", "rev-parse", "HEAD", cwd=clone).strip()
    same = ("--python=same", "--set-commit-hash", commit)
    shared = ",".join(SHARED)
    for tool, arguments in {
        "asv, for its machine file": ("asv", "machine", "--yes"),
        "asv": ("asv", "run", *same, "--record-samples", "--bench", rf"Workload.time_.*'({shared.replace(',', '|')})'"),
        "pytest-benchmark": (
            "pytest",
            "-q",
            "tests/benchmarks/test_backward.py",
            "--benchmark-enable",
            "--benchmark-json=local.json",
        ),
        "compare": ("softmax_impls", "compare", "--workload", shared, "--budget", "60", "--output", "report"),
    }.items():
        click.echo(f"measuring by {tool}", err=True)
        run(*python, *arguments, cwd=clone)
    loaded = load([clone / ".asv" / "results", clone / "local.json", clone / "report"])
    if loaded.problems:
        raise SystemExit("\n".join(loaded.problems))
    frame = loaded.frame
    return frame[frame.workload.isin(SHARED) & (frame.threads == 1) & frame.implementation.isin(names())]


def rankings(frame: pd.DataFrame) -> Mapping[str, Ranking]:
    """Return what each tool found, where the others were as well."""
    found: dict[str, dict[Cell, dict[str, Time]]] = {}
    for (_, _, _), rows in frame.groupby(["workload", "dtype", "implementation"]):
        if rows.tool.nunique() == frame.tool.nunique():
            for one in rows.itertuples():
                cells = found.setdefault(str(one.tool), {})
                time = Time(float(one.median), min(one.samples))  # type: ignore[arg-type]
                cells.setdefault((str(one.workload), str(one.dtype)), {})[str(one.implementation)] = time
    return found


def verdicts(found: Mapping[str, Ranking]) -> Iterator[tuple[Cell, tuple[str, str], dict[str, str]]]:
    """Yield each cell, two implementations, and which one is faster by the tools that are sure of it."""
    for cell, times in next(iter(found.values())).items():
        for one, two in itertools.combinations(sorted(times), 2):
            told = {}
            for tool, ranking in found.items():
                a, b = ranking[cell][one], ranking[cell][two]
                if a.surely_less(b) or b.surely_less(a):
                    told[tool] = one if a.median < b.median else two
            yield cell, (one, two), told


def ranks(found: Mapping[str, Ranking]) -> Table:
    """Return a table: per cell and tool, the implementations from fast to slow."""
    table = Table("cell", "by", "fastest first; = those that it can't tell from the one before")
    for cell in next(iter(found.values())):
        for tool, ranking in found.items():
            ordered = sorted(ranking[cell].items(), key=lambda item: item[1])
            text = ordered[0][0]
            for (_, before), (name, time) in itertools.pairwise(ordered):
                text += (" < " if before.surely_less(time) else " = ") + name
            table.add_row(" ".join(cell), tool, text)
        table.add_section()
    return table


@click.command()
def main() -> None:
    """Measure by all three, print the rankings, and exit with 1 if two contradict each other."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        run("git", "clone", "-q", str(ROOT), str(clone), cwd=ROOT)
        found = rankings(measure(clone))
    console = Console()
    console.print(ranks(found))
    told = list(verdicts(found))
    against = [verdict for verdict in told if len(set(verdict[2].values())) > 1]
    for cell, (one, two), faster in against:
        console.print(f"{' '.join(cell)}: {one} or {two}?", markup=False)
        for tool, name in faster.items():
            times = (f"{other} {found[tool][cell][other]}" for other in (one, two))
            console.print(f"    {tool} says {name}: {'; '.join(times)}", markup=False)
    sure = sum(len(faster) > 1 for _, _, faster in told)
    console.print(
        f"{len(told)} pairs; two tools or more are sure about {sure}, and contradict each other in {len(against)}"
    )
    sys.exit(bool(against))


if __name__ == "__main__":
    main()
