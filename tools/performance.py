"""Measure `softmax` and `softmax_backward` beside other libraries, our textbook kernel and the roofline.

``python tools/performance.py measure`` takes ten minutes, and keeps raw results in measurements/, in a file for each
kind of processor. It needs the peers: ``pip install '.[compare,peers]'``, with CPU builds. ``report`` prints tables of
goals and of the worst cells; tools/performance_page.py makes the document.
"""

from __future__ import annotations

import tempfile
import time
import timeit
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import kept
import numpy as np
import performance_page as page
import performance_rest as rest
from performance_calls import Problem, keys, limit_threads
from performance_goals import LINES
from performance_records import (
    OURS,
    PEERS,
    TORCH,
    TORCH_ALLOCATING,
    Cell,
    Key,
    Record,
    identity,
    read,
    sources,
)

from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import BoundCall
from softmax_impls.timing.disturbance import is_quiet, running_side_by_side
from softmax_impls.timing.environment import environment
from softmax_impls.timing.records import rounded


@dataclass(frozen=True)
class Sampling:
    """How calls are sampled: times, rounds and limits. Each field states its unit and its reason."""

    sample: float = 500e-6  # seconds, at least: short calls are repeated
    warm: float = 1e-3  # seconds of a side's own calls before a sample, so that it finds its data in the caches
    settling: float = 15e-3  # the same on two threads: threads of other libraries spin for milliseconds after a call
    shared_from: int = 10_000  # bytes moved; smaller calls run on one thread in every library
    placed: int = 3  # rounds on one placement of small arrays, which changes times by up to a third
    small: int = 2**22  # bytes moved, up to which arrays are placed anew
    first_look: int = 3  # rounds before peers are left out
    slow: float = 1.5  # ratio to the fastest peer in each of these rounds, from which a peer is left out
    fewest: int = 5  # rounds, even if a cell takes longer than planned
    rounds: tuple[int, int] = (12, 60)  # at least, where the time suffices, and at most
    sampling_share: float = 0.5  # of a cell's time, for samples even if compiling took longer than planned
    wide: float = 1.04  # ratio of the ends of an interval; cells with a wider one are measured further
    ahead: float = 1.2  # lower end of an interval, from which its width does not matter
    beside: float = 0.85  # share of the threads that run at the same time; less in a disturbed round
    base_cost: float = 0.8  # of a cell, in seconds as its bytes; more for settling
    shared_cost: float = 1.5
    byte_cost: float = 15e-9


QUICK = Sampling(sample=100e-6, settling=2e-3, fewest=3, rounds=(3, 4))


@dataclass
class Side:
    """A call, and its samples in seconds."""

    call: Callable[[], Any]
    samples: list[float] = field(default_factory=list)
    number: int = 1  # calls for a sample

    def _time(self) -> float:
        """Return the seconds of the calls of a sample."""
        # To make a Timer takes so long that idle threads fall asleep. So it makes the calls twice.
        timer = timeit.Timer(self.call)
        timer.timeit(self.number)
        return timer.timeit(self.number)

    def calibrate(self, seconds: float) -> None:
        """Choose the number of calls for a sample."""
        while (taken := self._time()) < seconds / 2 and self.number < 10**6:
            self.number *= 2 if taken > seconds / 20 else 8

    def sample(self, warm: float) -> None:
        """Take a sample, after `warm` seconds of the same calls."""
        until = time.perf_counter() + warm
        self.call()
        while time.perf_counter() < until:
            self.call()
        self.samples.append(self._time() / self.number)


