"""The rule that ``impl="auto"`` follows, as data that can be read, and the reason it gives for what it picks.

There is one built in, and there may be one that was made from measurements on this machine, see `tuned`.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import operator
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from softmax_impls import tuned
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


COMPILED = "numba_simd"  # what Numba compiles by the built-in rule; `api` has a short way into it

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
        COMPILED,
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
    rule: str = tuned.BUILT_IN  # or the file that it was read from

    def __str__(self) -> str:
        threads = f", in {self.threads} threads" if self.threads > 1 else ""
        told = f"{self.impl}, for shape {self.shape} of {self.dtype}{threads} ({self.when}): {self.because}"
        return f"{told} [{self.rule} rule]" if self.rule == tuned.BUILT_IN else f"{told} [rule of {self.rule}]"


def pick(rows: int, classes: int, dtype: np.dtype[Any], threads: int = 1) -> Rule:
    """Return the first rule that holds."""
    call = Call(rows, classes, dtype, threads, compiler=has_compiler())
    return next(rule for rule in in_force()[0] if rule.holds(call))


@functools.cache
def in_force() -> tuple[tuple[Rule, ...], str, tuple[tuned.Line, ...]]:
    """Return the rules that are followed, where they come from, and the lines they had there.

    They are looked up once in a process.
    """
    path = tuned.place() if has_compiler() else None
    if path is None:
        return RULES, tuned.BUILT_IN, ()
    try:
        if not (path.exists() or os.environ.get(tuned.VARIABLE)):
            return RULES, tuned.BUILT_IN, ()
        lines = tuned.read(path)
        return tuple(_rule(line) for line in lines), str(path), lines
    except (OSError, ValueError, ImportError) as error:  # a package's metadata may be missing
        warnings.warn(f"the built-in rule is used instead of {path}: {error}", RuntimeWarning, stacklevel=4)
        return RULES, tuned.BUILT_IN, ()


def asked_above() -> int | None:
    """Return above how many elements the rule has to be asked where Numba compiles; None if it need not be."""
    lines = in_force()[2]
    return tuned.asked_above(lines, COMPILED) if lines else None


def _rule(line: tuned.Line) -> Rule:
    return Rule(
        line.impl,
        when=line.in_words(),
        holds=lambda call: line.holds(call.rows, call.classes, max(4, call.dtype.itemsize), call.threads),
        because="measured on this machine, by softmax-impls tune",
    )


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
        With `impl`, `when`, `because`, and `rule`: "built-in", or the file that softmax-impls tune has written; it
        prints as a sentence.

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
    shared = rule.impl == COMPILED and 3 * rows * classes * max(4, wanted.itemsize) >= SHARED_FROM
    running = min(allowed, cores(), MOST_THREADS) if shared else 1
    return Choice(rule.impl, sizes, wanted.name, running, rule.when, rule.because, in_force()[1])


@functools.cache
def has_compiler() -> bool:
    """Whether Numba is installed and compiles, found out without importing it."""
    switched_off = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
    return not switched_off and importlib.util.find_spec("numba") is not None
