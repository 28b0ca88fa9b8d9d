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
HOW_STATED = (  # printed by `choose` after it has measured
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
        """Whether a cell has the question's shape, dtype and number of threads, and its classes on the last axis."""
        wanted = self.batch, self.dim, self.dtype, self.threads
        return (cell.batch, cell.dim, cell.dtype, cell.threads) == wanted and cell.key.axis == -1


@dataclass(frozen=True)
class Candidate:
    """An implementation that meets the requirements, and its time at the shape."""

    name: str
    seconds: float  # of a call
    low: float  # Nine of ten times are from `low` to `high`, also while other programs run. NaN if unknown.
    high: float  # If a call in several threads was just measured, the range includes its time in one thread.
    temporary_bytes: float  # NaN if unknown
    error: float  # worst error of a row in the checks, relative to the row's largest gradient; NaN if unknown
    accurate_for: Accuracy | None = None  # None if unknown
    spec: str = ""  # where a user's kernel is defined: "package.module:function"
    error_bound: float = math.nan  # for our implementations, at least `error`; inf without a bound. For others, `error`


@dataclass(frozen=True)
class Source:
    """The measurements that an answer is based on."""

    tool: str
    machine: str
    commit: str  # empty if unknown
    here: bool  # whether `machine` is this machine
    files: tuple[str, ...]
    versions: Mapping[str, str]  # of Python and packages, in the newest cell
    time: datetime.datetime | None  # of the newest cell
    cells: int  # number of cells
    batch: tuple[int, int]  # smallest and largest batch
    dim: tuple[int, int]  # smallest and largest dim


@dataclass(frozen=True, repr=False)
class Answer:
    """The comparison of the implementations that meet the requirements of a question.

    Only candidates that stay accurate on saturated rows can be recommended, unless the question allows any accuracy.
    """

    question: Question
    basis: str  # MEASURED, PREDICTED or OUTSIDE
    candidates: Mapping[str, Candidate] = field(default_factory=dict)  # fastest first; empty if `basis` is OUTSIDE
    comparison: Comparison | None = None  # only candidates that can be recommended win or tie; None if there are none
    ruled_out: Mapping[str, str] = field(default_factory=dict)  # the other implementations, with the reasons
    rounds: int = 0  # number of samples of `comparison.best`; 0 if its time is predicted
    just_measured: bool = False  # whether the shape was measured for this answer
    source: Source | None = None  # None if nothing was measured with this dtype and number of threads
    doubts: tuple[str, ...] = ()  # reasons, besides ties, why a single winner is not sure
    usage: Usage | None = None  # the code that calls `pick`; None if it is not known

    @property
    def winners(self) -> tuple[str, ...]:
        """The fastest candidate that can be recommended, and the candidates that tie with it."""
        return (self.comparison.best, *self.comparison.ties) if self.comparison else ()

    @property
    def pick(self) -> Candidate | None:
        """The winner to use: the implementation of the default call if it is a winner, else the fastest."""
        name = preferred({name: self.ratio(name).value for name in self.winners}, margin=math.inf)
        return self.candidates[name] if name else None

    @property
    def sure(self) -> bool:
        """Whether there is a single winner, and `doubts` is empty."""
        return len(self.winners) == 1 and not self.doubts

    @property
    def runner_up(self) -> Candidate | None:
        """The fastest candidate besides `pick` that can be recommended."""
        return next((c for c in self.candidates.values() if self.allows(c) and c is not self.pick), None)

    @property
    def more_accurate(self) -> Candidate | None:
        """The fastest candidate that stays accurate on saturated rows; None if `pick` itself stays accurate."""
        if self.pick is None or self.pick.accurate_for == "logits":
            return None
        return next((c for c in self.candidates.values() if c.accurate_for == "logits"), None)

    def allows(self, candidate: Candidate) -> bool:
        """Whether a candidate can be recommended: it stays accurate on saturated rows, or any accuracy is allowed."""
        return self.question.any_accuracy or candidate.accurate_for == "logits"

    def ratio(self, name: str) -> Ratio:
        """Return the time of a candidate over the time of `comparison.best`; NaN if none can be recommended."""
        if self.comparison is None:
            return Ratio(math.nan, math.nan, math.nan)
        return Ratio(1.0, 1.0, 1.0) if name == self.comparison.best else self.comparison.ratios[name]

    def __repr__(self) -> str:
        use = f"use {self.pick.name}, {format_seconds(self.pick.seconds)}" if self.pick else "nothing to recommend"
        return f"<Answer: {use}; {self.basis}{', sure' if self.sure else ''}>"

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as a dictionary for JSON: None stands for NaN and infinity."""
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
    """Return the implementation to prefer, from the ratios of times by name; "" if there are no names.

    It is the implementation of the default call if its ratio is at most 1 + `margin` times the smallest ratio.
    Otherwise it is the implementation with the smallest ratio.
    """
    default, least = dispatch.pick().impl, min(ratios, key=ratios.__getitem__, default="")
    return default if default in ratios and ratios[default] <= ratios[least] * (1 + margin) else least
