"""One cell: implementations admitted, verified on the very arrays, and timed in rounds until they are told apart.

Each round takes one sample of every implementation still in the race, in a fresh random order, so that whatever slows
the machine down hits all alike. Who is clearly behind leaves, and the time goes to those that are close. One of them,
the fastest at first sight, runs under a second name as well: how much it seems to differ from itself is the cell's
noise floor.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from softmax_impls.checks import reference
from softmax_impls.contract import Array, Implementation
from softmax_impls.timing import workloads
from softmax_impls.timing.entry import (
    DROPPED,
    EXTRAPOLATED,
    FAILED,
    LIMIT,
    PRUNED,
    TIMED,
    WRONG,
    Entry,
    calibrate,
    sample,
    standing,
)
from softmax_impls.timing.limit import YARDSTICK
from softmax_impls.timing.plan import VISITS
from softmax_impls.timing.prediction import predict
from softmax_impls.timing.statistics import Standing
from softmax_impls.timing.workloads import Cell
from softmax_impls.wording import RAISED, told

ALLOWANCE = 0.06  # of the cell's time in all visits, for all that happens to one implementation up to its first call
RACE = 0.5  # of the cell's time, at least, for samples, whatever came before
SHORTEST_SAMPLE, LONGEST_SAMPLE = 200e-6, 5e-4  # seconds; a longer call is a sample of its own, a longer batch would be
#                                                 more likely to have another process in it
FEWEST_ROUNDS, FIRST_LOOK, MOST_ROUNDS = 3, 15, 400
LAST_DROP = 30  # rounds, after which who is left has come to stay
FAR_ENOUGH = 1.3  # times the leader: no other place of the arrays makes up for that
LIMIT_ROUNDS = 15  # of the machine's limit, which nobody has to be told apart from
HOPELESS = 2.0  # times the leader, in each of at least DROP_AFTER rounds
DROP_AFTER = 6
HOPELESSLY, HOPELESS_SHARE = 20.0, 0.01  # times the leader, and of the cell's time: the call that was verified will do
SETTLING = 0.015  # seconds of calls before a sample in several threads: until others' have stopped waiting for work
FAR_BEHIND = 3.0  # times the leader: not worth that many rounds, if they are long
FAR_BEHIND_SHARE = 0.02  # of the cell's time

Arrays = tuple[Array, Array, Array]  # probs, grad_output, out


def measure(
    cell: Cell,
    implementations: Iterable[Implementation],
    seconds: float,
    largest_temporaries: int,
    seed: int = 0,
    fewest_rounds: int = FEWEST_ROUNDS,
    most_rounds: int = MOST_ROUNDS,
    leaving: bool = True,
) -> list[Entry]:
    """Measure one cell in about that many seconds; returns an entry for each implementation and for the control.

    With `leaving`, those that are clearly behind leave the race; without, only those far behind, and the others are
    there when it is visited again.
    """
    start = time.perf_counter()
    arrays = workloads.arrays(cell, seed)
    sums = reference.row_sums(*arrays[:2])
    entries = []
    for one in implementations:
        entry = Entry(one, temporary_bytes=one.temporary_bytes(cell.rows, cell.classes, np.dtype(cell.dtype)))
        if too_large := one.too_large(cell.rows, cell.classes, np.dtype(cell.dtype), largest_temporaries):
            entry.status, entry.note = PRUNED, too_large
        else:
            before = workloads.fingerprint(*arrays[:2])
            _admit(entry, arrays, sums, ALLOWANCE * seconds * (1 if leaving else VISITS))
            if workloads.fingerprint(*arrays[:2]) != before:
                entry.status, entry.note = WRONG, "modified its inputs"
                for array, fresh in zip(arrays, workloads.arrays(cell, seed), strict=True):
                    array[...] = fresh  # in place, since others are bound to these arrays already
        entries.append(entry)
    racing = [entry for entry in entries if entry.status == TIMED]
    if racing:
        settling = SETTLING if cell.threads > 1 else 0.0
        twin, limit = _line_up(racing, arrays, start + seconds - time.perf_counter(), seconds)
        entries += [twin, limit]
        racing = [entry for entry in racing if entry.status == TIMED]
        deadline = max(start + seconds, time.perf_counter() + RACE * seconds)
        enough = range(fewest_rounds, most_rounds)
        _race([*racing, twin, limit], deadline, seconds, seed, settling, enough, leaving)
        for entry in racing:  # once more, those that may win: a kernel may have learnt to do nothing
            if entry.status == TIMED:
                _verify(entry, arrays, sums)
        _count_visit(entries, 0)
    return entries


def visit(cell: Cell, entries: Iterable[Entry], seconds: float, seed: int) -> None:
    """Go on with a cell some time later, on arrays of its own, with those that were not dropped."""
    start = time.perf_counter()
    entries = list(entries)
    arrays = workloads.arrays(cell, seed)
    sums = reference.row_sums(*arrays[:2])
    before = max(len(entry.samples) for entry in entries)
    racing = [entry for entry in entries if entry.status in (TIMED, LIMIT) and len(entry.samples) == before]
    for entry in racing:
        entry.bound = entry.one.bound(*arrays)
        if entry.status == TIMED:
            _verify(entry, arrays, sums)
    racing = [entry for entry in racing if entry.status in (TIMED, LIMIT)]
    deadline = max(start + seconds, time.perf_counter() + RACE * seconds)
    later = [replace(entry, samples=[], visits=[]) for entry in racing]
    settling = SETTLING if cell.threads > 1 else 0.0
    _race(later, deadline, seconds, seed, settling, range(FEWEST_ROUNDS, MOST_ROUNDS), leaving=False)
    for entry, after in zip(racing, later, strict=True):
        entry.samples += after.samples
        entry.status, entry.note, entry.racing = after.status, after.note, after.racing
    _count_visit(entries, before)


def _count_visit(entries: list[Entry], before: int) -> None:
    """Note how many rounds there were in this visit, for those that were in all of them."""
    rounds = max((len(entry.samples) for entry in entries), default=0)
    for entry in entries:
        if len(entry.samples) == rounds:
            entry.visits.append(rounds - before)
        entry.bound = None  # its arrays are free to go


def _admit(entry: Entry, arrays: Arrays, sums: reference.RowSums, allowance: float) -> None:
    """Predict, run once, and verify the result; sets the entry's status if it may not take part."""
    try:
        prediction = predict(entry.one, *arrays, allowance)
        entry.seconds = prediction.seconds
        if not prediction.allowed:
            entry.status, entry.note = EXTRAPOLATED, "one call would take too much of the budget"
            return
    except RAISED as error:  # the others go on
        entry.status, entry.note = FAILED, told(error)
        return
    _verify(entry, arrays, sums)


