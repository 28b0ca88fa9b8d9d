"""One cell: implementations admitted, verified on the very arrays, and timed until they are told apart.

One of them, the fastest at first sight, runs under a second name as well: how much it seems to differ from itself is
the cell's noise floor. So does the machine's limit, which moves the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np

from softmax_impls.checks import reference
from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import Array, Implementation
from softmax_impls.timing import race, workloads
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
)
from softmax_impls.timing.extrapolation import predict
from softmax_impls.timing.roofline import YARDSTICK
from softmax_impls.timing.workloads import Cell

ALLOWANCE = 0.04  # of the cell's time in all turns, for all that happens to one implementation up to its first call
RACE = 0.5  # of the cell's time, at least, for samples, whatever came before
SHORTEST_SAMPLE, LONGEST_SAMPLE = 200e-6, 5e-4  # seconds; a longer call is a sample of its own, a longer batch would be
#                                                 more likely to have another process in it
SHORT = 0.01  # seconds: a first call that may be tried again, whatever the cell's time
BY_ROUNDS = 2**20  # elements, from which rounds stand for themselves: arrays' places matter less than other processes
ROUNDS = 30  # that the time is to be enough for, where that makes samples longer
HOPELESSLY, HOPELESS_SHARE = 20.0, 0.01  # times the leader, and of the cell's time: the call that was verified will do

Arrays = tuple[Array, Array, Array]  # probs, grad_output, out


def measure(
    cell: Cell,
    implementations: Iterable[Implementation],
    seconds: float,
    largest_temporaries: int,
    seed: int = 0,
    fewest_rounds: int = race.FEWEST_ROUNDS,
    most_rounds: int = race.MOST_ROUNDS,
    turns: int = 1,
) -> list[Entry]:
    """Measure one cell in about that many seconds; returns an entry for each implementation and for the control.

    If it is going to have several turns, arrays are placed anew every few rounds, and only those that are far behind
    leave; else they stay, and all leave that are clearly behind.
    """
    start = time.perf_counter()
    arrays = workloads.arrays(cell, seed)
    sums = reference.row_sums(*arrays[:2])
    before = workloads.fingerprint(*arrays[:2])
    entries = []
    for one in implementations:
        entry = Entry(one, temporary_bytes=one.temporary_bytes(cell.rows, cell.classes, np.dtype(cell.dtype)))
        if too_large := one.too_large(cell.rows, cell.classes, np.dtype(cell.dtype), largest_temporaries):
            entry.status, entry.note = PRUNED, too_large
        else:
            _admit(entry, arrays, sums, ALLOWANCE * seconds * turns)
            if workloads.fingerprint(*arrays[:2]) != before:
                entry.status, entry.note = WRONG, "modified its inputs"
                for array, fresh in zip(arrays, workloads.arrays(cell, seed), strict=True):
                    array[...] = fresh  # in place, since others are bound to these arrays already
        entries.append(entry)
    racing = [entry for entry in entries if entry.status == TIMED]
    if racing:
        twin, limit = _line_up(racing, arrays, start + seconds - time.perf_counter(), seconds)
        entries += [twin, limit]
        terms = _terms(cell, start, seconds, seed, fewest_rounds, most_rounds)
        _race(entries, arrays, sums, terms, moving=turns > 1)
    return entries


def again(cell: Cell, entries: Sequence[Entry], seconds: float, seed: int, moving: bool = True) -> None:
    """Go on with a cell some time later, on arrays of its own, with those that have not left."""
    start = time.perf_counter()
    arrays = workloads.arrays(cell, seed)
    sums = reference.row_sums(*arrays[:2])
    _bind(entries, arrays, sums)
    _race(entries, arrays, sums, _terms(cell, start, seconds, seed), moving)


def _terms(
    cell: Cell,
    start: float,
    seconds: float,
    seed: int,
    fewest: int = race.FEWEST_ROUNDS,
    most: int = race.MOST_ROUNDS,
) -> race.Terms:
    deadline = max(start + seconds, time.perf_counter() + RACE * seconds)
    return race.Terms(seconds, deadline, cell.threads, seed, fewest, most, by_visit=cell.elements < BY_ROUNDS)


def _race(entries: Sequence[Entry], arrays: Arrays, sums: reference.RowSums, terms: race.Terms, moving: bool) -> None:
    """Have them race, and verify once more those that may win: a kernel may have learnt to do nothing."""

    def move() -> None:
        nonlocal arrays
        arrays = workloads.placed(arrays[0], arrays[1], len(arrays[0]))
        _bind(entries, arrays, sums)

    race.run([entry for entry in entries if entry.active], terms, move if moving else None)
    for entry in entries:
        if entry.timed:
            _verify(entry, arrays, sums)
        entry.bound = None  # its arrays are free to go


def _bind(entries: Iterable[Entry], arrays: Arrays, sums: reference.RowSums) -> None:
    """Give new arrays to those that are still in the race, and verify their results on them."""
    for entry in entries:
        entry.bound = None
        if entry.timed:
            _verify(entry, arrays, sums)
    bound = {entry.one.name: entry.bound for entry in entries if not (entry.control or entry.status == LIMIT)}
    for entry in entries:
        if entry.control:
            entry.bound = bound[entry.one.name]
            entry.racing &= entry.bound is not None
        elif entry.active and entry.status == LIMIT:
            entry.bound = entry.one.bind_call(*arrays)


def _admit(entry: Entry, arrays: Arrays, sums: reference.RowSums, allowance: float) -> None:
    """Predict, run once, and verify the result; sets the entry's status if it may not take part."""
    try:
        prediction = predict(entry.one, *arrays, allowance)
        entry.seconds = prediction.seconds
        if not prediction.allowed:
            entry.status, entry.note = EXTRAPOLATED, "one call would take too much of the budget"
            return
    except KERNEL_ERRORS as error:  # the others go on
        entry.status, entry.note = FAILED, one_line(error)
        return
    _verify(entry, arrays, sums)


