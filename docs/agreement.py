"""Do asv, pytest-benchmark and `softmax-impls compare` rank the implementations alike? On this machine, one thread.

``python docs/agreement.py`` measures the cells that all three have, in a clone of this repository, and tells where two
of them contradict each other: each sure, and of the opposite. Needs ``pip install -e '.[dev]'``.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from history import cells_of, run
from rich.console import Console
from rich.table import Table

from softmax_impls.backward import names
from softmax_impls.choice import results
from softmax_impls.timing.statistics import median_interval
from softmax_impls.wording import in_seconds

ROOT = Path(__file__).parents[1]
SHARED = ("sample-10", "digits", "imagenet")  # workloads that all three have
SURE = 0.99
MARGIN = 0.05  # what intervals have to be apart, since processes differ by more than samples within one

Cell = tuple[str, str]  # workload, dtype


@dataclass(frozen=True)
class Time:
    """A median, and an interval for it, in seconds."""

    median: float
    low: float
    high: float

    def surely_less(self, other: Time) -> bool:
        """Whether the intervals are apart."""
        return self.high * (1 + MARGIN) < other.low


Ranking = dict[Cell, dict[str, Time]]


def by_compare(clone: Path) -> Ranking:
    """Measure by `softmax-impls compare`."""
    command = ("compare", "--workload", ",".join(SHARED), "--threads", "1", "--budget", "60", "--output", "report")
    run(sys.executable, "-m", "softmax_impls", *command, cwd=clone)
    found: Ranking = {}
    for cell, rows in results.read(clone / "report" / results.FILE).items():
        for row in rows:
            if row["samples"] and not row["control"] and row["implementation"] in names():
                time = Time(float(np.median(row["samples"])), *median_interval(row["samples"], SURE))
                found.setdefault((cell.workload, cell.dtype), {})[row["implementation"]] = time
    return found


def by_pytest(clone: Path) -> Ranking:
    """Measure by pytest-benchmark."""
    command = ("tests/benchmarks/test_backward.py", "--benchmark-enable", "--benchmark-json=local.json", "-q")
    run(sys.executable, "-m", "pytest", *command, cwd=clone)
    found: Ranking = {}
    for one in json.loads((clone / "local.json").read_text(encoding="utf-8"))["benchmarks"]:
        told, samples = one["extra_info"], one["stats"]["data"]
        if told["implementation"] in names():
            time = Time(one["stats"]["median"], *median_interval(samples, SURE))
            found.setdefault((one["params"]["workload"], told["dtype"]), {})[told["implementation"]] = time
    return found


def by_asv(clone: Path) -> Ranking:
    """Measure by asv."""
    asv = (sys.executable, "-m", "asv")
    run(*asv, "machine", "--yes", cwd=clone)
    commit = run("git", "rev-parse", "HEAD", cwd=clone).strip()
    which = rf"Workload.time_.*'({'|'.join(SHARED)})'"
    run(*asv, "run", "--python=same", "--set-commit-hash", commit, "--bench", which, cwd=clone)
    (file,) = (clone / ".asv" / "results").glob("*/*existing*.json")
    found: Ranking = {}
    for row in cells_of(file):
        name, workload, dtype = row["cell"]
        found.setdefault((workload, dtype), {})[name] = Time(row["seconds"], row["low"], row["high"])
    return found


MEASURED_BY = {"asv": by_asv, "pytest-benchmark": by_pytest, "compare": by_compare}


def contradictions(found: Mapping[str, Ranking]) -> Iterator[tuple[Cell, str, str, str, str]]:
    """Yield a cell, two tools, and two implementations: each tool is sure that another one of them is faster."""
    for (a, ranking), (b, other) in itertools.permutations(found.items(), 2):
        for cell in ranking.keys() & other.keys():
            for one, two in itertools.combinations(sorted(ranking[cell].keys() & other[cell].keys()), 2):
                mine, theirs = ranking[cell], other[cell]
                if mine[one].surely_less(mine[two]) and theirs[two].surely_less(theirs[one]):
                    yield cell, a, b, one, two


def ranks(found: Mapping[str, Ranking]) -> Table:
    """Return a table: per cell and tool, the implementations from fast to slow."""
    table = Table("cell", "by", "fastest first; = those that it can't tell from the one before")
    for cell in sorted(set.intersection(*(set(ranking) for ranking in found.values()))):
        for tool, ranking in found.items():
            ordered = sorted(ranking[cell].items(), key=lambda item: item[1].median)
            text = ordered[0][0]
            for (_, before), (name, time) in itertools.pairwise(ordered):
                text += (" < " if before.surely_less(time) else " = ") + name
            table.add_row(" ".join(cell), tool, text)
        table.add_section()
    return table


def compared(found: Mapping[str, Ranking]) -> int:
    """Return how many pairs of implementations at least two tools are sure about."""
    sure = 0
    cells = set.intersection(*(set(ranking) for ranking in found.values()))
    for cell in cells:
        everywhere = set.intersection(*(set(ranking[cell]) for ranking in found.values()))
        for one, two in itertools.combinations(sorted(everywhere), 2):
            told = [
                r[cell][one].surely_less(r[cell][two]) or r[cell][two].surely_less(r[cell][one]) for r in found.values()
            ]
            sure += sum(told) > 1
    return sure


@click.command()
def main() -> None:
    """Measure by all three, print the rankings, and exit with 1 if two contradict each other."""
    found: dict[str, Ranking] = {}
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        run("git", "clone", "-q", str(ROOT), str(clone), cwd=ROOT)
        for tool, measure in MEASURED_BY.items():
            click.echo(f"measuring by {tool}", err=True)
            found[tool] = measure(clone)
    console = Console()
    console.print(ranks(found))
    against = list(contradictions(found))
    for cell, a, b, one, two in against:
        times = "; ".join(
            f"{tool}: {in_seconds(found[tool][cell][one].median)} and {in_seconds(found[tool][cell][two].median)}"
            for tool in found
        )
        console.print(
            f"{' '.join(cell)}: {a} says {one} is faster than {two}, {b} the opposite ({times})", markup=False
        )
    console.print(f"{compared(found)} pairs that two or more are sure about, {len(against)} contradictions")
    sys.exit(bool(against))


if __name__ == "__main__":
    main()
