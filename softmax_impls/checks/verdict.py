"""The gate's record of an implementation: the checks that it failed, and the size of its errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from softmax_impls.checks.bounds import Floats
from softmax_impls.checks.inputs import Case
from softmax_impls.formatting import one_line

Check = Literal[
    "runs",  # returns without an exception, and writes into `out` instead of returning the result
    "value",  # p (g - Σ p g) for the given p and g
    "logits",  # the gradient with respect to the logits, for kernels that are accurate for it
    "non-finite",  # rows with NaN or inf have no finite results
    "inputs",  # the inputs are not modified
    "written",  # the result does not depend on the earlier contents of `out`
    "in place",  # the result is right where `out` is an input that the record allows
    "numeric",  # agrees with numeric gradients
    "shapes",  # p (g - Σ p g) at more shapes, and in a repeated call
    "memory",  # takes no more temporary memory than the record states
    "pairs",  # agrees with the implementations that passed
    "forward",  # softmax itself
]


@dataclass(frozen=True)
class Failure:
    """A failed check.

    Attributes
    ----------
    check : str
        The name of the check.
    where : str
        The input, as "standard normal float32".
    seen : str
        The observation, as "probs was modified".
    """

    check: Check
    where: str
    seen: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.seen}"


@dataclass
class Verdict:
    """The failures and errors of an implementation.

    Attributes
    ----------
    name : str
        The name of the implementation.
    accurate_for : {"probs", "logits"}
        From its record.
    failures : list of Failure
        Empty if every check passed.
    errors : dict of str to dict of str to float
        dtype -> kind of input -> the largest relative error of a row, max|error| / max|gradient|, against the gradient
        with respect to the logits. Rows whose gradient is zero are left out.
    """

    name: str
    accurate_for: str
    failures: list[Failure] = field(default_factory=list)
    errors: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether every check passed."""
        return not self.failures

    def failed(self, *checks: str) -> bool:
        """Whether any of these checks failed."""
        return any(failure.check in checks for failure in self.failures)

    def note_error(self, case: Case, kind: str, error: Floats, truth: Floats) -> None:
        """Keep the largest relative error of a row in `errors`.

        Parameters
        ----------
        case : Case
            The input; its dtype is a key of `errors`.
        kind : str
            The other key.
        error, truth : ndarray of float64
            The error and the exact result, (B, D). A row whose exact result is below the normal numbers of the dtype
            is compared with the smallest normal number.
        """
        size = np.abs(truth).max(axis=-1, initial=0)
        rows = size > 0  # neither NaN nor zero
        if rows.any():
            relative = error[rows].max(axis=-1) / np.maximum(size[rows], float(np.finfo(case.probs.dtype).tiny))
            of_dtype = self.errors.setdefault(str(case.probs.dtype), {})
            of_dtype[kind] = max(of_dtype.get(kind, 0.0), float(relative.max()))

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for JSON. Infinite errors become None, because JSON has no inf."""
        errors = {
            dtype: {kind: error if np.isfinite(error) else None for kind, error in kinds.items()}
            for dtype, kinds in self.errors.items()
        }
        failures = [dataclasses.asdict(failure) for failure in self.failures]
        return {"right": self.right, "accurate_for": self.accurate_for, "errors": errors, "failures": failures}


def exception_failure(where: object, error: BaseException) -> Failure:
    """Return the failure of a kernel that raised an exception."""
    return Failure("runs", str(where), f"raised {one_line(error)}")


def bound_failures(check: Check, where: object, error: Floats, bound: Floats) -> Iterator[Failure]:
    """Yield a failure if any error is NaN or larger than its bound; both arrays have one shape."""
    wrong = ~(error <= bound)
    if wrong.any():
        worst = np.argmax(np.where(np.isnan(error), np.inf, error) / bound)
        seen = f"off by {error.flat[worst]:.2g}, but rounding explains at most {bound.flat[worst]:.2g}"
        yield Failure(check, str(where), seen)
