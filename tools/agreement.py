"""Check that asv, pytest-benchmark and `softmax-impls compare` rank the implementations alike, on one thread.

``python tools/agreement.py`` measures the workloads that all three tools share, in a clone of this repository. It lists
the pairs of implementations that two tools rank in opposite order, both beyond doubt. It needs
``pip install -e '.[dev]'``.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
from kept import load
from processes import clone, output_of
from rich.console import Console
from rich.table import Table

from softmax_impls.formatting import format_seconds
from softmax_impls.registry import names
from softmax_impls.results.runs import Run
from softmax_impls.timing.workloads import CellKey

SHARED = ("sample-10", "digits", "imagenet")  # workloads that all three tools measure
MARGIN = 1.1  # the ratio of times that is beyond doubt: times differ more between processes than within a process


class Time(NamedTuple):
    """The time of a call, in seconds. Other processes change the median more than the fastest sample."""

    median: float
    fastest: float

    def clearly_less(self, other: Time) -> bool:
        """Whether the median and the fastest sample are both shorter than in `other`, by a factor above `MARGIN`."""
        return self.median * MARGIN < other.median and self.fastest * MARGIN < other.fastest

    def __str__(self) -> str:
        return f"{format_seconds(self.median)}, fastest {format_seconds(self.fastest)}"


Times = Mapping[CellKey, Mapping[str, Time]]  # by implementation


def measure(folder: Path) -> tuple[Run, ...]:
    """Measure with all three tools in a clone."""
    python = (sys.executable, "-m")
    commit = output_of("git", "rev-parse", "HEAD", cwd=folder).strip()
    benchmarks = rf"Workload.time_.*'({'|'.join(SHARED)})'"
    same = ("--python=same", "--set-commit-hash", commit, "--record-samples", "--bench", benchmarks)
    pytest = ("pytest", "-q", "tests/benchmarks/test_backward.py", "--benchmark-enable", "--benchmark-json=local.json")
    compare = ("compare", "--workload", ",".join(SHARED), "--budget", "60", "--output", "report")
    for command in (
        ("asv", "machine", "--yes"),
        ("asv", "run", *same),
        pytest,
        ("softmax_impls", *compare),
    ):
        click.echo(f"measuring: {' '.join(command[:2])}", err=True)
        output_of(*python, *command, cwd=folder)
    return load(folder / ".asv" / "results", folder / "local.json", folder / "report")


def times_by_tool(runs: tuple[Run, ...]) -> dict[str, Times]:
    """Return the times of the kernels that all tools measured, for each tool."""
    times: dict[str, dict[CellKey, dict[str, Time]]] = {}
    for one_run in runs:
        for cell in one_run.cells:
            if cell.workload in SHARED and cell.threads == 1:
                times.setdefault(one_run.tool, {})[cell.key] = {
                    kernel.name: Time(statistics.median(kernel.samples), min(kernel.samples))
                    for kernel in cell.kernels
                    if kernel.ranked and kernel.name in names()
                }
    keys = set.intersection(*(set(cells) for cells in times.values()))
    shared = {key: set.intersection(*(set(cells[key]) for cells in times.values())) for key in keys}
    return {
        tool: {key: {name: cells[key][name] for name in sorted(shared[key])} for key in sorted(keys, key=str)}
        for tool, cells in times.items()
    }


def verdicts(times: Mapping[str, Times]) -> Iterator[tuple[CellKey, tuple[str, str], dict[str, str]]]:
    """Yield each cell and pair of implementations, and the faster of them for each tool that is sure."""
    for key, kernels in next(iter(times.values())).items():
        for first, second in itertools.combinations(kernels, 2):
            faster = {}
            for tool, cells in times.items():
                a, b = cells[key][first], cells[key][second]
                if a.clearly_less(b) or b.clearly_less(a):
                    faster[tool] = first if a.median < b.median else second
            yield key, (first, second), faster


def rankings(times: Mapping[str, Times]) -> Table:
    """Return a table with the ranking of each cell by each tool."""
    table = Table("cell", "tool", "fastest first; = if not clearly slower than the implementation before")
    for key in next(iter(times.values())):
        for tool, cells in times.items():
            ordered = sorted(cells[key].items(), key=lambda item: item[1])
            text = ordered[0][0]
            for (_, before), (name, time) in itertools.pairwise(ordered):
                text += (" < " if before.clearly_less(time) else " = ") + name
            table.add_row(str(key), tool, text)
        table.add_section()
    return table


@click.command()
def main() -> None:
    """Measure with all three tools, print the rankings, and exit with 1 if two tools contradict each other."""
    with clone() as folder:
        times = times_by_tool(measure(folder))
    console = Console()
    console.print(rankings(times))
    pairs = list(verdicts(times))
    contradictions = [pair for pair in pairs if len(set(pair[2].values())) > 1]
    for key, implementations, faster in contradictions:
        console.print(f"{key}: {' or '.join(implementations)}?", markup=False)
        for tool, name in faster.items():
            shown = "; ".join(f"{other} {times[tool][key][other]}" for other in implementations)
            console.print(f"    {tool} says {name}: {shown}", markup=False)
    sure = sum(len(faster) > 1 for _, _, faster in pairs)
    console.print(f"{len(pairs)} pairs. Two tools or more are sure about {sure}; {len(contradictions)} contradictions.")
    sys.exit(bool(contradictions))


if __name__ == "__main__":
    main()