def _verify(entry: Entry, arrays: Arrays, sums: reference.RowSums) -> None:
    """Run once into an `out` full of NaN, and compare with the reference; sets the entry's status if it is wrong."""
    probs, grad_output, out = arrays
    out.fill(np.nan)
    try:
        call, read = entry.bound or entry.one.bound(probs, grad_output, out)
        start = time.perf_counter()
        with np.errstate(all="ignore"):
            returned = call()
        entry.seconds = time.perf_counter() - start
        result = read(returned)
    except RAISED as error:
        entry.status, entry.note = FAILED, told(error)
        return
    entry.bound = call, read
    worst = reference.worst(probs, grad_output, result, sums, entry.one.flushes)
    entry.discrepancy = worst.ratio
    if worst.wrong:
        entry.status = WRONG
        entry.note = worst.in_words()


def _line_up(racing: list[Entry], arrays: Arrays, left: float, seconds: float) -> tuple[Entry, Entry]:
    """Batch calls into samples, take out who is hopelessly slow, and return the leader's twin, and the machine's limit.

    They run beside the others, so that what they are compared with happened to them as well.
    """
    limit = Entry(YARDSTICK, LIMIT, bound=YARDSTICK.bound(*arrays))
    target = min(max(left / (2 * FIRST_LOOK * len(racing)), SHORTEST_SAMPLE), LONGEST_SAMPLE)
    for entry in racing:
        if target < entry.seconds < ALLOWANCE * seconds:  # a first call may have waited for memory, or loaded code
            entry.seconds = sample(entry)
        calibrate(entry, target)
    leader = min(racing, key=lambda entry: entry.seconds)
    for entry in racing:
        hopeless = max(HOPELESSLY * leader.seconds, HOPELESS_SHARE * seconds)
        if entry.seconds > hopeless:
            entry.status, entry.samples = DROPPED, [entry.seconds]
    sample(limit)  # may compile
    limit.seconds = 0.0
    calibrate(limit, target)
    twin = Entry(
        leader.one, control=True, bound=leader.bound, loops=leader.loops, temporary_bytes=leader.temporary_bytes
    )
    return twin, limit


def _race(
    racing: list[Entry], deadline: float, seconds: float, seed: int, settling: float, enough: range, leaving: bool
) -> None:
    """Take samples round by round until the implementations are told apart or the time is up.

    `enough` has the fewest rounds and the most.
    """
    rng = np.random.default_rng(seed)
    look = FIRST_LOOK
    collecting = gc.isenabled()
    gc.disable()
    try:
        for rounds in range(1, enough.stop + 1):
            active = [entry for entry in racing if entry.racing and entry.status in (TIMED, LIMIT)]
            for index in rng.permutation(len(active)):
                active[index].samples.append(sample(active[index], settling))
            if rounds < enough.start:  # nobody is dropped either: one slow call may have been the machine's doing
                continue
            if rounds <= LAST_DROP:
                _drop([entry for entry in active if entry.status == TIMED], rounds, seconds)
            if time.perf_counter() >= deadline:
                break
            if rounds == look:
                look += look // 2
                found = standing(racing)
                if found.settled:
                    break
                _part(racing, found, rounds, leaving)
    finally:
        if collecting:
            gc.enable()


def _part(racing: list[Entry], found: Standing, rounds: int, leaving: bool) -> None:
    """Let those go that more samples, or another visit, would say nothing new about."""
    far = {name for name, ratio in found.ratios.items() if ratio.low > FAR_ENOUGH}
    behind = found.behind if leaving else far
    for entry in racing:
        if entry.status == LIMIT:
            entry.racing = rounds < LIMIT_ROUNDS
        else:  # the control as well, with the one that it is
            entry.racing = entry.racing and entry.one.name not in behind


def _drop(active: list[Entry], rounds: int, seconds: float) -> None:
    """Take those out of the race that have no chance; what was seen of them stays."""
    leader = min(active, key=lambda entry: float(np.median(entry.samples)))
    for entry in active:
        behind = min(mine / best for mine, best in zip(entry.samples, leader.samples, strict=True))
        spent = sum(entry.samples) * entry.loops
        if (rounds >= DROP_AFTER and behind > HOPELESS) or (behind > FAR_BEHIND and spent > FAR_BEHIND_SHARE * seconds):
            entry.status = DROPPED
