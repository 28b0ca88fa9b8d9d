"""Whether other programs slow this process down now, measured by a loop whose time is known.

Two processors of a machine may share a core. Beside a busy processor, one kernel took 1.5 times as long and another
2.2 times (128×10 float32 on znver3), so that the slower of the two became the faster.
"""

import functools
import math
import platform
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import numba
import numpy as np

from softmax_impls.simd.jit import DISABLE_JIT, jit
from softmax_impls.user_cache import replacing, user_cache

STEPS = 20 if DISABLE_JIT else 20_000  # of the loop: about 20 µs
LOOPS, ATTEMPTS = 40, 3  # of each thread: about 800 µs, much longer than it takes to wake a thread up
HELPERS_SLEEP = 3e-4  # seconds after a call, from which the idle threads of numba_simd sleep
LONGER = 1.15  # ratio of its time to the shortest time, from which a processor is not quiet


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


if DISABLE_JIT:  # NumPy warns of overflow, which compiled code does not
    _spin = np.errstate(over="ignore")(_spin)


class Shortest:
    """The shortest time of the loop since the machine was started, in seconds: its time on a quiet processor.

    Another program may be busy for as long as this process runs. So the shortest time of all processes is kept in a
    file.
    """

    def __init__(self, file: Path) -> None:
        boot = ""
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The time depends on the machine since it was started, and on the compiler.
        self._machine = f"{platform.node()} {boot} {numba.__version__} {STEPS}"
        self._file, self._before, self.seconds = file, math.inf, math.inf
        with suppress(OSError, ValueError):
            machine, seconds = file.read_text(encoding="utf-8").splitlines()
            if machine == self._machine and float(seconds) > 0:
                self.seconds = float(seconds)

    def update(self, seconds: float) -> float:
        """Record the time of a loop, and return the shortest time. It changes only after two shorter loops in a row."""
        shorter, self._before = max(seconds, self._before), seconds
        if shorter < self.seconds:
            self.seconds = shorter
            with suppress(OSError), replacing(self._file) as file:  # a read-only home, for instance
                file.write(f"{self._machine}\n{shorter!r}\n".encode())
        return self.seconds


@functools.cache
def shortest() -> Shortest:
    """Return the shortest time of the loop that programs of this user have measured."""
    return Shortest(user_cache() / "quiet-loop")


def slowdown(after_threads: bool = False) -> float:
    """Return the time of the loop over its shortest time, at least 1.

    With `after_threads`, the loop waits until numba_simd's threads sleep.
    """
    if after_threads:
        time.sleep(HELPERS_SLEEP)
    seconds = min(_seconds() for _ in range(2))  # the first loop finds the caches as a kernel has left them
    return max(1.0, seconds / shortest().update(seconds))


def is_quiet(after_threads: bool = False) -> bool:
    """Whether the loop takes about as long as it takes at best."""
    return slowdown(after_threads) < LONGER


def running_side_by_side(threads: int) -> float:
    """Return how many of the threads ran at the same time: `threads` times the time of one alone, over that of all.

    The best of a few attempts counts: a thread that has slept may first share the processor of another thread.
    """
    with ThreadPoolExecutor(threads) as pool:  # a new one each time: a forked process has none of its parent's threads
        attempts = [(_seconds_in(pool, 1), _seconds_in(pool, threads)) for _ in range(ATTEMPTS)]
    alone, together = np.min(attempts, axis=0).tolist()
    return float(min(threads * alone / together, threads))


def _seconds() -> float:
    start = time.perf_counter()
    _spin(STEPS)
    return time.perf_counter() - start


def _seconds_in(pool: ThreadPoolExecutor, threads: int) -> float:
    start = time.perf_counter()
    wait([pool.submit(_spin, LOOPS * STEPS) for _ in range(threads)])
    return time.perf_counter() - start
