"""What results say: the winner or the ties of each cell, and a rule in words over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softmax_impls.choice.comparable import visits_of
from softmax_impls.timing.entry import DROPPED, EXTRAPOLATED, FAILED, LIMIT, TIMED, WRONG
from softmax_impls.timing.session import Row
from softmax_impls.timing.statistics import (
    Ratio,
    Standing,
    margin_of,
    median_interval,
    paired_ratio,
    quiet_ratio,
    stand,
)
from softmax_impls.timing.workloads import GRID, Cell

BASELINE = "column_loop"  # the source's, which every speed-up is quoted against
WITHOUT_COMPILER = ("loop", "jacobian", "closed form")


@dataclass(frozen=True)
class Ranked:
    """One cell's result.

    Attributes
    ----------
    cell : Cell
    rows : dict of str to dict
        The raw row of each implementation, the control left out.
    standing : Standing or None
        None if nothing could be ranked.
    limit : dict or None
        The raw row of what the machine can do at best, see `softmax_impls.timing.roofline`.
    again : Ratio or None
        Of an implementation to itself, run under a second name.
    """

    cell: Cell
    rows: Mapping[str, Row]
    standing: Standing | None
    limit: Row | None = None
    again: Ratio | None = None

    @property
    def winners(self) -> tuple[str, ...]:
        """The fastest, and those it ties with; empty if nothing could be ranked."""
        return (self.standing.best, *self.standing.ties) if self.standing else ()

    @property
    def seconds(self) -> float:
        """One call of the fastest."""
        return float(self.rows[self.winners[0]]["seconds"]) if self.standing else math.nan

    @property
    def gigabytes_per_second(self) -> float:
        """What the fastest moves, two reads and a write counted, 10⁹ bytes a second."""
        return self.cell.moved_bytes / self.seconds / 1e9

    def share_of_limit(self, name: str) -> Ratio | None:
        """Return the machine's limit over an implementation's time, within rounds; None if either is unknown."""
        samples = self.rows[name]["samples"] if name in self.rows else []
        return paired_ratio(self.limit["samples"], samples) if self.limit and samples else None

    @property
    def noise(self) -> float | None:
        """By how much an implementation seemed to differ from itself; None where it did not run twice."""
        return max(self.again.value, 1 / self.again.value) - 1 if self.again else None

    @property
    def speedup(self) -> tuple[float, bool] | None:
        """How many times as fast as the source's loop, and whether that one's time is extrapolated; None without it."""
        baseline = self.rows.get(BASELINE)
        if baseline is None or not baseline["seconds"] or not self.standing:
            return None
        return baseline["seconds"] / self.seconds, baseline["status"] == EXTRAPOLATED

    def times_best(self, name: str) -> float:
        """Time of an implementation over the fastest one's; inf if it was not ranked."""
        if self.standing is None:
            return math.inf
        if name == self.standing.best:
            return 1.0
        ratio = self.standing.ratios.get(name)
        return ratio.value if ratio else math.inf

    def as_dict(self) -> dict[str, Any]:
        """Return what a program wants to know, for JSON."""
        speedup = self.speedup
        return {
            "workload": self.cell.workload,
            "batch": self.cell.rows,
            "dim": self.cell.classes,
            "dtype": self.cell.dtype,
            "threads": self.cell.threads,
            "winners": list(self.winners),
            "seconds": None if math.isnan(self.seconds) else self.seconds,
            "gigabytes_per_second": None if math.isnan(self.seconds) else self.gigabytes_per_second,
            "speedup_over_source": speedup and speedup[0],
            "speedup_is_extrapolated": speedup and speedup[1],
            "limit_seconds": self.limit and self.limit["seconds"],
            "noise": self.noise,
            "margin": self.standing and self.standing.margin,
            "implementations": {name: self._one_as_dict(name, row) for name, row in self.rows.items()},
        }

    def _one_as_dict(self, name: str, row: Row) -> dict[str, Any]:
        ratio = self.standing.ratios.get(name) if self.standing else None
        share = self.share_of_limit(name)
        return {
            "status": row["status"],
            "note": row["note"],
            "seconds": row["seconds"],
            "interval": median_interval(row["samples"]) if row["samples"] else None,
            "rounds": len(row["samples"]),
            "times_the_fastest": [ratio.value, ratio.low, ratio.high] if ratio else None,
            "share_of_limit": [share.value, share.low, share.high] if share else None,
        }


@dataclass(frozen=True)
class Coverage:
    """How well one implementation serves over many cells."""

    name: str
    best_in: int  # cells where it is the fastest, or ties
    of: int
    mean: float  # geometric mean of its time over the fastest one's
    worst: float
    worst_cell: Cell

    def in_words(self) -> str:
        """Return "fastest or tied in 12 of 14 cells, 1.02x the fastest on average, at worst 1.30x (digits …)"."""
        if self.of == 1:
            return "the fastest or tied with it" if self.best_in else f"{self.mean:.2f}x the fastest"
        count = f"fastest or tied in {self.best_in} of {self.of} cells"
        if self.best_in == self.of:
            return count
        return f"{count}, {self.mean:.2f}x the fastest on average, at worst {self.worst:.2f}x ({self.worst_cell})"


