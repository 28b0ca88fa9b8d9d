"""Numba's decorator as the kernels here use it: typed, and cached on disk where the disk allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

# What kernels are made of, apart from their own files: when it was last changed, and how large it is.
_HELPERS = tuple((file.stat().st_mtime, file.stat().st_size) for file in sorted(Path(__file__).parent.glob("_*.py")))


def jit(**options: Any) -> Callable[[F], F]:
    """`numba.njit` with ``cache=True``, or without where there is no writable place for a cache."""

    def decorate(function: F) -> F:
        try:
            return cast(F, _stamped(njit(cache=True, **options)(function)))
        except (RuntimeError, OSError):  # "cannot cache function: no locator available", or no such folder
            return cast(F, njit(**options)(function))

    return decorate


def _stamped(dispatcher: Any) -> Any:
    """Make what is cached stale when a helper changes, too: Numba itself looks at the kernel's own file only."""
    cache: Any = getattr(dispatcher, "_cache", None)
    index: Any = getattr(cache, "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _HELPERS)
    return dispatcher
