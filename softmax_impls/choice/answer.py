"""The answer to "which implementation is fastest at this shape?", how sure it is, and its source."""

import datetime
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

import msgspec

from softmax_impls import dispatch
from softmax_impls.formatting import format_seconds
from softmax_impls.implementation import Accuracy
from softmax_impls.timing.records import Cell
from softmax_impls.timing.statistics import MIN_MARGIN, Comparison, Ratio
from softmax_impls.usage import Usage

MEASURED, PREDICTED, OUTSIDE = "measured", "predicted", "outside"  # at, between or outside the measured shapes
LOSES_SATURATED_ROWS = (
    "Marked implementations compute p * (g - sum(p * g)) from the rounded p. Their error, relative to the largest "
    "gradient of the row with respect to the logits, is about eps / (1 - max(p)): all digits are lost in a row where "
    "one p is 1 up to rounding, hardly any in a row where no p is near 1."
)
HOW_COMPARED = (
    "Times are medians of calls in a loop, with warm caches. Ratios compare the quieter part of the samples, so they "
    "may differ from the times."
)
HOW_STATED = (  # of `choose`, after it has measured
    "The time of {} is the median of calls in a loop, with warm caches. The other times are this time, multiplied by "
    "their ratios."
)


@dataclass(frozen=True)
class Question:
    """A shape, and the requirements that an implementation has to meet."""

    batch: int
    dim: int
    dtype: str
    threads: int = 1
    max_memory: float = math.inf  # bytes of temporary memory of a call
    max_error: float = math.inf  # limits `Candidate.error_bound`
    any_accuracy: bool = False  # whether an implementation that loses saturated rows may be recommended
    only: tuple[str, ...] = ()  # names of the implementations to choose from; empty for all

    def __post_init__(self) -> None:
        if math.isnan(self.max_memory) or math.isnan(self.max_error):
            raise ValueError(f"max_memory and max_error must be numbers, got {self.max_memory}, {self.max_error}")

    def is_about(self, cell: Cell) -> bool:
        """Whether a cell has the shape, dtype and number of threads of the question."""
        wanted = self.batch, self.dim, self.dtype, self.threads
        return (cell.batch, cell.dim, cell.dtype, cell.threads) == wanted and cell.key.axis == -1


@dataclass(frozen=True)
class Candidate:
    """An implementation that meets the requirements, and its time at the shape."""

    name: str
    seconds: float  # of a call
    low: float  # Nine of ten times are from `low` to `high`, also beside other programs. NaN if unknown.
    high: float  # For several threads, the range includes the time of one thread.
    temporary_bytes: float  # NaN if unknown
    error: float  # the worst of a row in the checks, relative to its largest gradient; NaN if unknown
    accurate_for: Accuracy | None = None  # None if unknown
    spec: str = ""  # of a user's kernel: "package.module:function"
    error_bound: float = math.nan  # of our implementations, at this dim; inf if there is none; of others, `error`


@dataclass(frozen=True)
class Source:
    """The measurements that an answer is based on."""

    tool: str
    machine: str
    commit: str  # empty if unknown
    here: bool  # whether `machine` is this machine
    files: tuple[str, ...]
    versions: Mapping[str, str]  # of the newest cell, like the time
    time: datetime.datetime | None
    cells: int  # how many there are
    batch: tuple[int, int]  # smallest and largest, like `dim`
    dim: tuple[int, int]


@dataclass(frozen=True, repr=False)
class Answer:
    """The implementations that meet the requirements of a question, compared.

    Only candidates that stay accurate on saturated rows can be recommended, unless the question allows any accuracy.
    """

    question: Question
    basis: str  # MEASURED, PREDICTED or OUTSIDE
    candidates: Mapping[str, Candidate] = field(default_factory=dict)  # fastest first; empty outside
    comparison: Comparison | None = None  # only candidates that can be recommended win or tie; None without these
    ruled_out: Mapping[str, str] = field(default_factory=dict)  # the other implementations, with the reasons
    rounds: int = 0  # samples of the fastest candidate, if the shape was measured
    just_measured: bool = False  # for this answer, not before
    source: Source | None = None  # None if nothing was measured with this dtype and number of threads
    doubts: tuple[str, ...] = ()  # reasons, besides ties, why a single winner is not sure
    usage: Usage | None = None  # the code that calls `pick`; None if it is not known

    @property
    def winners(self) -> tuple[str, ...]:
        """The fastest candidate that can be recommended, and those that tie with it."""
        return (self.comparison.best, *self.comparison.ties) if self.comparison else ()

    @property
    def pick(self) -> Candidate | None:
        """The winner to use: the implementation of the default call if it is a winner, else the fastest."""
        name = preferred({name: self.ratio(name).value for name in self.winners}, margin=math.inf)
        return self.candidates[name] if name else None

    @property
    def sure(self) -> bool:
        """Whether all others are slower by more than noise, or than a prediction's error, and nothing casts doubt."""
        return len(self.winners) == 1 and not self.doubts

    @property
    def runner_up(self) -> Candidate | None:
        """The fastest candidate besides `pick` that can be recommended."""
        return next((c for c in self.candidates.values() if self.allows(c) and c is not self.pick), None)

    @property
    def more_accurate(self) -> Candidate | None:
        """The fastest candidate that stays accurate on saturated rows, if `pick` does not."""
        if self.pick is None or self.pick.accurate_for == "logits":
            return None
        return next((c for c in self.candidates.values() if c.accurate_for == "logits"), None)

    def allows(self, candidate: Candidate) -> bool:
        """Whether a candidate can be recommended."""
        return self.question.any_accuracy or candidate.accurate_for == "logits"

    def ratio(self, name: str) -> Ratio:
        """Return the time of a candidate over the time of the fastest that can be recommended; NaN without these."""
        if self.comparison is None:
            return Ratio(math.nan, math.nan, math.nan)
        return Ratio(1.0, 1.0, 1.0) if name == self.comparison.best else self.comparison.ratios[name]

    def __repr__(self) -> str:
        use = f"use {self.pick.name}, {format_seconds(self.pick.seconds)}" if self.pick else "nothing to recommend"
        return f"<Answer: {use}; {self.basis}{', sure' if self.sure else ''}>"

    def as_dict(self) -> dict[str, Any]:
        """Return the answer with types that JSON has: None in place of NaN and infinity."""
        source = self.source
        fields = {
            "question": self.question,
            "basis": self.basis,
            "use": self.pick and self.pick.name,
            "sure": self.sure,
            "just_measured": self.just_measured,
            "doubts": self.doubts,
            "ties": [name for name in self.candidates if name in self.winners[1:]],
            "runner_up": self.runner_up and self.runner_up.name,
            "candidates": {
                name: vars(candidate) | {"times_the_fastest": astuple(self.ratio(name))}
                for name, candidate in self.candidates.items()
            },
            "ruled_out": self.ruled_out,
            "source": source and vars(source) | {"time": source.time and source.time.isoformat()},
            "setup": self.usage and self.usage.setup,
            "code": self.usage and self.usage.line,
        }
        return msgspec.json.decode(msgspec.json.encode(fields), type=dict[str, Any])


def preferred(ratios: Mapping[str, float], margin: float = MIN_MARGIN) -> str:
    """Return the name with the smallest ratio; "" if there are no names.

    If the implementation of the default call is at most `margin` slower, return its name instead.
    """
    default, least = dispatch.pick().impl, min(ratios, key=ratios.__getitem__, default="")
    return default if default in ratios and ratios[default] <= ratios[least] * (1 + margin) else least
