"""One run of `softmax-impls compare`: store opened or continued, cells measured, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softmax_impls.choice import ranking
from softmax_impls.choice.ranking import Ranked
from softmax_impls.report import plots
from softmax_impls.report.terminal import tables
from softmax_impls.report.terminal.console import console, progress
from softmax_impls.results import store
from softmax_impls.timing import environment
from softmax_impls.timing.plan import turns
from softmax_impls.timing.session import Row, Session, fingerprint
from softmax_impls.timing.workloads import Cell

FOLDER = "softmax-impls-report"  # where store go, unless told otherwise
PICTURE = "winners.png"


@dataclass
class Comparison:
    """What is compared, where it is kept, and, after `run`, what came of it.

    Attributes
    ----------
    session : Session
        Those that take part, and the time there is.
    unavailable : mapping
        Those that can't, with why.
    cells : sequence of Cell
        What is to be measured.
    folder : Path
        Where the store and the picture go.
    done : dict
        The rows of each cell that is measured.
    skipped : dict
        Why the others are not.
    interrupted : bool
        Whether Ctrl-C ended it.
    seconds : float
        What it took.
    """

    session: Session
    unavailable: Mapping[str, str]
    cells: Sequence[Cell]
    folder: Path
    warnings: list[str] = field(default_factory=list, init=False)
    done: dict[Cell, list[Row]] = field(default_factory=dict, init=False)
    skipped: dict[Cell, str] = field(default_factory=dict, init=False)
    interrupted: bool = field(default=False, init=False)
    seconds: float = field(default=0.0, init=False)

    @property
    def store(self) -> Path:
        """The file of raw store."""
        return self.folder / store.FILE

    def open(self, resume: bool) -> None:
        """Make the folder ready, and take up the cells that are done already; else keep older store aside.

        Raises
        ------
        OSError
            If the folder can't be written.
        ResultsError
            If its store can't be continued.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume:
            now = {"machine": environment.machine(), "versions": environment.versions(), "seed": self.session.seed}
            sources = {name: fingerprint(one.kernel) for name, one in self.session.implementations.items()}
            self.done = store.continued(self.results, now, sources)
            store.write(self.results, self.done.values())
        else:
            if self.results.exists() and self.results.stat().st_size:
                self.results.replace(self.results.with_suffix(".previous.jsonl"))
            self.results.touch()

    def run(self) -> None:
        """Measure what is missing; Ctrl-C ends it with what there is."""
        start, session = time.perf_counter(), self.session
        todo = [cell for cell in self.cells if cell not in self.done]
        screen = console(stderr=True, narrowest=0)
        if not screen.is_terminal:
            screen.print(f"comparing {tables.count(len(todo), 'cell')} in about {session.budget:g} s")
        with progress(screen) as bar:
            task = bar.add_task("compiling and checking", total=len(turns(todo)), left="")
            bar.refresh()

            def starting(cell: Cell) -> None:
                bar.update(task, description=str(cell), left=f"at most {session.left:.0f} s left", refresh=True)

            try:
                session.prepare(sorted({cell.dtype for cell in self.cells}))
                for cell, rows in session.run(todo, starting):
                    self._keep(cell, rows)
                    bar.advance(task)
                for cell, rows in session.settle(starting):
                    self._keep(cell, rows)
            except KeyboardInterrupt:
                self.interrupted = True
        if self.done:
            store.write(self.results, self.done.values())  # cells that were visited again are there once for each
        self.seconds = time.perf_counter() - start
        if self.ranked:
            try:
                plots.winners(self.ranked, self.folder / PICTURE)
            except OSError as error:
                self.warnings.append(f"{self.folder / PICTURE} can't be written: {error}")

    def _keep(self, cell: Cell, rows: list[Row] | str) -> None:
        if isinstance(rows, str):
            self.skipped[cell] = rows
        else:
            store.append(self.results, rows)
            self.done[cell] = rows

    @property
    def ranked(self) -> list[Ranked]:
        """The cells that were asked for and are done, ranked."""
        return ranking.rank_all({cell: self.done[cell] for cell in self.cells if cell in self.done})

    @property
    def wrong(self) -> bool:
        """Whether any implementation gave a wrong result or failed."""
        return any(ranking.is_wrong(row) for one in self.ranked for row in one.rows.values()) or any(
            not verdict.right for verdict in self.session.verdicts.values()
        )

    @property
    def rule(self) -> list[str]:
        """Which one to use, in words."""
        return ranking.rule(self.ranked, {name: one.family for name, one in self.session.implementations.items()})

    @property
    def notes(self) -> list[str]:
        """What else there is to know, a line each."""
        lines = [
            *(f"{name} not available: {why}" for name, why in self.unavailable.items()),
            *tables.first_calls(self.ranked),
            *tables.left_out(self.ranked),
            *(f"{cell} not measured: {why}" for cell, why in self.skipped.items()),
            *self.warnings,
        ]
        if not self.ranked:
            lines += tables.failures(self.session.verdicts.values())
        if self.interrupted:
            done = f"{len(self.ranked)} of {len(self.cells)} cells are done"
            lines.append(f"Interrupted: {done}; --resume goes on from there.")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "cells": [one.as_dict() for one in self.ranked],
            "rule": self.rule,
            "notes": self.notes,
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "results": str(self.results),
            "picture": str(self.folder / PICTURE),
            "machine": environment.machine(),
            "versions": environment.versions(),
            "commit": environment.commit(),
        }
