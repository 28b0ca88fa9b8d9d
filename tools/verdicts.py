"""Do the verdicts of `softmax-impls compare` hold? Run it ten times, half of them beside a process that makes load.

``python tools/verdicts.py`` measures. After each run of `compare`, tools/ab_copies.py compares copies of one kernel.
cog puts `block` into docs/how-the-numbers-are-made.md.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
import kept
import msgspec
import numpy as np
from ab_copies import COPIED, ORIGINAL, Outcome
from markdown import paragraph, table
from msgspec import Struct
from processes import SPAWN, output_of

from softmax_impls.choice.sure import sure_lead
from softmax_impls.timing.environment import environment

RESULTS = kept.MEASUREMENTS / "verdicts.jsonl"
BUDGET = 60.0  # seconds, the default of `compare`
TWO_THREADS = ("--threads", "2", "--workload", "digits,imagenet,attention,bert")  # in half the time
SHORTEST = 1e-5  # seconds; from here on, a slowdown of 5 % has to be found
SIZES = {"10 to 100 µs": 1e-4, "100 µs to 1 ms": 1e-3, "1 to 10 ms": 1e-2, "longer": float("inf")}
LOADS = {"alone": (False,), "beside a load": (True,), "all": (False, True)}
BURSTS = (0.05, 2.0)  # seconds of load, and between loads: anything between
BURST_ELEMENTS = 2**23  # 64 MiB, more than caches hold


class Verdict(Struct, frozen=True):
    """The verdict of `compare` on a cell; for each kernel, the time of a call and the number of rounds."""

    cell: str
    threads: int
    winners: tuple[str, ...]
    sure: bool
    noise: float | None
    margin: float | None
    times: dict[str, tuple[float, int]]


class Run(Struct, frozen=True):
    """The results of one run: the verdicts of `compare`, and the comparison of copies of one implementation.

    `copied` names this implementation. `loaded` is True if a process made load at the same time.
    """

    number: int
    loaded: bool
    machine: str
    commit: str | None
    copied: str
    compared: list[Verdict]
    copies: list[Outcome]
    budget: float = BUDGET  # seconds for the cells of one thread


def compared(budget: float) -> Iterator[Verdict]:
    """Yield the verdicts of `softmax-impls compare`, with one thread and with two."""
    cells = []
    for seconds, options in ((budget, ()), (budget / 2, TWO_THREADS)):
        with tempfile.TemporaryDirectory() as folder:
            command = ("-m", "softmax_impls", "compare", "--json", "--output", folder, "--budget", str(seconds))
            cells += json.loads(output_of(sys.executable, *command, *options))["cells"]
    for cell in cells:
        name = "{workload} {batch}×{dim} {dtype}".format(**cell)
        ranked = {name: kernel for name, kernel in cell["implementations"].items() if kernel["rounds"]}
        times = {kernel: (float(f"{facts['seconds']:.4g}"), facts["rounds"]) for kernel, facts in ranked.items()}
        winners, sure = tuple(cell["winners"]), cell["sure"]
        yield Verdict(name, cell["threads"], winners, sure, cell["noise"], cell["margin"], times)


@contextmanager
def load_beside(seed: int) -> Iterator[None]:
    """Run another process that copies memory in bursts."""
    process = SPAWN.Process(target=load, args=(seed, os.getpid()))
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def load(seed: int, parent: int) -> None:
    """Copy memory in bursts for as long as the parent process lives."""
    chance = random.Random(seed)
    source = np.ones(BURST_ELEMENTS)
    target = np.empty_like(source)
    while os.getppid() == parent:
        until = time.perf_counter() + chance.uniform(*BURSTS)
        while time.perf_counter() < until:
            target[:] = source
        time.sleep(chance.uniform(*BURSTS))


def measure(number: int, budget: float, copies_only: bool) -> Run:
    """Run `compare` and tools/ab_copies.py once, and return the results.

    If `number` is even, another process makes load meanwhile. With `copies_only`, `compare` is not run.
    """
    loaded, copied = number % 2 == 0, COPIED[(number - 1) // 2 % len(COPIED)]
    here = environment()
    with load_beside(number) if loaded else tempfile.TemporaryDirectory():
        verdicts = [] if copies_only else list(compared(budget))
        printed = output_of(sys.executable, "tools/ab_copies.py", copied, "--budget", str(budget))
    outcomes = msgspec.json.decode(printed, type=list[Outcome])
    return Run(number, loaded, here.machine, here.commit, copied, verdicts, outcomes, budget)


def read() -> list[Run]:
    """Return the runs that are kept."""
    return kept.read(RESULTS, Run)


def is_sure(verdict: Verdict) -> bool:
    """Whether `compare` is sure, and the first winner leads by more than `sure.sure_lead`.

    The second rule is applied here because the older kept runs are from versions of `compare` that lacked it.
    """
    if not verdict.sure:
        return False
    winner = verdict.winners[0]
    rivals = [taken for name, taken in verdict.times.items() if name != winner]
    return all(seconds > (1 + sure_lead(rounds)) * verdict.times[winner][0] for seconds, rounds in rivals)


def contradictions(verdicts: Sequence[Verdict]) -> tuple[bool, bool]:
    """Return two answers about verdicts on the same cell: whether two sure verdicts have no common winner, and any two.

    The winners are the fastest kernel and the kernels that tie with it.
    """
    pairs = itertools.combinations(((is_sure(verdict), set(verdict.winners)) for verdict in verdicts), 2)
    apart = [sure and also_sure for (sure, a), (also_sure, b) in pairs if not a & b]
    return any(apart), bool(apart)


def rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    """Yield the rows of the table: runs without load, beside a load, and all; with one thread and with two."""
    for threads, (kind, loads) in itertools.product((1, 2), LOADS.items()):
        chosen = [run for run in runs if run.loaded in loads]
        copies = list(_copies(chosen)) if threads == 1 else ["–"] * (1 + len(SIZES))
        figures = list(_figures(chosen, threads))
        if {*figures, *copies} != {"–"}:
            yield [f"{threads}, {kind}: {len(chosen)}", *figures, *copies]


def _figures(runs: Sequence[Run], threads: int) -> Iterator[str]:
    cells: dict[str, list[Verdict]] = {}
    for verdict in (verdict for run in runs for verdict in run.compared if verdict.threads == threads):
        cells.setdefault(verdict.cell, []).append(verdict)
    verdicts = list(itertools.chain(*cells.values()))
    if not verdicts:
        yield from "––––"
        return
    yield str(len(verdicts))
    yield _share([is_sure(verdict) for verdict in verdicts])
    against = [contradictions(verdicts) for verdicts in cells.values()]
    yield from (f"{sum(kind)} of {len(cells)}" for kind in zip(*against, strict=True))


def _copies(runs: Sequence[Run]) -> Iterator[str]:
    outcomes = [outcome for run in runs for outcome in run.copies]
    yield _share([outcome.copy.tie for outcome in outcomes])
    least = SHORTEST
    for most in SIZES.values():
        yield _share([found(outcome) for outcome in outcomes if least <= outcome.seconds < most])
        least = most


def found(outcome: Outcome) -> bool:
    """Whether `compare` found *slower* to be slower than *original*, and not tied with it."""
    return outcome.slower.best == ORIGINAL and not outcome.slower.tie


def _share(verdicts: Sequence[bool]) -> str:
    return f"{np.mean(verdicts):.1%} of {len(verdicts)}" if verdicts else "–"


def block(runs: Sequence[Run] | None = None) -> str:
    """Return the block of docs/how-the-numbers-are-made.md: a table for each machine and budget of the kept runs."""
    tables: dict[tuple[str, float], list[Run]] = {}
    for run in read() if runs is None else runs:
        tables.setdefault((run.machine, run.budget), []).append(run)
    return "".join(map(_of_runs, tables.values()))


def _of_runs(runs: Sequence[Run]) -> str:
    long = [outcome for run in runs for outcome in run.copies if outcome.seconds >= SHORTEST]
    low, usual, high = np.percentile([outcome.delay for outcome in long], (5, 50, 95))
    headings = ("threads, runs", "cells", "sure", "sure of two", "none in common", "A/A ties", *SIZES)
    return table(headings, rows(runs)) + paragraph(
        f"Of calls of {SHORTEST * 1e6:.0f} µs and more, the slower copy was found in {_share(list(map(found, long)))}. "
        f"Its measured delay was {usual:.2%} of the call ({low:.2%} to {high:.2%} in 90 % of the cells). "
        f"Budget: {runs[-1].budget:.0f} s. Machine: {runs[-1].machine}."
    )


@click.command()
@click.option("--times", type=click.IntRange(min=1), default=10, show_default=True, help="Number of runs.")
@click.option("--fresh", is_flag=True, help="Replace the runs that are kept, instead of adding to them.")
@click.option("--budget", default=BUDGET, show_default=True, help="Seconds for the cells of one thread.")
@click.option("--copies-only", is_flag=True, help="Compare copies of a kernel, not the implementations.")
def main(times: int, fresh: bool, budget: float, copies_only: bool) -> None:
    """Measure whether the verdicts of `compare` hold. Ctrl-C keeps the runs that are finished.

    With the default budget, a run takes two and a half minutes.
    """
    done = 0 if fresh else max((run.number for run in read()), default=0)
    for number in range(done + 1, done + times + 1):
        click.echo(f"run {number} of {done + times}", err=True)
        try:
            measured = measure(number, budget, copies_only)
        except KeyboardInterrupt:
            raise SystemExit(f"interrupted; {len(read())} runs are kept") from None
        if number == 1:  # the earlier runs, if there are any, are replaced now
            kept.replace(RESULTS, [measured])
        else:
            kept.append(RESULTS, measured)


if __name__ == "__main__":
    main()
