"""Whether other programs slow this process down now, measured by a loop whose time is known.

Two processors of a machine may share a core. Beside a busy processor, one kernel took 1.5 times as long and another
2.2 times (128×10 float32 on znver3), so that the slower of the two became the faster.
"""

import functools
import time
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

from softmax_impls.simd.jit import jit

STEPS = 20_000  # of the loop: about 20 µs
LOOPS, ATTEMPTS = 40, 3  # of each thread: about 800 µs, much longer than it takes to wake a thread up
LONGER = 1.15  # ratio of its time to the shortest time, from which a processor is not quiet
_shortest = float("inf")  # seconds, of all loops of this process


@jit(nogil=True)
def _spin(steps: int) -> np.uint64:
    """Compute several sums side by side, so that a program on the same core slows them down."""
    a = b = c = d = np.uint64(1)
    for i in range(steps):
        a = a * np.uint64(3) + np.uint64(1)
        b ^= b << np.uint64(3)
        c += b
        d = (d + np.uint64(i)) ^ a
    return a + b + c + d


def is_quiet() -> bool:
    """Whether the loop takes as long as it took at best in this process."""
    global _shortest
    seconds = min(_seconds() for _ in range(2))  # the first loop finds the caches as a kernel has left them
    _shortest = min(seconds, _shortest)
    return seconds < LONGER * _shortest


def running_side_by_side(threads: int) -> float:
    """Return how many of the threads ran at the same time: `threads` times the time of one alone, over that of all.

    The best of a few attempts counts: a thread that has slept may first share the processor of another thread.
    """
    pool = _pool(threads)
    attempts = [(_seconds_in(pool, 1), _seconds_in(pool, threads)) for _ in range(ATTEMPTS)]
    alone, together = np.min(attempts, axis=0).tolist()
    return float(min(threads * alone / together, threads))


def _seconds() -> float:
    start = time.perf_counter()
    _spin(STEPS)
    return time.perf_counter() - start


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _seconds_in(pool: ThreadPoolExecutor, threads: int) -> float:
    start = time.perf_counter()
    wait([pool.submit(_spin, LOOPS * STEPS) for _ in range(threads)])
    return time.perf_counter() - start
