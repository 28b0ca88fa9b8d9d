"""From which size on a call is shared among threads, and stored past the caches; and how many threads it may use."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

UNFIT, DONE, LARGE = range(3)  # what becomes of a call: not for this kernel, done, or to be done by other means

MOST_THREADS = 16  # for one call: fewer are enough to wait for memory
SHARED_FROM = 400_000  # bytes moved: two threads need less time than one even if the helper has to be woken

_limit: ContextVar[int | None] = ContextVar("threads", default=None)


@functools.cache
def cores() -> int:
    """Return how many processors this process may use, as of the first time that it was asked."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Return how many threads a call uses that doesn't say: as many as Numba may, by NUMBA_NUM_THREADS or all."""
    limit = _limit.get()
    if limit is not None:
        return limit
    if (numba := sys.modules.get("numba")) is not None:
        return numba.config.NUMBA_NUM_THREADS  # type: ignore[no-any-return]
    told = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, int(told)) if told.isdecimal() else cores()


@contextlib.contextmanager
def limited(number: int) -> Iterator[None]:
    """Make it another number for a while, for the calls that this thread makes."""
    token = _limit.set(number)
    try:
        yield
    finally:
        _limit.reset(token)


def _last_level_cache() -> int:
    """Return the size of the last-level cache in bytes, as far as the system tells, or what many machines have."""
    sizes = [1 << 25]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        with contextlib.suppress(OSError, ValueError):
            sizes[0] = 0
            sizes.append(int(file.read_text().strip().removesuffix("K")) * 1024)
    return max(sizes)


# Bytes moved. At three quarters of the cache, storing past it took 1.1 to 1.3 times as long on two threads, and as long
# on one; a little beyond it, 0.8 to 0.9 times as long (2048×1024 to 6144×512).
STREAMED_FROM = _last_level_cache()
