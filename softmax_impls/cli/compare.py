"""The command ``softmax-impls compare``: open the results, measure the cells, rank them, and draw the winners."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict

from softmax_impls.choice.coverage import recommend, rejected
from softmax_impls.choice.ranking import Ranked, rank_all
from softmax_impls.cli import options
from softmax_impls.formatting import format_count
from softmax_impls.report.figures import winners_map
from softmax_impls.report.style import save
from softmax_impls.report.terminal.cells import comparison_tables, exclusions, first_calls
from softmax_impls.report.terminal.console import console, kernels_to_stderr, print_json, print_lines, progress
from softmax_impls.report.terminal.tables import failures
from softmax_impls.results import store
from softmax_impls.timing import workloads
from softmax_impls.timing.environment import environment, fingerprint, largest_temporaries
from softmax_impls.timing.records import Cell
from softmax_impls.timing.session import Session, Skipped, plan
from softmax_impls.timing.workloads import GRID, WORKLOADS, CellKey

PICTURE = "winners.png"
MAX_ARRAY_BYTES = 2e9


@click.command()
@options.several(
    "--workload",
    "names",
    "NAME",
    click.Choice([*WORKLOADS, GRID]),
    f"Only these shapes: {', '.join(WORKLOADS)}, {GRID} (batch and dim in powers of 16). By default, all.",
)
@options.several(
    "--batch", "batches", "B", options.SIZE, "With --dim: your own shapes. Without --workload, only these are timed."
)
@options.several("--dim", "dims", "D", options.SIZE, "For example 10,1000.")
@options.several("--dtype", "dtypes", "DTYPE", click.Choice(options.DTYPES), "Of the computation.", options.DTYPES)
@options.several(
    "--threads", "threads", "N", options.SIZE, "Threads that each implementation may use, for example 1,2.", ["1"]
)
@options.impl
@options.peers
@click.option(
    "--budget", type=options.Number(1, 1e6), default=60.0, metavar="SECONDS", help="Time for the whole comparison."
)
@click.option(
    "--max-memory",
    type=options.size_in_bytes,
    metavar="SIZE",
    help="Temporary memory that an implementation may use, like 8GB. By default 4GB, or half of the free memory.",
)
@options.output(f"{store.FILE} and {PICTURE}")
@click.option("--resume", is_flag=True, help="Continue with the results in the folder: measure the missing cells.")
@click.option("--details", is_flag=True, help="Show every implementation of every cell.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the inputs and orders.")
@options.as_json
def compare(
    names: list[str],
    batches: list[int],
    dims: list[int],
    dtypes: list[str],
    threads: list[int],
    specs: tuple[str, ...],
    peers: bool,
    budget: float,
    max_memory: int | None,
    output: Path,
    resume: bool,
    details: bool,
    seed: int,
    as_json: bool,
) -> int:
    """Time the implementations on the shapes of real models, and recommend an implementation.

    Each implementation is checked first, and its result is verified again on the arrays that it is timed on. The
    results and a map of the fastest implementations are written to a folder. Ctrl-C keeps the finished cells;
    --resume continues from there. Exit status 1 if an implementation is wrong, or if no cell could be measured.

    \b
    Examples:
      softmax-impls compare
      softmax-impls compare --workload imagenet,gpt2 --dtype float32
      softmax-impls compare --batch 1,64 --dim 1000 --impl mypackage.kernels:my_backward --budget 10
      softmax-impls compare --resume --budget 120
    """  # noqa: D301
    usable, unusable = options.select(specs, peers)
    session = Session(usable, budget, largest_temporaries() if max_memory is None else max_memory, seed)
    comparison = Comparison(session, _keys(names, batches, dims, dtypes, threads), output)
    try:
        comparison.open(resume)
    except (OSError, store.ResultsError) as error:
        raise click.BadParameter(str(error), param_hint="--resume" if resume else "--output") from None
    with kernels_to_stderr():
        comparison.run()
    notes = [f"{name} not available: {why}" for name, why in unusable.items()] + comparison.notes()
    if as_json:
        print_json(comparison.as_dict() | {"notes": notes})
    else:
        for table in comparison_tables(comparison.ranked, details):
            console().print(table)
        cells = f"{format_count(len(comparison.ranked), 'cell')} in {comparison.seconds:.0f} s"
        files = f"{comparison.results}, {comparison.picture}"
        print_lines([*notes, "", *comparison.recommendation(), "", f"{cells}; {files}"])
    return comparison.exit_status()


def _keys(
    names: list[str], batches: list[int], dims: list[int], dtypes: list[str], threads: list[int]
) -> list[CellKey]:
    """Return the cells to measure, without repetitions."""
    if bool(batches) != bool(dims):
        raise click.UsageError("--batch and --dim must be given together")
    options.check_threads(max(threads))
    shapes = [(batch, dim) for batch in batches for dim in dims]
    if any(batch * dim * 8 > MAX_ARRAY_BYTES for batch, dim in shapes):
        raise click.UsageError("--batch × --dim: an array would take more than 2 GB")
    keys = (
        CellKey(name, batch, dim, dtype, number)
        for number in threads
        for name, batch, dim in workloads.select(names, shapes)
        for dtype in dtypes
    )
    return list(dict.fromkeys(keys))


class Comparison:
    """A run: the cells to measure, and, after `open` and `run`, the results."""

    def __init__(self, session: Session, keys: Sequence[CellKey], folder: Path) -> None:
        self.session, self.keys = session, keys
        self.results, self.picture = folder / store.FILE, folder / PICTURE
        self.done: dict[CellKey, Cell] = {}  # all measured cells, also of the run that is resumed
        self.ranked: list[Ranked] = []  # the measured cells among `keys`
        self.problems: list[str] = []  # a line for each cell that was skipped, and for the picture
        self.interrupted = False  # by Ctrl-C
        self.seconds = 0.0  # duration of the run

    def open(self, resume: bool) -> None:
        """Load the results to resume, or rename them; raises OSError or ResultsError if that is not possible."""
        self.results.parent.mkdir(parents=True, exist_ok=True)
        if resume:
            sources = {name: fingerprint(impl.kernel) for name, impl in self.session.implementations.items()}
            cells = store.continue_from(self.results, environment(), self.session.seed, sources)
            self.done = {cell.key: cell for cell in cells}
            store.write(self.results, cells)
        else:
            if self.results.exists() and self.results.stat().st_size:
                self.results.replace(self.results.with_suffix(".previous.jsonl"))
            self.results.touch()

    def run(self) -> None:
        """Measure the missing cells, rank all, and draw the winners. Ctrl-C ends the measurement."""
        start = time.perf_counter()
        try:
            self._measure([key for key in self.keys if key not in self.done])
        except KeyboardInterrupt:
            self.interrupted = True
        if self.done:
            store.write(self.results, self.done.values())  # each cell once, also if it was measured again
        self.ranked = rank_all(self.done[key] for key in self.keys if key in self.done)
        self.seconds = time.perf_counter() - start
        if self.ranked:
            try:
                save(winners_map(self.ranked), self.picture)
            except OSError as error:
                self.problems.append(f"{self.picture} can't be written: {error}")

    def _measure(self, keys: Sequence[CellKey]) -> None:
        session, screen = self.session, console(stderr=True, min_width=0)
        if not screen.is_terminal:
            screen.print(f"comparing {format_count(len(keys), 'cell')} in about {session.budget:g} s")
        with progress(screen) as bar:
            steps = len(plan(keys))
            task = bar.add_task("compiling and checking", total=steps, left="")
            bar.refresh()

            def starting(key: CellKey) -> None:
                left = f"at most {session.seconds_left:.0f} s left"
                bar.update(task, description=str(key), left=left, refresh=True)

            session.prepare(sorted({key.dtype for key in self.keys}))
            for step, outcome in enumerate(session.run(keys, starting), start=1):
                if isinstance(outcome, Skipped):
                    self.problems.append(f"{outcome.key} not measured: {outcome.why}")
                else:
                    store.append(self.results, outcome)
                    self.done[outcome.key] = outcome
                bar.update(task, completed=min(step, steps))

    def exit_status(self) -> int:
        """Return 130 after Ctrl-C, and 1 if an implementation is wrong or nothing is ranked."""
        wrong = rejected(self.ranked) or any(not verdict.right for verdict in self.session.verdicts.values())
        return 130 if self.interrupted else 1 if wrong or not self.ranked else 0

    def recommendation(self) -> list[str]:
        """Return sentences that say which implementation to use."""
        return recommend(self.ranked, {name: impl.family for name, impl in self.session.implementations.items()})

    def notes(self) -> list[str]:
        """Return lines about first calls, and about implementations and cells that were left out."""
        lines = [*first_calls(self.ranked), *exclusions(self.ranked), *self.problems]
        if not self.ranked:
            lines += failures(self.session.verdicts.values())
        if self.interrupted:
            done = f"{len(self.ranked)} of {format_count(len(self.keys), 'cell')} are measured"
            lines.append(f"Interrupted: {done}. To continue, run the same command with --resume.")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the results with types that JSON has."""
        return {
            "cells": [cell.as_dict() for cell in self.ranked],
            "recommendation": self.recommendation(),
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "results": str(self.results),
            "picture": str(self.picture),
            **asdict(environment()),
        }
