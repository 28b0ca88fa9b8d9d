"""The answer to "which one at this shape?": one to use, how sure that is, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from softmax_impls.timing.statistics import Ratio, Standing

MEASURED, INTERPOLATED, OUTSIDE = "measured", "interpolated", "outside"


@dataclass(frozen=True)
class Question:
    """A shape, and what an implementation must not exceed."""

    batch: int
    dim: int
    dtype: str
    threads: int = 1
    max_memory: float = math.inf  # bytes, beside the arrays
    max_error: float = math.inf  # relative to the largest gradient of a row, with respect to the logits


@dataclass(frozen=True)
class Contender:
    """One implementation at that shape."""

    name: str
    seconds: float  # a call, and an interval for it
    low: float
    high: float
    temporary_bytes: float  # NaN where it is not known, as the error
    error: float

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value for key, value in vars(self).items()
        }


@dataclass(frozen=True)
class Answer:
    """What measurements say.

    Attributes
    ----------
    question : Question
    basis : str
        "measured" in that very cell, "interpolated" between others, or "outside" of all of them.
    contenders : dict of str to Contender
        Those that may be used, the fastest first; none if the shape is outside.
    standing : Standing or None
        Where they stand to each other; None without any.
    ruled_out : dict of str to str
        The others, with why.
    rounds : int
        Samples of the fastest, where that cell was measured.
    source : dict
        What the answer rests on: tool, machine, files, versions, and how many cells.
    """

    question: Question
    basis: str
    contenders: Mapping[str, Contender] = field(default_factory=dict)
    standing: Standing | None = None
    ruled_out: Mapping[str, str] = field(default_factory=dict)
    rounds: int = 0
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pick(self) -> Contender | None:
        """The one to use: of those that are as fast as can be told, the most accurate, then the one fastest."""
        if self.standing is None:
            return None
        as_fast = [self.contenders[name] for name in (self.standing.best, *self.standing.ties)]
        return min(as_fast, key=lambda one: (magnitude(one.error), one.seconds))

    @property
    def sure(self) -> bool:
        """Whether every other one is slower by more than noise, or by more than interpolation may be off."""
        return self.standing is not None and not self.standing.ties

    @property
    def runner_up(self) -> tuple[Contender, Ratio | None] | None:
        """The next one, and its time over the fastest one's; None for the ratio if it is the fastest itself."""
        others = [one for one in self.contenders.values() if one is not self.pick]
        if not others or self.standing is None:
            return None
        return others[0], self.standing.ratios.get(others[0].name)

    @property
    def more_accurate(self) -> Contender | None:
        """The fastest of those that are right to ten times as many parts as the one to use; None if there is none."""
        if self.pick is None:
            return None
        return next((one for one in self.contenders.values() if 10 * one.error < self.pick.error), None)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        ratios = self.standing.ratios if self.standing else {}
        return {
            "question": {key: None if value == math.inf else value for key, value in vars(self.question).items()},
            "basis": self.basis,
            "use": self.pick and self.pick.name,
            "sure": self.sure,
            "ties": [name for name in self.contenders if self.standing and name in self.standing.ties],
            "runner_up": self.runner_up and self.runner_up[0].name,
            "contenders": {
                name: one.as_dict()
                | {"times_the_fastest": [r.value, r.low, r.high] if (r := ratios.get(name)) else [1.0, 1.0, 1.0]}
                for name, one in self.contenders.items()
            },
            "ruled_out": dict(self.ruled_out),
            "source": dict(self.source),
        }


def magnitude(error: float) -> float:
    """Return the power of ten of an error, by which errors that differ by chance are the same; inf if not known."""
    return math.inf if math.isnan(error) else math.floor(math.log10(max(error, 1e-20)))
