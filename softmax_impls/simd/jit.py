"""`jit`: Numba's decorator with a cache on disk, which a change of any file in this folder invalidates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

from softmax_impls import threads

F = TypeVar("F", bound=Callable[..., Any])

# The files whose functions and constants Numba compiles into kernels of other files, by time of change and size.
_HELPERS = tuple(
    (file.stat().st_mtime, file.stat().st_size)
    for file in (*sorted(Path(__file__).parent.glob("*.py")), Path(threads.__file__))
)


def jit(**options: Any) -> Callable[[F], F]:
    """Return `numba.njit` with these options; compiled code is cached where a folder for the cache is writable."""

    def decorate(function: F) -> F:
        try:
            dispatcher = njit(cache=True, **options)(function)
        except (RuntimeError, OSError):  # "cannot cache function: no locator available", or there is no such folder
            return cast(F, njit(**options)(function))
        _stamp_with_helpers(dispatcher)
        return cast(F, dispatcher)

    return decorate


def _stamp_with_helpers(dispatcher: Any) -> None:
    """Let the cache depend on the helper files too: Numba itself checks only the file that defines the function."""
    cache: Any = getattr(dispatcher, "_cache", None)
    index: Any = getattr(cache, "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _HELPERS)