def _verify(entry: Entry, arrays: Arrays, sums: reference.RowSums) -> None:
    """Run once into an `out` full of NaN, and compare with the reference; sets the entry's status if it is wrong."""
    probs, grad_output, out = arrays
    out.fill(np.nan)
    try:
        call, read = entry.bound or entry.one.bind_call(probs, grad_output, out)
        start = time.perf_counter()
        with np.errstate(all="ignore"):
            returned = call()
        entry.seconds = time.perf_counter() - start
        result = read(returned)
    except KERNEL_ERRORS as error:
        entry.status, entry.note = FAILED, one_line(error)
        return
    entry.bound = call, read
    worst = reference.worst(probs, grad_output, result, sums, entry.one.flush_to_zero)
    entry.discrepancy = worst.ratio
    if worst.wrong:
        entry.status = WRONG
        entry.note = worst.in_words()


def _line_up(racing: list[Entry], arrays: Arrays, left: float, seconds: float) -> tuple[Entry, Entry]:
    """Batch calls into samples, take out who is hopelessly slow, and return the leader's twin, and the machine's limit.

    They run beside the others, so that what they are compared with happened to them as well.
    """
    limit = Entry(YARDSTICK, LIMIT, bound=YARDSTICK.bind_call(*arrays))
    target = min(max(left / (ROUNDS * len(racing)), SHORTEST_SAMPLE), LONGEST_SAMPLE)
    for entry in racing:
        try:
            if target < entry.seconds < SHORT:  # it may have waited for memory, or loaded code
                entry.seconds = sample(entry)
            calibrate(entry, target)
        except KERNEL_ERRORS as error:  # the others go on
            entry.status, entry.note = FAILED, one_line(error)
    racing = [entry for entry in racing if entry.status == TIMED] or racing
    leader = min(racing, key=lambda entry: entry.seconds)
    hopeless = max(HOPELESSLY * leader.seconds, HOPELESS_SHARE * seconds)
    for entry in racing:
        if hopeless < entry.seconds < ALLOWANCE * seconds:  # likewise
            entry.seconds = sample(entry)
        if entry.seconds > hopeless:
            entry.status, entry.samples = DROPPED, [entry.seconds]
    sample(limit)  # may compile
    limit.seconds = 0.0
    calibrate(limit, target)
    twin = Entry(
        leader.one, control=True, bound=leader.bound, loops=leader.loops, temporary_bytes=leader.temporary_bytes
    )
    return twin, limit
