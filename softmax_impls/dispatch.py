"""The table of rules by which ``impl="auto"`` picks an implementation, and `explain`, which states the choice."""

import functools
import importlib.util
import math
import operator
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from softmax_impls.formatting import one_line
from softmax_impls.layout import as_thread_count, normalize_axes
from softmax_impls.simd.sizes import BYTES_PER_THREAD, SHARED_FROM
from softmax_impls.threads import MAX_THREADS, available_cores, num_threads


@functools.cache
def has_compiler() -> bool:
    """Whether Numba is installed and its compiler is not switched off. This does not import Numba."""
    switched_off = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
    return not switched_off and importlib.util.find_spec("numba") is not None


_failures: set[str] = set()  # implementations that Numba failed to compile in this process


def compiles(impl: str) -> bool:
    """Whether Numba's compiler is available, and has not failed to compile `impl` in this process."""
    return has_compiler() and impl not in _failures


def fall_back(impl: str, error: Exception) -> bool:
    """Record that `impl` cannot be compiled here, and return whether "auto" has another implementation.

    The first failure in a process also causes a warning.
    """
    if impl == RULES[-1].impl:
        return False
    if impl in _failures:  # another thread has recorded it
        return True
    _failures.add(impl)
    if len(_failures) == 1:
        rest = " or ".join(rule.impl for rule in RULES if rule.impl != impl)
        message = f"{impl} can't be compiled here, so impl='auto' uses {rest}. {one_line(error)}"
        warnings.warn(message, RuntimeWarning, stacklevel=4)
    return True


@dataclass(frozen=True)
class Rule:
    """A rule of the table `RULES`: an implementation, and the condition in which impl="auto" picks it."""

    impl: str
    when: str  # the condition in words
    because: str


# The first implementation that compiles is picked; the last needs no compiler. No rule looks at the size: numba_simd
# adapts to the size, and is the fastest of the implementations that stay accurate on saturated rows. "auto" never
# trades accuracy for speed.
RULES = (
    Rule(
        "numba_simd",
        when="Numba compiles",
        because="it is accurate to a few ulps, also on saturated rows, and the fastest implementation that is",
    ),
    Rule(
        "numba_pivoted",
        when="numba_simd can't be compiled with this version of Numba, or for this processor",
        because="it is as accurate, and the fastest of the other implementations that are",
    ),
    Rule(
        "pivoted",
        when="Numba's compiler is missing, fails, or is switched off (NUMBA_DISABLE_JIT)",
        because="it is as accurate, and without the compiler NumPy is far faster than interpreted loops",
    ),
)


def pick() -> Rule:
    """Return the first rule whose implementation compiles; the last rule if none does."""
    return next((rule for rule in RULES[:-1] if compiles(rule.impl)), RULES[-1])


@dataclass(frozen=True)
class Choice:
    """The implementation that "auto" picks for a call, and why. A choice prints as a sentence."""

    impl: str
    shape: tuple[int, ...]
    dtype: str
    threads: int  # the largest number that the call uses; if arrays are copied in blocks, a block may use fewer
    when: str  # the condition of the rule
    because: str  # the reason of the rule

    def __str__(self) -> str:
        threads = f", in {self.threads} threads" if self.threads > 1 else ""
        return f"{self.impl}, for shape {self.shape} of {self.dtype}{threads} ({self.when}): {self.because}"


def explain(
    shape: int | tuple[int, ...],
    dtype: DTypeLike = np.float64,
    *,
    axis: int | tuple[int, ...] | None = -1,
    threads: int | None = None,
) -> Choice:
    """Explain which implementation ``impl="auto"`` picks for a call.

    Parameters
    ----------
    shape : int or tuple of int
        The shape of `probs`, with the classes on `axis`.
    dtype : dtype, optional
        float64 (the default), float32 or float16.
    axis : int, tuple of int or None, optional
        As in `softmax_backward`.
    threads : int, optional
        The number of threads that the call may use. By default the value of NUMBA_NUM_THREADS.

    Returns
    -------
    Choice
        With the attributes `impl`, `threads`, `when` and `because`. It prints as a sentence.

    Raises
    ------
    TypeError
        If a size, `axis` or `threads` is not an integer, or `dtype` is not a float dtype of at most 8 bytes.
    ValueError
        If a size is negative, `axis` is out of range or repeated, or `threads` is less than 1.

    Examples
    --------
    >>> from softmax_impls import explain, implementations
    >>> choice = explain((128, 1000), "float32")
    >>> implementations()[choice.impl].accurate_for
    'logits'
    """
    sizes = _as_sizes(shape)
    wanted: np.dtype[Any] = np.dtype(dtype)
    if wanted.kind != "f" or wanted.itemsize not in (2, 4, 8):
        raise TypeError(f"dtype must be float16, float32 or float64, got {wanted}")
    allowed = num_threads() if threads is None else as_thread_count(threads)
    normalize_axes(axis, len(sizes))
    rule = pick()
    moved_bytes = 3 * math.prod(sizes) * max(4, wanted.itemsize)
    shared = rule.impl == "numba_simd" and moved_bytes >= SHARED_FROM
    running = min(allowed, available_cores(), MAX_THREADS, max(2, moved_bytes // BYTES_PER_THREAD)) if shared else 1
    return Choice(rule.impl, sizes, wanted.name, running, rule.when, rule.because)


def _as_sizes(shape: object) -> tuple[int, ...]:
    """Return a shape as a tuple of ints."""
    try:
        sizes = tuple(operator.index(n) for n in (shape if isinstance(shape, tuple | list) else (shape,)))
    except TypeError as error:
        raise TypeError(f"shape must be an integer or a tuple of integers: {error}") from None
    if any(n < 0 for n in sizes):
        raise ValueError(f"shape must not have negative sizes, got {sizes}")
    return sizes
