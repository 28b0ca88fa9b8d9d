"""The answer to "which implementation is fastest at this shape?", how sure it is, and its source."""

import datetime
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

import msgspec

from softmax_impls.timing.statistics import Comparison, Ratio

MEASURED, INTERPOLATED, OUTSIDE = "measured", "interpolated", "outside"  # at, between or outside the measured shapes
MORE_ACCURATE = 10  # factor between two errors that is worth mentioning


@dataclass(frozen=True)
class Question:
    """A shape, and the requirements that an implementation has to meet."""

    batch: int
    dim: int
    dtype: str
    threads: int = 1
    max_memory: float = math.inf  # bytes of temporary memory of a call
    max_error: float = math.inf  # of a row, relative to its largest gradient with respect to the logits


@dataclass(frozen=True)
class Candidate:
    """An implementation that meets the requirements, and its time at the shape."""

    name: str
    seconds: float  # of a call
    low: float  # an interval around it; NaN if there is a single sample
    high: float
    temporary_bytes: float  # NaN if unknown
    error: float  # NaN if unknown


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


@dataclass(frozen=True)
class Answer:
    """The implementations that meet the requirements of a question, compared."""

    question: Question
    basis: str  # MEASURED, INTERPOLATED or OUTSIDE
    candidates: Mapping[str, Candidate] = field(default_factory=dict)  # fastest first; empty outside
    comparison: Comparison | None = None  # of the candidates; None without candidates
    ruled_out: Mapping[str, str] = field(default_factory=dict)  # the other implementations, with the reasons
    rounds: int = 0  # samples of the fastest candidate, if the shape was measured
    source: Source | None = None  # None if nothing was measured with this dtype and number of threads

    @property
    def winners(self) -> tuple[str, ...]:
        """The fastest candidate and the candidates that tie with it."""
        return (self.comparison.best, *self.comparison.ties) if self.comparison else ()

    @property
    def pick(self) -> Candidate | None:
        """The candidate to use: the most accurate that ties with the fastest; of equally accurate ones, the fastest."""
        tied = [self.candidates[name] for name in self.winners]
        return min(tied, key=lambda candidate: (magnitude(candidate.error), candidate.seconds), default=None)

    @property
    def sure(self) -> bool:
        """Whether all other candidates are slower by more than noise and by more than interpolation may be off."""
        return len(self.winners) == 1

    @property
    def runner_up(self) -> tuple[Candidate, Ratio | None] | None:
        """The fastest candidate besides `pick`, and its ratio to the fastest; None if it is the fastest itself."""
        name = next((name for name, candidate in self.candidates.items() if candidate is not self.pick), None)
        return (self.candidates[name], self.comparison.ratios.get(name)) if name and self.comparison else None

    @property
    def more_accurate(self) -> Candidate | None:
        """The fastest candidate whose error is less than a tenth of the error of `pick`; None if there is none."""
        pick = self.pick
        return next((c for c in self.candidates.values() if pick and MORE_ACCURATE * c.error < pick.error), None)

    def ratio(self, name: str) -> Ratio:
        """Return the time of a candidate over the time of the fastest."""
        return (self.comparison.ratios.get(name) if self.comparison else None) or Ratio(1.0, 1.0, 1.0)

    def as_dict(self) -> dict[str, Any]:
        """Return the answer with types that JSON has: None in place of NaN and infinity."""
        source = self.source
        fields = {
            "question": self.question,
            "basis": self.basis,
            "use": self.pick and self.pick.name,
            "sure": self.sure,
            "ties": [name for name in self.candidates if name in self.winners[1:]],
            "runner_up": self.runner_up and self.runner_up[0].name,
            "candidates": {
                name: vars(candidate) | {"times_the_fastest": astuple(self.ratio(name))}
                for name, candidate in self.candidates.items()
            },
            "ruled_out": self.ruled_out,
            "source": source and vars(source) | {"time": source.time and source.time.isoformat()},
        }
        return msgspec.json.decode(msgspec.json.encode(fields), type=dict[str, Any])


def magnitude(error: float) -> float:
    """Return the power of ten of an error; inf if it is unknown. Errors of one magnitude count as equal."""
    return math.inf if math.isnan(error) else math.floor(math.log10(max(error, 1e-20)))
