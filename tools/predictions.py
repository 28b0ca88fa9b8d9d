"""Compare the times and picks that `softmax-impls choose` predicts with measurements of the same shapes.

``python tools/predictions.py run`` measures the shapes of `softmax-impls compare`, and others, twice: how much the two
measurements differ shows how well any prediction can do. ``report`` predicts the times of the other shapes, once from
the shapes of `compare` in the same run and once from those in measurements/results.jsonl, and prints the block of
docs/how-the-numbers-are-made.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click
import kept
import numpy as np
from markdown import paragraph, table

from softmax_impls import implementations
from softmax_impls.choice.answer import PREDICTED, Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.ranking import Ranked, RankedRun, rank, rank_run
from softmax_impls.results import store
from softmax_impls.timing.environment import largest_temporaries
from softmax_impls.timing.policy import DEFAULT
from softmax_impls.timing.session import Session, Skipped
from softmax_impls.timing.workloads import CUSTOM, DTYPES, GRID, WORKLOADS, cell_keys

KNOWN, UNSEEN = kept.MEASUREMENTS / "results.jsonl", kept.MEASUREMENTS / "predictions.jsonl"
SHAPES = [  # batch, dim; none is measured by `compare`
    (1, 100), (1, 3000), (1, 30000), (2, 20), (3, 700), (5, 9000), (8, 50), (10, 128), (12, 2000), (32, 10),
    (32, 1000), (50, 300), (64, 100), (64, 20000), (100, 47), (128, 768), (200, 5000), (300, 33), (500, 1500),
    (700, 80), (1000, 200), (1000, 10000), (2000, 10), (2048, 1024), (3000, 99), (5000, 2000),
]  # fmt: skip
CLOSE = 0.2  # relative difference between a predicted and a measured time
AS_FAST = 1.05  # ratio of the time of the pick to the fastest
GRID_MEASURED = "shapes of compare measured"
TIMES = (
    GRID_MEASURED, "times of", "predictions", "predicted / measured, 5 % to 95 %", f"within {CLOSE:.0%}",
    "within the range", f"measured again: within {CLOSE:.0%}",
)  # fmt: skip
PICKS = GRID_MEASURED, "pick among", "cells", "time / fastest, median", "95 %", f"at most {AS_FAST}"
# Slow kernels are not eliminated after some rounds, so that their times are as good as those of the fastest kernel.
POLICY = dataclasses.replace(DEFAULT, too_slow=math.inf, early_ratio=math.inf, later_ratio=math.inf)


class Prediction(NamedTuple):
    """The predicted time of a kernel with its range, and the measured time."""

    seconds: float
    low: float
    high: float
    measured: float
    before: float  # an earlier measured time; NaN if it was measured once


class Case(NamedTuple):
    """The predictions at a shape for all kernels that may be recommended, and for the pick."""

    made: dict[str, Prediction]
    pick: str

    @property
    def loss(self) -> float:
        """The measured time of the pick over that of the fastest."""
        return self.made[self.pick].measured / min(made.measured for made in self.made.values())


def cases(known: RankedRun, unseen: RankedRun, any_accuracy: bool) -> Iterator[Case]:
    """Yield predictions from the cells in `known` for the cells in `unseen` whose shapes `compare` does not measure.

    A cell is left out if `choose` predicts nothing for it, or if its pick was not ranked there, for example because its
    result was wrong. `any_accuracy` is as in `Question`.
    """
    for cell in (cell for cell in unseen.cells if cell.key.workload == CUSTOM):
        key = cell.key
        before = [rank(earlier) for earlier in unseen.run.earlier.get(key, ())[:1]]
        question = Question(key.batch, key.dim, key.dtype, key.threads, any_accuracy=any_accuracy)
        answer = choose(question, [known], known.run.machine, implementations())
        made = {
            name: Prediction(found.seconds, found.low, found.high, _seconds([cell], name), _seconds(before, name))
            for name, found in answer.candidates.items()
            if answer.allows(found) and cell.ratio(name)
        }
        if answer.basis == PREDICTED and answer.pick and answer.pick.name in made:
            yield Case(made, answer.pick.name)


def _seconds(cells: Sequence[Ranked], name: str) -> float:
    """Return the time of a kernel in `cells[0]`; NaN if there is no cell, or if the kernel is not ranked in it."""
    return cells[0].seconds * cells[0].times_best(name) if cells and cells[0].ratio(name) else math.nan


def block() -> str:
    """Return the Markdown for docs/how-the-numbers-are-made.md: tables of predicted times and of picks."""
    before, run = (rank_run(kept.load(path)[0]) for path in (KNOWN, UNSEEN))
    times, picks = [], []
    for grid, known in (("in the same run", _without_others(run)), ("before", before)):
        accurate, every = (list(cases(known, run, any_accuracy)) for any_accuracy in (False, True))
        if not accurate:
            raise SystemExit(f"the cells measured {grid} predict none of the cells of other shapes in {UNSEEN}")
        predictions = {
            "the pick": [case.made[case.pick] for case in accurate],
            "accurate on saturated rows": [made for case in accurate for made in case.made.values()],
            "all": [made for case in every for made in case.made.values()],
        }
        times += [[grid, kind, *_quality(made)] for kind, made in predictions.items()]
        picks += [[grid, "accurate on saturated rows", *_losses(accurate)], [grid, "all", *_losses(every)]]
    text = f"{len(accurate)} cells of other shapes. Machine: {run.run.machine}."
    return table(TIMES, times) + table(PICKS, picks) + paragraph(text)


def _without_others(run: RankedRun) -> RankedRun:
    """Return the cells of the shapes of `compare`."""
    return dataclasses.replace(run, cells=[cell for cell in run.cells if cell.key.workload != CUSTOM])


def _quality(made: Sequence[Prediction]) -> Iterator[str]:
    seconds, low, high, measured, before = np.array(made).T
    ratios, again = seconds / measured, before / measured
    yield str(len(made))
    yield "{:.2f} to {:.2f}".format(*np.percentile(ratios, (5, 95)))
    yield f"{np.mean(abs(ratios - 1) <= CLOSE):.0%}"
    yield f"{np.mean((low <= measured) & (measured <= high)):.0%}"
    yield f"{np.mean(abs(again[~np.isnan(again)] - 1) <= CLOSE):.0%}" if np.any(before > 0) else "–"


def _losses(found: Sequence[Case]) -> Iterator[str]:
    losses = np.array([case.loss for case in found])
    yield str(len(losses))
    yield from (f"{value:.2f}x" for value in np.percentile(losses, (50, 95)))
    yield f"{np.mean(losses <= AS_FAST):.0%}"


@click.group()
def main() -> None:
    """Measure how good predictions are."""


@main.command()
@click.option("--budget", default=300.0, show_default=True, help="Seconds of each measurement.")
@click.option("--times", default=2, show_default=True, help="Number of measurements of each shape.")
def run(budget: float, times: int) -> None:
    """Measure the shapes of `compare` and the others, and replace the results that are kept."""
    keys = cell_keys([*WORKLOADS, GRID], SHAPES, DTYPES, [1])
    cells = {}
    for number in range(times):
        session = Session(implementations(), budget, largest_temporaries(), policy=POLICY)
        session.prepare(DTYPES)
        for result in session.run(keys, lambda key: click.echo(key, err=True)):
            if isinstance(result, Skipped):
                click.echo(f"{result.key} not measured: {result.why}", err=True)
            else:
                cells[number, result.key] = result
    store.write(UNSEEN, cells.values())


@main.command()
def report() -> None:
    """Print the Markdown that `block` returns for the document."""
    click.echo(block())


if __name__ == "__main__":
    main()
