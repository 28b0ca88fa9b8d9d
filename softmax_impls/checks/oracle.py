"""The exact answer, computed with mpmath. Every implementation is compared with it.

`given_probs` is the exact result for the rounded p and g that the kernel receives. `given_logits` is the exact gradient
that a user wants. The two differ, because rounded p do not sum to 1. Both are computed by the textbook formula, which
shares no trick with the implementations. Where the formula cancels, more digits make up for it: its error is about
10**-DIGITS times max|g|, and the smallest positive float64 is 5e-324. So `DIGITS` is enough for every case whose answer
a float can hold.

The answers to the inputs of the checks take seconds, so they are kept in the user's cache.
"""

import functools
import hashlib
import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mpmath
import numpy as np
from numpy.typing import NDArray

from softmax_impls.implementation import Array
from softmax_impls.user_cache import replacing, user_cache

DIGITS = 400
DIGEST_BYTES = 32  # of the SHA-256 digest at the beginning of a file

_Row = tuple[Any, ...]  # of mpmath.mpf


@dataclass(frozen=True)
class Exact:
    """Numbers to about 32 digits: the sum ``high + low`` of two float64 arrays (B, D), where `low` is far smaller."""

    high: NDArray[np.float64]
    low: NDArray[np.float64]

    def error_of(self, approximate: Array) -> NDArray[np.float64]:
        """Return |approximate - exact| of each element, accurate also far below a unit in the last place."""
        return np.abs((approximate.astype(np.float64) - self.high) - self.low)


class Answers(NamedTuple):
    """Exact results for one input, which results of implementations are compared with."""

    probs: Exact  # the exact softmax of the logits
    given_probs: Exact  # the exact value for the probabilities, rounded once
    given_logits: Exact  # the exact gradient with respect to the logits


def answers(problems: Sequence[tuple[Array, Array]]) -> list[Answers]:
    """Return the exact results for each pair (logits, grad_output) of arrays, (B, D) each.

    They are read from a file in the user's cache or, if there is none, computed and stored there.
    """
    key = hashlib.sha256(Path(__file__).read_bytes() + mpmath.__version__.encode())
    for array in (array for problem in problems for array in problem):
        key.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
    file = user_cache() / f"exact-{key.hexdigest()[:16]}"
    with suppress(OSError):
        digest, content = (kept := file.read_bytes())[:DIGEST_BYTES], kept[DIGEST_BYTES:]
        if digest == hashlib.sha256(content).digest():  # the file is not damaged
            stored = np.load(io.BytesIO(content)).values()
            return [Answers(*(Exact(*halves) for halves in numbers)) for numbers in stored]
    computed, buffer = [_answer(*problem) for problem in problems], io.BytesIO()
    np.savez(buffer, *(np.stack([(exact.high, exact.low) for exact in answer]) for answer in computed))
    with suppress(OSError), replacing(file) as opened:  # a read-only home, for instance
        opened.write(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    return computed


def _answer(logits: Array, grad_output: Array) -> Answers:
    exact = softmax(logits)
    probs = exact.high.astype(logits.dtype)
    return Answers(exact, given_probs(probs, grad_output), given_logits(logits, grad_output))


def softmax(logits: Array) -> Exact:
    """Return the exact softmax of each row. A row with NaN or +inf, or of -inf only, is NaN throughout."""
    return _solve(_softmax, logits)


def given_probs(probs: Array, grad_output: Array) -> Exact:
    """Return p (g - Σ p g) for exactly these p and g. A row with NaN or inf is NaN throughout."""
    return _solve(_backward, probs, grad_output)


def given_logits(logits: Array, grad_output: Array) -> Exact:
    """Return the gradient with respect to the logits.

    A row of the result is NaN if its logits have no softmax, because they have NaN or inf, or if its g has NaN or inf.
    """
    return _solve(lambda x, g: _backward(_softmax(x), g), logits, grad_output)


def _solve(formula: Callable[..., _Row], *arrays: Array) -> Exact:
    """Apply a formula to the rows of arrays with `DIGITS` digits."""
    high, low = np.empty(arrays[0].shape), np.zeros(arrays[0].shape)
    with mpmath.workdps(DIGITS):
        for i, rows in enumerate(zip(*arrays, strict=True)):
            for j, value in enumerate(formula(*(tuple(map(mpmath.mpf, row.tolist())) for row in rows))):
                high[i, j] = float(value)
                if np.isfinite(high[i, j]):
                    low[i, j] = float(value - mpmath.mpf(high[i, j]))
    return Exact(high, low)


@functools.lru_cache(maxsize=4096)  # each row is needed for the probabilities and for the gradient
def _softmax(logits: _Row) -> _Row:
    largest = max(logits, default=mpmath.mpf(0))
    if any(mpmath.isnan(x) for x in logits) or mpmath.isinf(largest):
        return (mpmath.nan,) * len(logits)
    powers = [mpmath.exp(x - largest) for x in logits]
    total = mpmath.fsum(powers)
    return tuple(power / total for power in powers)


def _backward(probs: _Row, grad_output: _Row) -> _Row:
    if not all(mpmath.isfinite(value) for value in (*probs, *grad_output)):
        return (mpmath.nan,) * len(probs)
    total = mpmath.fdot(probs, grad_output)
    return tuple(p * (g - total) for p, g in zip(probs, grad_output, strict=True))
