"""Whether other programs slow this process down now, measured by two loops whose times are known.

Two processors of a machine may share a core. While the other processor was busy, one kernel took 1.5 times as long, and
another kernel 2.2 times (128×10 float32 on znver3). This changed which of the two kernels was faster.

Two loops are needed, because a lower clock frequency must not count: it slows all kernels down alike. With one loop, it
did count: on znver1, the frequency was 1.2 times as high for some minutes, and after these minutes, the quiet processor
seemed busy for hours. A lower frequency slows both loops down by the same factor. A program on the same core slows down
the loop of `_spin`, which keeps several units of the core busy, more than the loop of `_chain`, which waits most of the
time.
"""

import functools
import math
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import numba
import numpy as np

from softmax_impls.simd.jit import DISABLE_JIT, jit
from softmax_impls.user_cache import replacing, user_cache

STEPS = 20 if DISABLE_JIT else 20_000  # of the loop of `_spin`: about 20 µs
CHAIN_STEPS = STEPS // 2  # of the loop of `_chain`: also about 20 µs
LOOPS, ATTEMPTS = 40, 3  # loops of each thread take about 800 µs, much longer than a thread takes to wake up
HELPERS_SLEEP = 3e-4  # seconds after a call, until the idle threads of numba_simd sleep
LONGER = 1.15  # a processor is quiet if `slowdown` is less


@jit(nogil=True)
def _spin(steps: int) -> np.uint64:
    """Run a loop of `steps` steps; the returned number is not used.

    The loop computes several sums side by side, so it keeps several units of the core busy. So it takes longer while
    another program uses the same core.
    """
    a = b = c = d = np.uint64(1)
    for i in range(steps):
        a = a * np.uint64(3) + np.uint64(1)
        b ^= b << np.uint64(3)
        c += b
        d = (d + np.uint64(i)) ^ a
    return a + b + c + d


@jit(nogil=True)
def _chain(steps: int) -> float:
    """Run a loop of `steps` steps, each of which waits for the previous step; the returned number is not used."""
    x = 0.0
    for _ in range(steps):
        x = x * 0.5 + 1.0
    return x


if DISABLE_JIT:  # NumPy warns of overflow; compiled code does not
    _spin = np.errstate(over="ignore")(_spin)


class Shortest:
    """The shortest time in seconds that a loop has taken since the machine was started.

    This is the time of the loop on a quiet processor. Another program may be busy for as long as this process runs. So
    the shortest time that any process has measured is kept in `file`.
    """

    def __init__(self, file: Path) -> None:
        boot = ""
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The time in the file holds for one machine until it is restarted, and for one compiler and number of steps.
        self._machine = f"{platform.node()} {boot} {numba.__version__} {STEPS}"
        self._file, self._before, self.seconds = file, math.inf, math.inf
        with suppress(OSError, ValueError):
            machine, seconds = file.read_text(encoding="utf-8").splitlines()
            if machine == self._machine and float(seconds) > 0:
                self.seconds = float(seconds)

    def update(self, seconds: float) -> float:
        """Record the time of a loop, and return the shortest time; both in seconds.

        The shortest time changes only if two loops in a row were shorter. It becomes the longer time of these two.
        """
        shorter, self._before = max(seconds, self._before), seconds
        if shorter < self.seconds:
            self.seconds = shorter
            with suppress(OSError), replacing(self._file) as file:  # a read-only home, for instance
                file.write(f"{self._machine}\n{shorter!r}\n".encode())
        return self.seconds


@functools.cache
def shortest(loop: str) -> Shortest:
    """Return the shortest time of a loop, "spin" or "chain", that any process of this user has measured."""
    return Shortest(user_cache() / f"quiet-{loop}")


def slowdown(after_threads: bool = False) -> float:
    """Return the factor by which other programs slow the loop of `_spin` down now; at least 1.

    It is (time of `_spin` / its shortest time) / (time of `_chain` / its shortest time). The divisor is at least 1. It
    removes the effect of a lower clock frequency, which slows both loops down.

    With `after_threads`, wait first until numba_simd's idle threads sleep.
    """
    if after_threads:
        time.sleep(HELPERS_SLEEP)
    spin, chain = _seconds(_spin, STEPS), _seconds(_chain, CHAIN_STEPS)
    clock = max(1.0, chain / shortest("chain").update(chain))
    return max(1.0, spin / shortest("spin").update(spin) / clock)


def is_quiet(after_threads: bool = False) -> bool:
    """Whether the processor is quiet: `slowdown` is less than `LONGER`.

    With `after_threads`, the loops start only when numba_simd's threads sleep.
    """
    return slowdown(after_threads) < LONGER


def running_side_by_side(threads: int) -> float:
    """Return how many of the threads ran at the same time.

    This is `threads` times the time of one thread alone, divided by the time of all threads together. The shortest
    times of a few attempts count: a thread that has slept may first share the processor of another thread.
    """
    with ThreadPoolExecutor(threads) as pool:  # a new pool each time: a forked process has no threads of its parent
        attempts = [(_seconds_in(pool, 1), _seconds_in(pool, threads)) for _ in range(ATTEMPTS)]
    alone, together = np.min(attempts, axis=0).tolist()
    return float(min(threads * alone / together, threads))


def _seconds(loop: Callable[[int], object], steps: int) -> float:
    """Return the shorter time of two runs of a loop; the first run finds the caches as a kernel has left them."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        loop(steps)
        times.append(time.perf_counter() - start)
    return min(times)


def _seconds_in(pool: ThreadPoolExecutor, threads: int) -> float:
    start = time.perf_counter()
    wait([pool.submit(_spin, LOOPS * STEPS) for _ in range(threads)])
    return time.perf_counter() - start