def rank(rows: Sequence[Row], cell: Cell) -> Ranked:
    """Rank one cell from its raw rows; what is wrong, failed or was never run is not ranked."""
    ranked = (row for row in rows if row["samples"] and row["status"] in (TIMED, DROPPED) and not row["control"])
    samples = {row["implementation"]: row["samples"] for row in ranked}
    twin = next((row for row in rows if row["control"]), None)
    visits = visits_of(rows)
    known = twin is not None and twin["samples"] and twin["implementation"] in samples
    again = quiet_ratio(twin["samples"], samples[twin["implementation"]], visits=visits) if twin and known else None
    by_name = {row["implementation"]: row for row in rows if not (row["control"] or row["status"] == LIMIT)}
    limit = next((row for row in rows if row["status"] == LIMIT and row["samples"]), None)
    dropped = [name for name in samples if by_name[name]["status"] == DROPPED]
    standing = stand(samples, margin_of(again), dropped, visits) if samples else None
    return Ranked(cell, by_name, standing, limit, again)


def rank_all(cells: Mapping[Cell, Sequence[Row]]) -> list[Ranked]:
    """Rank every cell, in the order they are shown in: by name or grid, size and dtype."""
    return [rank(cells[cell], cell) for cell in sorted(cells, key=_shown_order)]


def _shown_order(cell: Cell) -> tuple[Any, ...]:
    return (cell.workload == GRID, cell.threads, cell.rows * cell.classes, cell.rows, cell.dtype)


def cover(ranked: Iterable[Ranked], name: str) -> Coverage | None:
    """Return how an implementation does over the cells that could be ranked; None if it was left out of one."""
    cells = [one for one in ranked if one.standing]
    times = [one.times_best(name) for one in cells]
    if not cells or math.inf in times:
        return None
    worst = max(range(len(cells)), key=times.__getitem__)
    best_in = sum(name in one.winners for one in cells)
    mean = math.exp(sum(map(math.log, times)) / len(times))
    return Coverage(name, best_in, len(cells), mean, times[worst], cells[worst].cell)


def rule(ranked: Sequence[Ranked], families: Mapping[str, str]) -> list[str]:
    """Say in words which implementation to use when, and what it costs to be exact or to do without a compiler.

    Parameters
    ----------
    ranked : sequence of Ranked
    families : mapping of str to str
        The family of each implementation.
    """
    names = sorted({name for one in ranked for name in one.rows})
    found = [coverage for name in names if (coverage := cover(ranked, name))]
    exact = {name for one in ranked for name, row in one.rows.items() if row["accurate_for"] == "logits"}
    plain = [one for one in found if families.get(one.name) in WITHOUT_COMPILER]
    lines, told = [], set()
    first = _fastest(found)
    if first is None:
        return ["No implementation was timed in every cell."] if ranked else []
    if first.name in exact:
        lines.append(f"Use {first.name}: right where rows saturate, and {first.in_words()}.")
    else:
        lines.append(f"Use {first.name} when only time counts: {first.in_words()}.")
        if second := _fastest([one for one in found if one.name in exact]):
            lines.append(
                f"Use {second.name} when rows may saturate, as those of a trained classifier do: its worst error there "
                f"is {_worst_error(ranked, second.name)}, that of {first.name} {_worst_error(ranked, first.name)}. "
                f"It is {second.in_words()}."
            )
            told.add(second.name)
    third = _fastest([one for one in plain if one.name in exact] or plain)
    if third and first not in plain and third.name not in told:
        lines.append(f"Use {third.name} when Numba can't be had: {third.in_words()}.")
    lines += [f"Yours, {one.name}: {one.in_words()}." for one in found if families.get(one.name) == "user"]
    for name in names:
        if wrong := next((one.rows[name] for one in ranked if is_wrong(one.rows.get(name))), None):
            lines.append(f"Don't use {name}: {wrong['note']}.")
    return lines


def _fastest(found: Sequence[Coverage]) -> Coverage | None:
    return min(found, key=lambda one: one.mean, default=None)


def is_wrong(row: Row | None) -> bool:
    """Whether an implementation gave a wrong result, or raised."""
    return row is not None and row["status"] in (WRONG, FAILED)


def _worst_error(ranked: Iterable[Ranked], name: str) -> str:
    worst: dict[str, float] = {}
    for one in ranked:
        worst[one.cell.dtype] = max((e for e in one.rows[name]["errors"].values() if e is not None), default=math.inf)
    return ", ".join(f"{error:.0e} in {dtype}" for dtype, error in sorted(worst.items()))
