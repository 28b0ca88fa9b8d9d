"""The gate's record of an implementation: the checks that it failed, and the size of its errors."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from softmax_impls.checks.bounds import Floats
from softmax_impls.checks.inputs import Case

Check = Literal[
    "runs",  # returns without an exception, and writes into `out` instead of returning the result
    "value",  # p (g - Σ p g) for the given p and g
    "logits",  # the gradient with respect to the logits, for kernels with accurate_for="logits"
    "non-finite",  # rows with NaN or inf have no finite results
    "inputs",  # the inputs are not modified
    "written",  # the result does not depend on the earlier contents of `out`
    "in place",  # the result is right where `out` is an input that the record's `in_place` allows
    "numeric",  # agrees with numeric gradients
    "shapes",  # p (g - Σ p g) at more shapes, and in a repeated call
    "memory",  # takes no more temporary memory than the record states
    "pairs",  # agrees with the implementations that passed
    "forward",  # softmax itself
]


@dataclass(frozen=True)
class Failure:
    """A failed check."""

    check: Check
    where: str  # the input, as "standard normal float32"
    seen: str  # the observation, as "probs was modified"

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.seen}"


@dataclass
class Verdict:
    """The result of checking one implementation: the checks that failed, and its largest errors."""

    name: str
    accurate_for: str
    failures: list[Failure] = field(default_factory=list)
    # dtype -> kind of input -> the largest error of a row against the gradient with respect to the logits, relative to
    # the largest element of that row's gradient. Rows whose gradient is zero or NaN are left out. For kernels with
    # accurate_for="probs", rows in which the formula p (g - Σ p g) overflows are left out, too.
    errors: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether every check passed."""
        return not self.failures

    def failed(self, *checks: str) -> bool:
        """Whether any of these checks failed."""
        return any(failure.check in checks for failure in self.failures)

    def note_error(self, case: Case, kind: str, error: Floats, truth: Floats) -> None:
        """Update the largest error in `errors` for the dtype of a case and a `kind` of input, such as "saturated".

        `error`, (B, D), has the size of each error, and `truth`, (B, D), the exact result. The error of a row is the
        largest error of its elements, divided by the largest |truth| of the row, or by the smallest normal number if
        this is larger.
        """
        size = np.abs(truth).max(axis=-1, initial=0)
        rows = size > 0  # neither NaN nor zero
        if rows.any():
            dtype = case.probs.dtype
            relative = error[rows].max(axis=-1) / np.maximum(size[rows], float(np.finfo(dtype).smallest_normal))
            of_dtype = self.errors.setdefault(str(dtype), {})
            worst = float(np.nan_to_num(relative, nan=np.inf, posinf=np.inf).max())
            of_dtype[kind] = max(of_dtype.get(kind, 0.0), worst)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for JSON. Infinite errors become None, because JSON has no inf."""
        errors = {
            dtype: {kind: error if np.isfinite(error) else None for kind, error in kinds.items()}
            for dtype, kinds in self.errors.items()
        }
        failures = [asdict(failure) for failure in self.failures]
        return {"right": self.right, "accurate_for": self.accurate_for, "errors": errors, "failures": failures}
