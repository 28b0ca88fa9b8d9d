"""What `compare` says of three copies of one kernel: *one*, *again*, and *slower*, which waits after each call.

``python docs/twins.py numba_simd`` prints it as JSON, for docs/verdicts.py: the cells of `softmax-impls compare` in the
same time, with the copies in the place of the fastest two implementations. *slower* waits for 5 % of what each call
took; what it really waited is measured. All three look at the clock alike.
"""

from __future__ import annotations

import itertools
import json
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import click
import numpy as np

from softmax_impls.choice import ranking
from softmax_impls.choice.ranking import Ranked
from softmax_impls.implementation import Array, BoundCall, Implementation
from softmax_impls.registry import describe, implementations
from softmax_impls.timing import environment, workloads
from softmax_impls.timing.entry import DROPPED
from softmax_impls.timing.session import Row, Session
from softmax_impls.timing.statistics import quiet_ratio, stand
from softmax_impls.timing.workloads import Cell

BUDGET = 60.0  # seconds, the default of `compare`
TWINNED = ("numba_simd", "numba_rows")  # the fastest nearly everywhere
ONE, AGAIN, SLOWER = "one", "again", "slower"
DELAY = 0.05  # of each call's own time
TICK = min(timeit.repeat(time.perf_counter, number=10_000)) / 10_000  # seconds that a look at the clock takes


@dataclass
class Twin:
    """A kernel that waits after each call for a part of the time that the call took.

    Attributes
    ----------
    kernel : callable
    delay : float
        That part.
    spent : dict
        For each shape and dtype, the seconds in the kernel and those after it, all calls together.
    """

    kernel: Callable[[Array, Array, Array], None]
    delay: float
    spent: dict[tuple[int, int, str], list[float]] = field(default_factory=dict)

    def bind(self, probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
        """Return a call on these arrays."""
        result = np.empty_like(probs) if out is None else out
        kernel, delay, now = self.kernel, self.delay, time.perf_counter
        early = TICK / 2 if delay else 0.0  # the last look at the clock is late by half a one
        spent = self.spent.setdefault((*probs.shape, probs.dtype.name), [0.0, 0.0])

        def call() -> None:
            begin = now()
            kernel(probs, grad_output, result)
            end = now()
            until = end + delay * (end - begin) + early
            while (last := now()) < until:
                pass
            spent[0] += end - begin
            spent[1] += last - end

        return call, lambda _: result

    def waited(self, cell: Cell) -> float:
        """Return the time after calls as a part of that in them."""
        inside, after = self.spent[cell.rows, cell.classes, cell.dtype]
        return after / inside


def twins(name: str, budget: float = BUDGET) -> Iterator[Row]:
    """Yield what is said of the twins of an implementation, in each cell of a comparison that they take part in."""
    usable = implementations()
    original = usable[name]
    copies = {key: Twin(original.kernel, DELAY * (key == SLOWER)) for key in (ONE, AGAIN, SLOWER)}
    others = {key: one for key, one in usable.items() if key not in TWINNED}
    ours = {key: _record(original, key, twin) for key, twin in copies.items()}
    session = Session({**ours, **others}, budget, environment.largest_temporaries())
    session.prepare(["float32", "float64"])
    found = {}
    for cell, rows in itertools.chain(session.run(default_cells()), session.settle()):
        if isinstance(rows, str):  # `compare` would say so
            click.echo(f"{cell} not measured: {rows}", err=True)
        else:
            found[cell] = rows  # in place of those of an earlier visit
    for cell, rows in found.items():
        told = ranking.rank(rows, cell)
        yield {
            "cell": str(cell),
            "seconds": told.rows[ONE]["seconds"],
            "rounds": len(told.rows[ONE]["samples"]),
            "delay": copies[SLOWER].waited(cell) - copies[ONE].waited(cell),
            "noise": told.noise,
            AGAIN: between(told, AGAIN),
            SLOWER: between(told, SLOWER),
        }


def default_cells() -> list[Cell]:
    """Return the cells of `softmax-impls compare`."""
    chosen = workloads.chosen((), ())
    return [Cell(one.name, one.rows, one.classes, dtype, 1) for one in chosen for dtype in ("float32", "float64")]


def between(told: Ranked, other: str) -> Row:
    """Return what would be said of two twins if nothing in the cell were faster than they are."""
    kept = {name: row["samples"] for name, row in told.rows.items() if row["samples"]}
    pair = {name: kept.pop(name) for name in (ONE, other)}
    rounds = len(pair[ONE])
    best = pair[stand(pair).best]
    behind = {
        name: samples[:rounds]
        for name, samples in kept.items()
        if name not in (AGAIN, SLOWER) and quiet_ratio(samples, best).value > 1
    }
    assert told.standing is not None  # they have samples
    # A twin may have been dropped as well, for something that is faster than both, and so is not here.
    dropped = [name for name in behind if told.rows[name]["status"] == DROPPED]
    visits = max((row["visits"] for row in told.rows.values()), key=sum)
    found = stand({**pair, **behind}, told.standing.margin, dropped, visits)
    (second,) = set(pair) - {found.best}
    ratio = found.ratios[second]
    interval = [float(f"{one:.5g}") for one in (ratio.value, ratio.low, ratio.high)]
    return {"best": found.best, "interval": interval, "margin": found.margin, "tie": second in found.ties}


def _record(original: Implementation, name: str, twin: Twin) -> Implementation:
    return describe(
        original.kernel,
        name=name,
        accurate_for=original.accurate_for,
        temporaries=original.temporaries,
        threaded=original.threaded,
        bind=twin.bind,
    )


@click.command()
@click.argument("name", type=click.Choice(TWINNED))
@click.option("--budget", default=BUDGET, show_default=True, help="Seconds for all cells.")
def main(name: str, budget: float) -> None:
    """Print what is said of the twins of an implementation, as JSON."""
    click.echo(json.dumps(list(twins(name, budget))))


if __name__ == "__main__":
    main()
