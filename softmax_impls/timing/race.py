"""Rounds, until implementations are told apart: who gives a sample when, who leaves, and when it ends.

Each round takes one sample of every implementation still in the race, in a fresh random order, so that whatever slows
the machine down hits all alike. Who is clearly behind leaves, and the time goes to those that are close.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.timing.entry import DROPPED, FAILED, LIMIT, TIMED, Entry, sample, standing

FEWEST_ROUNDS, FIRST_LOOK, MOST_ROUNDS = 3, 12, 400
VISIT_ROUNDS, VISITS = 6, 4  # rounds of a visit, and visits at least, where arrays are placed anew
LAST_DROP = 30  # rounds, after which who is left has come to stay
FAR_ENOUGH = 1.3  # times the leader: no other place of the arrays makes up for that
LIMIT_ROUNDS, CONTROL_ROUNDS = 15, 24  # at least, of those that nobody has to be told apart from
DROP_AFTER = 6  # rounds in each of which one has to have been behind
HOPELESS, HOPELESS_IF_LONG = 2.0, 1.5  # times the leader; the latter where arrays stay
FAR_BEHIND = 2.0  # times the leader: not worth that many rounds, if they are long
LONG = 0.02  # of the cell's time, for all samples so far
SETTLING = 0.015  # seconds of calls before a sample in several threads: until others' have stopped waiting for work


@dataclass(frozen=True)
class Terms:
    """Of a race.

    Attributes
    ----------
    seconds : float
        The cell's.
    deadline : float
        On the clock of `time.perf_counter`.
    threads : int
        The cell's.
    seed : int
        Of the order in a round.
    fewest, most : int
        Rounds.
    by_visit : bool
        Whether visits are noted, and so ratios told by them: where arrays lie matters more than what else goes on.
    """

    seconds: float
    deadline: float
    threads: int
    seed: int
    fewest: int = FEWEST_ROUNDS
    most: int = MOST_ROUNDS
    by_visit: bool = True

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() >= self.deadline

    @property
    def long_over(self) -> bool:
        """Whether it has been for as long as the cell's time: calls are long, or settled before each sample."""
        return time.perf_counter() >= self.deadline + self.seconds


def run(entries: Sequence[Entry], terms: Terms, move: Callable[[], None] | None = None) -> None:
    """Take samples round by round until the implementations are told apart or the time is up.

    With `move`, which places the arrays anew, it is called between visits of a few rounds, and only those that are far
    behind leave: the others are there when the cell is visited again, seconds later.
    """
    if not any(entry.timed for entry in entries):
        return
    rng = np.random.default_rng(terms.seed)
    with _without_garbage_collection():
        if move is None:
            _one_visit(entries, terms, rng)
        else:
            _many_visits(entries, terms, rng, move)


def _one_visit(entries: Sequence[Entry], terms: Terms, rng: np.random.Generator) -> None:
    look = FIRST_LOOK
    for rounds in range(1, terms.most + 1):
        _round(entries, terms, rng)
        if not any(entry.timed for entry in entries):
            break
        if rounds < terms.fewest:  # nobody is dropped either: one slow call may have been the machine's doing
            continue
        _drop(entries, terms, HOPELESS_IF_LONG)
        if terms.over:
            break
        if rounds == look:
            look += look // 2
            found = standing(entries)
            if found.settled:
                break
            _part(entries, found.behind)
    _count(entries, rounds, terms)


def _many_visits(entries: Sequence[Entry], terms: Terms, rng: np.random.Generator, move: Callable[[], None]) -> None:
    for visits in range(1, terms.most // VISIT_ROUNDS + 1):
        if visits > 1:
            move()
            if not any(entry.timed for entry in entries):  # wrong, on these arrays
                break
        for _ in range(VISIT_ROUNDS):
            _round(entries, terms, rng)
            if not any(entry.timed for entry in entries):
                return
            _drop(entries, terms, HOPELESS)
        _count(entries, VISIT_ROUNDS, terms)
        if visits < VISITS and not terms.long_over:
            continue
        found = standing(entries)
        _part(entries, [name for name, ratio in found.ratios.items() if ratio.low > FAR_ENOUGH])
        if terms.over or found.settled:
            break


def _round(entries: Sequence[Entry], terms: Terms, rng: np.random.Generator) -> None:
    settling = SETTLING if terms.threads > 1 else 0.0
    active = [entry for entry in entries if entry.active]
    for index in rng.permutation(len(active)):
        try:
            active[index].samples.append(sample(active[index], settling))
        except KERNEL_ERRORS as error:  # the others go on
            active[index].status, active[index].note = FAILED, one_line(error)


def _count(entries: Sequence[Entry], rounds: int, terms: Terms) -> None:
    """Note how many rounds there were in this visit, for those that were in all of them."""
    if not terms.by_visit:
        return
    longest = max(len(entry.samples) for entry in entries)
    for entry in entries:
        if len(entry.samples) == longest:
            entry.visits.append(rounds)


def _part(entries: Sequence[Entry], behind: Sequence[str]) -> None:
    """Let those go that more samples, or another visit, would say nothing new about."""
    for entry in entries:
        enough = LIMIT_ROUNDS if entry.status == LIMIT else CONTROL_ROUNDS if entry.control else math.inf
        if entry.one.name in behind or len(entry.samples) >= enough:  # the control as well, with the one that it is
            entry.racing = False


def _drop(entries: Sequence[Entry], terms: Terms, hopeless_if_long: float) -> None:
    """Take those out of the race that have no chance; what was seen of them stays."""
    active = [entry for entry in entries if entry.active and entry.status == TIMED and not entry.control]
    if not terms.fewest <= len(active[0].samples) <= LAST_DROP:
        return
    leader = min(active, key=lambda entry: float(np.median(entry.samples)))
    often = len(leader.samples) >= DROP_AFTER
    for entry in active:
        behind = min(mine / best for mine, best in zip(entry.samples, leader.samples, strict=True))
        long = sum(entry.samples) * entry.loops > LONG * terms.seconds
        if (long and behind > FAR_BEHIND) or (often and behind > (hopeless_if_long if long else HOPELESS)):
            entry.status = DROPPED


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
