"""Numba's decorator as the kernels here use it: typed, and cached on disk where the disk allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def jit(**options: Any) -> Callable[[F], F]:
    """`numba.njit` with ``cache=True``, or without where there is no writable place for a cache.

    Numba's cache looks at the kernel's own file only: options belong there, spelled out, so that changing one
    makes the cached code stale.
    """

    def decorate(function: F) -> F:
        try:
            return cast(F, njit(cache=True, **options)(function))
        except (RuntimeError, OSError):  # "cannot cache function: no locator available", or no such folder
            return cast(F, njit(**options)(function))

    return decorate
