"""A run of `softmax-impls compare`: open the results, measure the cells, rank them, and draw the winners."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from softmax_impls.choice.coverage import recommend, rejected
from softmax_impls.choice.ranking import Ranked, rank_all
from softmax_impls.formatting import format_count
from softmax_impls.report.style import save
from softmax_impls.report.terminal.cells import exclusions, first_calls
from softmax_impls.report.terminal.console import console, progress
from softmax_impls.report.terminal.tables import failures
from softmax_impls.report.winners_map import winners_map
from softmax_impls.results import store
from softmax_impls.timing.environment import environment, fingerprint
from softmax_impls.timing.records import Cell
from softmax_impls.timing.session import Session, Skipped
from softmax_impls.timing.workloads import CellKey

PICTURE = "winners.png"


class Comparison:
    """The cells to measure, and the results after `open` and `run`."""

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
            steps = session.planned_steps(keys)
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
                    store.append(self.results, outcome.cell)
                    self.done[outcome.cell.key] = outcome.cell
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
