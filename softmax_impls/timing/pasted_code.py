"""Time the code that `choose` prints, as a program runs it: in a loop, on arrays that NumPy allocates.

The rounds of a cell compare kernels on arrays of a fixed placement. In a program, the placement depends on the
allocator, and changes the time by up to a tenth. So the time that an answer states is measured on several sets of new
arrays.
"""

import sys
import time
import timeit
from typing import Any, NamedTuple

import numpy as np

from softmax_impls.timing.disturbance import is_quiet
from softmax_impls.timing.policy import DEFAULT
from softmax_impls.usage import Usage

FEWEST_SETS = 3  # of arrays
SAMPLES = 12  # on each set of arrays
FEWEST_QUIET = 12  # samples of a quiet processor; without them, it goes on for as long again, and all samples count


class Times(NamedTuple):
    """Seconds of a call: the median while the processor was quiet, and the range of nine of ten samples."""

    seconds: float
    low: float
    high: float


def time_pasted(usage: Usage, seconds: float) -> Times:
    """Run the setup, and time the line on its arrays, again and again for about so many seconds.

    Another program may slow the processor down for half a second, so short calls take as long as long calls.
    """
    start, sets = time.perf_counter(), 0
    every: list[float] = []
    quiet: list[float] = []
    while sets < FEWEST_SETS or time.perf_counter() - start < seconds * (1 if len(quiet) >= FEWEST_QUIET else 2):
        names: dict[str, Any] = {**vars(sys.modules["__main__"])}  # a kernel may be defined there, as in a notebook
        exec(usage.setup, names)
        timer = timeit.Timer(usage.line, globals=names)
        calls, was_quiet, sets = _calls_per_sample(timer), is_quiet(), sets + 1
        for _ in range(SAMPLES):
            timer.timeit(1)  # not timed: it finds the caches as the loop of `is_quiet` has left them
            every.append(timer.timeit(calls) / calls)
            if was_quiet & (was_quiet := is_quiet(after_threads=True)):
                quiet.append(every[-1])
            if sets >= FEWEST_SETS and time.perf_counter() - start > 2 * seconds:
                break
    median = float(np.median(quiet if len(quiet) >= FEWEST_QUIET else every))
    low, high = np.percentile(every, (5, 95)).tolist()
    return Times(median, min(low, median), max(high, median))


def _calls_per_sample(timer: timeit.Timer) -> int:
    timer.timeit(2)
    calls = 1
    while (taken := timer.timeit(calls)) < DEFAULT.min_sample:
        calls *= 4
    return max(1, round(calls * DEFAULT.max_sample / taken)) if calls > 1 else 1
