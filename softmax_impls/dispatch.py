"""The rule that ``impl="auto"`` follows, as data that can be read, and the reason it gives for what it picks."""

from __future__ import annotations

import functools
import importlib.util
import math
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from softmax_impls.arguments import as_threads, normalize_axes
from softmax_impls.backward._limits import MOST_THREADS, SHARED_FROM, cores


@dataclass(frozen=True)
class Call:
    """What is known when an implementation has to be picked."""

    rows: int
    classes: int
    dtype: np.dtype[Any]
    threads: int
    compiler: bool


@dataclass(frozen=True)
class Rule:
    """One line of the dispatch: the first rule whose condition holds decides."""

    impl: str
    when: str
    holds: Callable[[Call], bool]
    because: str


# No rule looks at the size: `numba_simd` has a way for each by itself, and of those that are exact it is the fastest at
# every size that `softmax-impls compare` looks at. "auto" never trades accuracy for speed.
RULES = (
    Rule(
        "pivoted",
        when="Numba's compiler is missing or switched off (NUMBA_DISABLE_JIT)",
        holds=lambda call: not call.compiler,
        because="without the compiler NumPy is far faster than interpreted loops, and this form is just as exact",
    ),
    Rule(
        "numba_simd",
        when="Numba compiles",
        holds=lambda call: True,
        because="it is right about the logits' gradient, also where rows saturate, and the fastest of those that are",
    ),
)


@dataclass(frozen=True)
class Choice:
    """What "auto" picks for a call, in how many threads it runs, and why; printing it gives a sentence."""

    impl: str
    shape: tuple[int, ...]
    dtype: str
    threads: int
    when: str
    because: str

    def __str__(self) -> str:
        threads = f", in {self.threads} threads" if self.threads > 1 else ""
        return f"{self.impl}, for shape {self.shape} of {self.dtype}{threads} ({self.when}): {self.because}"


def pick(rows: int, classes: int, dtype: np.dtype[Any], threads: int = 1) -> Rule:
    """Return the first rule that holds."""
    call = Call(rows, classes, dtype, threads, compiler=has_compiler())
    return next(rule for rule in RULES if rule.holds(call))


def explain(
    shape: int | tuple[int, ...],
    dtype: DTypeLike = np.float64,
    *,
    axis: int | tuple[int, ...] | None = -1,
    threads: int | None = None,
) -> Choice:
    """Say which implementation ``impl="auto"`` picks for a call, and why.

    Parameters
    ----------
    shape : int or tuple of int
        The shape of `probs`, with the classes on `axis`.
    dtype : dtype, optional
        float64 (the default), float32 or float16.
    axis : int, tuple of int or None, optional
        As in `softmax_backward`.
    threads : int, optional
        How many threads the call may use; by default as many as Numba may (NUMBA_NUM_THREADS).

    Returns
    -------
    Choice
        With `impl`, `when` and `because`; it prints as a sentence.

    Raises
    ------
    TypeError
        If the dtype is none of those, or a number is not an integer.
    ValueError
        If a size is negative, the axis is out of range or there is less than one thread.

    Examples
    --------
    >>> from softmax_impls import explain, implementations
    >>> choice = explain((128, 1000), "float32")
    >>> implementations()[choice.impl].accurate_for
    'logits'
    """
    try:
        sizes = tuple(operator.index(n) for n in (shape if isinstance(shape, tuple | list) else (shape,)))
    except TypeError as error:
        raise TypeError(f"shape must be an integer or a tuple of integers: {error}") from None
    if any(n < 0 for n in sizes):
        raise ValueError(f"shape must not have negative sizes, got {sizes}")
    wanted = np.dtype(dtype)
    if wanted.kind != "f" or wanted.itemsize not in (2, 4, 8):
        raise TypeError(f"dtype must be float16, float32 or float64, got {wanted}")
    allowed = as_threads(threads)
    classes = math.prod(sizes[a] for a in normalize_axes(axis, len(sizes)) if sizes)
    rows = math.prod(sizes) // classes if classes else 0
    rule = pick(rows, classes, wanted, allowed)
    shared = rule.impl == "numba_simd" and 3 * rows * classes * max(4, wanted.itemsize) >= SHARED_FROM
    return Choice(
        rule.impl, sizes, wanted.name, min(allowed, cores(), MOST_THREADS) if shared else 1, rule.when, rule.because
    )


@functools.cache
def has_compiler() -> bool:
    """Whether Numba is installed and compiles, found out without importing it."""
    switched_off = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
    return not switched_off and importlib.util.find_spec("numba") is not None
