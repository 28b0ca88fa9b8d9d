"""From which size on a call is shared among threads, and stored past the caches; and how many threads it may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SHARED_FROM = 400_000  # bytes moved: two threads need less time than one even if the helper has to be woken

_limit: ContextVar[int | None] = ContextVar("threads", default=None)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Return how many threads a call uses that doesn't say: as many as Numba may, by NUMBA_NUM_THREADS or all."""
    limit = _limit.get()
    if limit is not None:
        return limit
    if (numba := sys.modules.get("numba")) is not None:
        return int(numba.config.NUMBA_NUM_THREADS)
    told = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, int(told)) if told.isdecimal() else cores()


@contextmanager
def limited(number: int) -> Iterator[None]:
    """Make it another number for a while, for the calls that this thread makes."""
    token = _limit.set(number)
    try:
        yield
    finally:
        _limit.reset(token)


def _last_level_cache() -> int:
    """Return the size of the last-level cache in bytes, as far as the system tells, or what many machines have."""
    for name in ("SC_LEVEL3_CACHE_SIZE", "SC_LEVEL2_CACHE_SIZE"):
        try:
            size = os.sysconf(name)
        except (AttributeError, ValueError, OSError):
            continue
        if size > 0:
            return size
    return 1 << 25


STREAMED_FROM = _last_level_cache()  # bytes moved
