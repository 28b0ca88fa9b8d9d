"""The record of an implementation: what a chooser needs to know before anything runs. See `contract` for the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from softmax_impls.wording import in_bytes

Array = NDArray[np.floating[Any]]
Family = Literal["loop", "jacobian", "closed form", "numba", "peer", "user"]
Accuracy = Literal["probs", "logits"]
Temporaries = Callable[[int, int, int], int]
Bound = tuple[Callable[[], Any], Callable[[Any], Array]]  # a call, and how to read what it returned as NumPy
Bind = Callable[[Array, Array, Array | None], Bound]  # from probs, grad_output, and out or None

INPUTS = ("probs", "grad_output")
LARGEST_TEMPORARIES = 4_000_000_000  # bytes that whatever runs implementations lets one take, unless told otherwise


class Backward(Protocol):
    """A kernel: writes dL/dlogits into ``out``, all three arrays (B, D)."""

    def __call__(self, probs: Array, grad_output: Array, out: Array, /) -> None:
        """Write the result into ``out``."""


@dataclass(frozen=True)
class Implementation:
    """What a chooser needs to know about an implementation before anything runs.

    Attributes
    ----------
    name : str
        The name it is asked for by.
    kernel : Backward
        The function itself.
    summary : str
        One line.
    family : str
        "loop", "jacobian", "closed form", "numba", "peer" or "user"; `softmax_backward` hands a kernel of the family
        "user" read-only views of the inputs, since nobody may have checked it.
    accurate_for : str
        "probs": right, to rounding, about ``probs * (grad_output - sum(grad_output * probs))`` for the rounded
        probabilities that came in. "logits": right about the true gradient with respect to the logits as well, also
        where rows are saturated and the textbook form has lost every digit. The checks hold it to what it says.
    temporaries : callable or None
        ``(rows, classes, itemsize) -> bytes``: the temporary memory that a call takes, `out` not counted. None:
        not stated, so it is never pruned.
    in_place : tuple of str
        Which of "probs", "grad_output" may be ``out`` itself.
    requires : tuple of str
        The packages that it needs besides NumPy.
    threaded : bool
        Whether it may use more than one thread.
    bind : callable or None
        For those that have arrays of their own: what converts NumPy's, apart from the call; see `bound`.
    allocates : bool
        Whether its call allocates the result even if there is an `out`.
    flushes : bool
        Whether it takes subnormal numbers for zero.
    hold_threads : callable or None
        Sets the number of threads of the library that it belongs to, and returns the number read back.
    """

    name: str
    kernel: Backward
    summary: str
    family: Family = "user"
    accurate_for: Accuracy = "probs"
    temporaries: Temporaries | None = None
    in_place: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    threaded: bool = False
    bind: Bind | None = None
    allocates: bool = False
    flushes: bool = False
    hold_threads: Callable[[int], int] | None = None

    def bound(self, probs: Array, grad_output: Array, out: Array | None) -> Bound:
        """Return a call on these arrays, to be timed, and a way to read its result; without `out`, it allocates."""
        if self.bind is not None:
            return self.bind(probs, grad_output, out)
        if out is not None:
            return functools.partial(self.kernel, probs, grad_output, out), lambda _: out

        def allocating() -> Array:
            result = np.empty(probs.shape, probs.dtype)
            self.kernel(probs, grad_output, result)
            return result

        return allocating, lambda result: result

    def temporary_bytes(self, rows: int, classes: int, dtype: np.dtype[Any]) -> int:
        """Predicted temporary memory of one call, in bytes; 0 where the record does not state it."""
        return 0 if self.temporaries is None else self.temporaries(rows, classes, dtype.itemsize)

    def too_large(self, rows: int, classes: int, dtype: np.dtype[Any], limit: int = LARGEST_TEMPORARIES) -> str | None:
        """Return why a call is not to be started, as "needs 8.6 GB", or None if it may be."""
        needed = self.temporary_bytes(rows, classes, dtype)
        return f"needs {in_bytes(needed)}" if needed > limit else None


Impl = str | Callable[..., Any] | Implementation  # what an impl= argument takes: a name, a kernel or its record
