"""How many threads a call may use."""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar

MAX_THREADS = 16  # of one call; even a few threads have to wait for the memory

_limit: ContextVar[int | None] = ContextVar("softmax_impls_threads", default=None)


@functools.cache
def available_cores() -> int:
    """Return the number of processors that this process may use; only the first call looks it up."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_threads() -> int:
    """Return the number of threads of a call without `threads`: the number of `limit_threads`, else the default."""
    limit = _limit.get()
    return default_threads() if limit is None else limit


def default_threads() -> int:
    """Return NUMBA_NUM_THREADS; without it, the number of processors."""
    config = sys.modules.get("numba.core.config")  # has no number while another thread imports it
    return getattr(config, "NUMBA_NUM_THREADS", 0) or _number_of_environment()


@functools.cache  # reading the environment takes 1 µs
def _number_of_environment() -> int:
    variable = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, int(variable)) if variable.isdecimal() else available_cores()


@contextlib.contextmanager
def limit_threads(number: int) -> Iterator[None]:
    """Temporarily override the number of threads, for calls that this thread makes."""
    token = _limit.set(number)
    try:
        yield
    finally:
        _limit.reset(token)
