"""Time the code that `choose` prints, as a program runs it: in a loop, on arrays that NumPy allocates.

The rounds of a cell compare kernels on arrays with a fixed placement. In a program, the placement depends on the
allocator, and changes the time by up to a tenth. So `choose` states a time that is measured on several sets of new
arrays.

The machine may be slower or faster some minutes later. So `choose` also states a range. The range begins a little below
the fastest sample. It ends where the samples are slow, because another program was busy while they were taken.

If another program slowed down nearly all samples, the stated time and the beginning of the range are estimated for a
quiet processor: a sample is divided by the result of `slowdown`. This is the factor by which a loop takes longer than
on a quiet processor; a busy program slows down a kernel by about the same factor.
"""

import sys
import time
import timeit
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from softmax_impls.threads import limit_threads
from softmax_impls.timing.disturbance import LONGER, slowdown
from softmax_impls.timing.policy import DEFAULT
from softmax_impls.usage import Usage

FEWEST_SETS = 3  # fewest sets of arrays
SAMPLES = 12  # of the call on each set of arrays
SAMPLES_ALONE = 4  # of the call in one thread, on each set of arrays
FEWEST_QUIET = 12  # samples on a quiet processor; with fewer, timing takes twice as long, and then estimates count
SIDE_BY_SIDE = 0.6  # threads ran at the same time if the speedup over one thread is at least this share of their number
SHARED_CORE = 2.0  # the largest slowdown: of two processors that share a core, each has at least half of its speed
FASTER = 0.95  # a call in another process may take this share of the fastest sample: addresses differ there


class Times(NamedTuple):
    """Seconds of a call: the median on a quiet processor, and the range that most times lie in, quiet or not."""

    seconds: float
    low: float
    high: float


@dataclass
class _Line:
    """A line of code that calls a kernel once, with the measured times of this line in seconds."""

    code: str
    every: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)  # while no other program slowed the processor down
    on_quiet: list[float] = field(default_factory=list)  # estimate of each sample on a quiet processor

    def sample(self, names: dict[str, Any], samples: int, longest: float) -> None:
        """Take up to `samples` samples with the globals `names`: at least one, and none after `longest` seconds."""
        timer = timeit.Timer(self.code, globals=names)
        calls, before, end = _calls_per_sample(timer), slowdown(), time.perf_counter() + longest
        for _ in range(samples):
            timer.timeit(1)  # not timed: before it, the caches are as the loop of `slowdown` leaves them
            seconds, after = timer.timeit(calls) / calls, slowdown(after_threads=True)
            self.every.append(seconds)
            self.on_quiet.append(seconds / min(before, after, SHARED_CORE))
            if max(before, after) < LONGER:
                self.quiet.append(seconds)
            before = after
            if time.perf_counter() > end:
                break

    def times(self, fewest: int) -> Times:
        """Return the time of the line, and the range around it, as the module's docstring describes them.

        The time is the median of the quiet samples. If there are fewer than `fewest` of them, it is the median of what
        all samples would have taken on a quiet processor.
        """
        median = float(np.median(self.quiet if len(self.quiet) >= fewest else self.on_quiet))
        low, high = np.percentile(self.on_quiet, 5), np.percentile(self.every, 95)
        return Times(median, FASTER * min(*self.every, float(low)), max(median, float(high)))


def time_pasted(usage: Usage, seconds: float, threads: int = 1, alone: Usage | None = None) -> Times:
    """Return the time of the call that `usage` makes, and its range, measured for about `seconds` seconds.

    Run the setup of `usage`, which makes new arrays, and time its line on these arrays; repeat both until the time is
    up. If few samples are quiet, timing takes up to twice this time. Short calls are timed for this time, too, because
    another program may slow the processor down for half a second.

    `alone` is the same call in one thread instead of `threads`. If `alone` is given, its time is measured, too, and the
    returned range includes it: another program may keep the processors of the other threads busy for the whole life of
    a process.
    """
    start, sets = time.perf_counter(), 0
    line, line_alone = _Line(usage.line), _Line(alone.line if alone else "")
    while sets < FEWEST_SETS or time.perf_counter() - start < seconds * (1 if len(line.quiet) >= FEWEST_QUIET else 2):
        names: dict[str, Any] = {**vars(sys.modules["__main__"])}  # a kernel may be defined there, as in a notebook
        exec(usage.setup, names)
        sets += 1
        line.sample(names, SAMPLES, seconds / FEWEST_SETS)
        if alone:
            with limit_threads(1):
                line_alone.sample(names, SAMPLES_ALONE, seconds / FEWEST_SETS)
    times = line.times(FEWEST_QUIET)
    return _spanning(times, line_alone.times(FEWEST_QUIET // 3), threads) if alone else times


def _spanning(times: Times, alone: Times, threads: int) -> Times:
    """Return `times` with a range that includes `alone`, the times of the same call in one thread.

    While it measured, the machine may have been too busy to run all threads at the same time. Then the range also
    includes the time of one thread divided by `threads`, which the call may take on a quiet machine.
    """
    ran = times.seconds * SIDE_BY_SIDE * threads <= alone.seconds
    low = times.low if ran else min(times.low, alone.seconds / threads)
    return Times(times.seconds, low, max(times.high, alone.high))


def _calls_per_sample(timer: timeit.Timer) -> int:
    timer.timeit(2)
    calls = 1
    while (taken := timer.timeit(calls)) < DEFAULT.min_sample:
        calls *= 4
    return max(1, round(calls * DEFAULT.max_sample / taken)) if calls > 1 else 1