class Run:
    """The measurement of one cell: its arrays, and the samples of each side."""

    def __init__(self, key: Key, notes: dict[str, str], sampling: Sampling) -> None:
        self._key, self._notes, self._sampling = key, dict(notes), sampling
        self._problem, self._sides = Problem(key, notes), dict[str, Side]()
        self._rounds, self._disturbed = 0, list[int]()
        self._shared = key.threads > 1 and key.moved_bytes >= sampling.shared_from

    @np.errstate(all="ignore")
    def measure(self, seconds: float) -> Cell:
        """Take rounds for about that many seconds, or until the comparisons are sure."""
        start, sampling = time.perf_counter(), self._sampling
        for name, call in self._problem.calls().items():
            if why := self._failure(name, call):
                self._notes[name] = why
            else:
                self._sides[name] = Side(call[0])
                self._sides[name].calibrate(sampling.sample)
        now, rng = time.perf_counter(), np.random.default_rng(0)
        deadline = max(start + seconds, now + sampling.sampling_share * seconds)
        while self._rounds < sampling.rounds[1]:
            if self._rounds >= sampling.fewest and time.perf_counter() > deadline:
                break
            if self._rounds >= sampling.rounds[0] and self._is_sure():
                break
            self._take_round(rng)
        return self._record()

    def _failure(self, name: str, call: BoundCall) -> str:
        try:
            return "" if self._problem.is_right(name, call) else "its result is wrong"
        except KERNEL_ERRORS as error:
            return one_line(error)

    def _take_round(self, rng: np.random.Generator) -> None:
        sampling = self._sampling
        if self._rounds and self._rounds % sampling.placed == 0 and self._key.moved_bytes <= sampling.small:
            self._problem.place()
            for name, call in self._problem.calls().items():
                if name in self._sides:
                    self._sides[name].call = call[0]
        before = self._is_quiet()
        for name in rng.permutation([name for name in self._sides if name not in self._notes]):
            self._sides[name].sample(sampling.settling if self._shared else sampling.warm)
        if not (before and self._is_quiet()):
            self._disturbed.append(self._rounds)
        self._rounds += 1
        if self._rounds == sampling.first_look:
            self._leave_out_slow_peers()

    def _is_quiet(self) -> bool:
        if not self._shared:
            return is_quiet()
        time.sleep(self._sampling.settling)
        return running_side_by_side(self._key.threads) > self._sampling.beside * self._key.threads

    def _leave_out_slow_peers(self) -> None:
        """Leave out peers that are much slower than the fastest; torch's times are needed for other comparisons."""
        taken = {name: np.array(side.samples) for name, side in self._sides.items() if name in PEERS}
        if taken:
            best = min(taken.values(), key=np.median)
            for name in taken.keys() - {TORCH, TORCH_ALLOCATING}:
                if np.all(taken[name] > self._sampling.slow * best):
                    self._notes[name] = "slower than another peer"

    def _is_sure(self) -> bool:
        found = [pair[0] for line in LINES if (pair := line.compare(self._record()))]
        return all(ratio.low > self._sampling.ahead or ratio.high < self._sampling.wide * ratio.low for ratio in found)

    def _record(self) -> Cell:
        samples = {name: rounded(side.samples) for name, side in self._sides.items()}
        return Cell(self._key, samples, tuple(self._disturbed), self._notes, sources())


def cost(key: Key, sampling: Sampling) -> float:
    """Return a weight: the budget is divided among the cells in proportion to it. Large arrays weigh more."""
    shared = key.threads > 1 and key.moved_bytes >= sampling.shared_from
    return sampling.base_cost + sampling.shared_cost * shared + sampling.byte_cost * key.moved_bytes


def measure(selected: Sequence[Key], budget: float, sampling: Sampling) -> Iterator[Cell]:
    """Measure the selected cells in `budget` seconds, and yield them. Time that is left over goes to later cells."""
    deadline, costs = time.perf_counter() + budget, [cost(key, sampling) for key in selected]
    for threads in sorted({key.threads for key in selected}):
        with limit_threads(threads) as excluded:
            for index, key in enumerate(selected):
                if key.threads == threads:
                    left = max(0.0, deadline - time.perf_counter())
                    yield Run(key, excluded, sampling).measure(left * costs[index] / sum(costs[index:]))


def describe(cell: Cell) -> str:
    """Return a cell's time and ratios for the progress."""
    found = {pair[1]: pair[0].value for line in LINES if (pair := line.compare(cell))}
    ratios = "  ".join(f"{name} {value:.2f}" for name, value in found.items())
    notes = "; ".join(f"{name}: {why}" for name, why in cell.notes.items() if not why.startswith("slower"))
    return f"{cell.key}: {len(cell.samples.get(OURS, ()))} rounds  {ratios}  {notes}"


@click.group()
def main() -> None:
    """Measure how fast the package is, beside other libraries."""


@main.command("measure")
@click.option("--budget", default=340.0, show_default=True, help="Seconds for timing calls, shared by the cells.")
@click.option(
    "--only", metavar="TEXT", multiple=True, help="Only cells with this text in their name, or start or errors."
)
@click.option("--quick", is_flag=True, help="Few rounds, no large arrays; without --output, only print the report.")
@click.option("--output", type=click.Path(path_type=Path), help="The file of results; an interrupted run is continued.")
def measure_command(budget: float, only: Sequence[str], quick: bool, output: Path | None) -> None:
    """Measure what this processor's results file does not have yet, or has from another version of the package."""
    warnings.filterwarnings("error", ".*can't be compiled here")  # another kernel would take the place of numba_simd
    sampling = QUICK if quick else Sampling()
    processor = environment().machine.partition(",")[0]
    with tempfile.TemporaryDirectory() as folder:
        path = output or (Path(folder) if quick else kept.MEASUREMENTS) / f"performance-{processor}.jsonl"
        done = {identity(record): record for record in read(path) if only or record.sources == sources()}
        wanted = [key for key in keys() if not quick or key.moved_bytes <= sampling.small]
        chosen = [key for key in wanted if any(t in str(key) for t in only) or not (only or key in done)]
        kept.replace(path, done.values())
        for number, cell in enumerate(measure(chosen, budget, sampling), start=1):
            _add(path, cell, f"{number}/{len(chosen)} {describe(cell)}")
        for record in rest.measure(done, only, quick):
            _add(path, record, type(record).__name__.lower())
        kept.replace(path, read(path))
        click.echo(page.report(path))


def _add(path: Path, record: Record, text: str) -> None:
    kept.append(path, record)
    click.echo(text, err=True)


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
def report(paths: Sequence[Path]) -> None:
    """Print the goals, the worst cells and other tables; by default, of all processors that were measured."""
    for path in paths or page.files():
        click.echo(page.report(path))


if __name__ == "__main__":
    main()
