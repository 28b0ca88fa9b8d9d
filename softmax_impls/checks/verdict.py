"""What is found about an implementation: failures, and how far off it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from softmax_impls.checks.bounds import Floats
from softmax_impls.checks.inputs import Case
from softmax_impls.formatting import one_line


@dataclass(frozen=True)
class Failure:
    """One thing found wrong: which check, on what, and what was seen."""

    check: str
    where: str
    seen: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.seen}"


@dataclass
class Verdict:
    """What the gate found about one implementation.

    `errors` is the worst norm-wise relative error of a row, max|error| / max|gradient|, against the gradient with
    respect to the logits, by dtype and kind of input; rows whose true gradient is zero have none.
    """

    name: str
    accurate_for: str
    failures: list[Failure] = field(default_factory=list)
    errors: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.failures

    def failed(self, *checks: str) -> bool:
        """Whether any of these checks found something."""
        return any(one.check in checks for one in self.failures)

    def note_error(self, case: Case, kind: str, error: Floats, truth: Floats) -> None:
        """Keep the worst row's error, (B, D) each; a gradient below the normal numbers is measured against those."""
        size = np.abs(truth).max(axis=-1, initial=0)
        rows = size > 0  # neither NaN nor zero
        if rows.any():
            relative = error[rows].max(axis=-1) / np.maximum(size[rows], float(np.finfo(case.probs.dtype).tiny))
            of_dtype = self.errors.setdefault(str(case.probs.dtype), {})
            of_dtype[kind] = max(of_dtype.get(kind, 0.0), float(relative.max()))

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON, which has no inf."""
        errors = {
            dtype: {kind: error if np.isfinite(error) else None for kind, error in kinds.items()}
            for dtype, kinds in self.errors.items()
        }
        failures = [dataclasses.asdict(failure) for failure in self.failures]
        return {"right": self.right, "accurate_for": self.accurate_for, "errors": errors, "failures": failures}


def raised(where: object, error: BaseException) -> Failure:
    """Return the failure that an exception is."""
    return Failure("runs", str(where), f"raised {one_line(error)}")


def beyond(check: str, where: object, error: Floats, bound: Floats) -> Iterable[Failure]:
    """Yield a failure if an error is beyond its bound, or NaN."""
    wrong = ~(error <= bound)
    if wrong.any():
        worst = np.argmax(np.where(np.isnan(error), np.inf, error) / bound)
        seen = f"off by {error.flat[worst]:.2g}, where rounding explains {bound.flat[worst]:.2g}"
        yield Failure(check, str(where), seen)
