"""One implementation in one cell: what became of it, the call that is timed, and its samples."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from softmax_impls.implementation import BoundCall, Implementation
from softmax_impls.timing.statistics import Standing, margin_of, quiet_ratio, stand

STATUSES = ("timed", "dropped", "extrapolated", "pruned", "wrong", "failed", "limit")
TIMED, DROPPED, EXTRAPOLATED, PRUNED, WRONG, FAILED, LIMIT = STATUSES

CALIBRATIONS = 3  # of which the fastest counts: batches of one length have to be equally long


@dataclass
class Entry:
    """One implementation in one cell, and all that was seen of it."""

    one: Implementation
    status: str = TIMED
    note: str = ""
    control: bool = False
    racing: bool = True  # False: clearly behind, though not enough to be dropped
    seconds: float = math.nan  # one call, roughly: predicted or from calibration
    discrepancy: float | None = None  # worst error on these arrays, as a multiple of its bound
    temporary_bytes: int = 0
    loops: int = 1
    bound: BoundCall | None = None  # the call that is timed, its arrays converted
    samples: list[float] = field(default_factory=list)  # seconds per call, one a round
    visits: list[int] = field(default_factory=list)  # rounds of each visit to the cell, if it stayed

    @property
    def active(self) -> bool:
        """Whether it gives samples."""
        return self.racing and self.status in (TIMED, LIMIT)

    @property
    def timed(self) -> bool:
        """Whether it gives samples in its own name, and is ranked by them."""
        return self.racing and self.status == TIMED and not self.control

    @property
    def ranked(self) -> bool:
        """Whether it was verified and timed."""
        return self.status in (TIMED, DROPPED) and bool(self.samples)


def standing(entries: Iterable[Entry]) -> Standing:
    """Compare those entries that have samples."""
    entries = list(entries)
    samples = {entry.one.name: entry.samples for entry in entries if entry.ranked and not entry.control}
    twin = next((entry for entry in entries if entry.control), None)
    visits = max((entry.visits for entry in entries), key=sum, default=[])
    again = (
        quiet_ratio(twin.samples, samples[twin.one.name], visits=visits) if twin and twin.one.name in samples else None
    )
    dropped = [entry.one.name for entry in entries if entry.status == DROPPED]
    return stand(samples, margin_of(again), dropped, visits)


def sample(entry: Entry, settling: float = 0.0) -> float:
    """Return seconds per call over a batch of calls, after one that finds what others left in the caches."""
    assert entry.bound is not None  # it was verified
    call, loops = entry.bound[0], range(entry.loops)
    if entry.loops > 1:
        call()
    until = time.perf_counter() + settling
    while settling and time.perf_counter() < until:
        call()
    start = time.perf_counter_ns()
    for _ in loops:
        call()
    return (time.perf_counter_ns() - start) / entry.loops / 1e9


def calibrate(entry: Entry, target: float) -> None:
    """Find how many calls make a sample of the target's length; a long call is one."""
    if entry.seconds > target:
        return
    while True:
        entry.seconds = sample(entry)
        if entry.seconds * entry.loops >= target / 2:
            break
        entry.loops *= 4
    entry.seconds = min(entry.seconds, *(sample(entry) for _ in range(CALIBRATIONS - 1)))
    entry.loops = max(1, round(target / entry.seconds))
