"""`jit`: Numba's decorator with a cache on disk, which a change of any file in this folder invalidates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import njit

from softmax_impls import threads

F = TypeVar("F", bound=Callable[..., Any])

# The files whose functions and constants Numba compiles into kernels of other files, by time of change and size.
_FILES = (*sorted(Path(__file__).parent.glob("*.py")), Path(threads.__file__))
_HELPERS = tuple((file.stat().st_mtime, file.stat().st_size) for file in _FILES)


def jit(**options: Any) -> Callable[[F], F]:
    """Return `numba.njit` with these options; compiled code is cached where a folder for the cache is writable."""

    def decorate(function: Any) -> Any:
        try:
            dispatcher: Any = njit(cache=True, **options)(function)
        except (RuntimeError, OSError):  # "cannot cache function: no locator available", or there is no such folder
            return njit(**options)(function)
        # Numba checks only the file that defines the function. Interpreted functions have no cache.
        index: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
        if hasattr(index, "_source_stamp"):
            index._source_stamp = (index._source_stamp, _HELPERS)
        return dispatcher

    return decorate
