"""A whole comparison: each cell in its share of a budget, with all that a result needs to be understood later."""

from __future__ import annotations

import datetime
import hashlib
import inspect
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from softmax_impls.checks.gate import judge
from softmax_impls.checks.verdict import Verdict
from softmax_impls.formatting import KERNEL_ERRORS
from softmax_impls.implementation import Implementation, invoke
from softmax_impls.threads import available_cores
from softmax_impls.timing import sampler
from softmax_impls.timing.entry import FAILED, WRONG, Entry, standing
from softmax_impls.timing.environment import commit, limit_all_threads, machine, versions
from softmax_impls.timing.plan import LEAST_SHARE, TURNS, cost, is_small, is_worthwhile, turns, why_not
from softmax_impls.timing.roofline import YARDSTICK
from softmax_impls.timing.workloads import Cell

SCHEMA = 1

FIRST_SHAPES = ((2, 3), (200, 300))  # a small call, and one large enough to be shared among threads

Row = dict[str, Any]


@dataclass
class Session:
    """Implementations, judged and warmed up, to be measured cell by cell.

    Attributes
    ----------
    implementations : mapping of str to Implementation
        Those that take part.
    budget : float
        Seconds for everything from now on; if preparing took too much of them, timing gets a third of them still.
    largest_temporaries : int
        Bytes; what needs more is pruned.
    seed : int
        Of inputs and orders.
    """

    implementations: Mapping[str, Implementation]
    budget: float
    largest_temporaries: int
    seed: int = 0
    verdicts: dict[str, Verdict] = field(default_factory=dict, init=False)
    compiler_start: float = field(default=0.0, init=False)
    first_calls: dict[str, dict[str, float]] = field(default_factory=dict, init=False)
    deadline: float = field(init=False)
    cores: int = field(default_factory=available_cores, init=False)
    _seen: dict[Cell, list[Entry]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.deadline = time.perf_counter() + self.budget

    @property
    def left(self) -> float:
        """Seconds left."""
        return max(0.0, self.deadline - time.perf_counter())

    def prepare(self, dtypes: Sequence[str]) -> None:
        """Time each implementation's first call, which may compile, and judge it; to be called once, before `run`."""
        self.compiler_start = _start_compiler()
        for name, one in self.implementations.items():
            self.first_calls[name] = {dtype: _first_call(one, np.dtype(dtype)) for dtype in dtypes}
        for dtype in dtypes:
            _first_call(YARDSTICK, np.dtype(dtype))
        self.verdicts = judge(self.implementations, dtypes=dtypes)
        self.deadline = max(self.deadline, time.perf_counter() + self.budget / 3)

    def run(
        self, cells: Sequence[Cell], starting: Callable[[Cell], None] = lambda cell: None
    ) -> Iterator[tuple[Cell, list[Row] | str]]:
        """Yield each cell with its rows, one for each implementation; or with why it was not measured.

        Small cells come again with more samples; the last rows of a cell have all of them. What cells leave of their
        time is for `settle`. `starting` is called with each cell before it is measured.
        """
        plan = turns(cells)
        costs = [cost(cell) / of for cell, _, of in plan]
        planned = self.left / sum(costs) if costs else 0.0
        for index, (cell, number, of) in enumerate(plan):
            each = self.left / sum(costs[index:])
            share = min(max(each, LEAST_SHARE * planned), planned) * costs[index]
            if number == 0:
                if why := why_not(cell, share):
                    yield cell, why
                    continue
                starting(cell)
                self._seen[cell] = self._measure(cell, share, turns=of)
            elif cell in self._seen and _are_rivals(self._seen[cell]):
                starting(cell)
                self._measure_again(cell, share, number)
            else:
                continue
            yield cell, self._rows(cell)

    def settle(self, starting: Callable[[Cell], None] = lambda cell: None) -> Iterator[tuple[Cell, list[Row]]]:
        """Yield the rows of cells that `run` left open, with more samples, until none is or the time is up."""
        for number in itertools.count(TURNS):
            cells = [cell for cell, entries in self._seen.items() if _are_open(entries)]
            costs = [cost(cell) for cell in cells]
            went_on = False
            for index, cell in enumerate(cells):
                share = self.left / sum(costs[index:]) * costs[index]
                if is_worthwhile(cell, share):
                    starting(cell)
                    self._measure_again(cell, share, number)
                    yield cell, self._rows(cell)
                    went_on = True
            if not went_on:
                break

    def _measure(self, cell: Cell, share: float, turns: int) -> list[Entry]:
        right = [one for name, one in self.implementations.items() if self.verdicts[name].right]
        with self._held(cell.threads) as held:
            obedient = [one for one in right if held[one.name] == cell.threads]
            entries = sampler.measure(cell, obedient, share, self.largest_temporaries, self.seed, turns=turns)
        for one in right:
            if one not in obedient:
                note = f"runs in {held[one.name]} threads where {cell.threads} were asked for"
                entries.append(Entry(one, FAILED, note))
        for name, verdict in self.verdicts.items():
            if not verdict.right:
                entries.append(Entry(self.implementations[name], WRONG, str(verdict.failures[0])))
        return entries

    def _measure_again(self, cell: Cell, share: float, number: int) -> None:
        with self._held(cell.threads):
            sampler.again(cell, self._seen[cell], share, self.seed + number, moving=is_small(cell))

    def _rows(self, cell: Cell) -> list[Row]:
        entries = self._seen[cell]
        return [self._row(cell, entry, len(entries)) for entry in entries]

    def _row(self, cell: Cell, entry: Entry, of: int) -> Row:
        name = entry.one.name
        return {
            "schema": SCHEMA,
            "workload": cell.workload,
            "batch": cell.rows,
            "dim": cell.classes,
            "dtype": cell.dtype,
            "threads": cell.threads,
            "rows_in_cell": of,
            "implementation": name,
            "control": entry.control,
            "status": entry.status,
            "note": entry.note,
            "seconds": float(np.median(entry.samples)) if entry.samples else _number(entry.seconds),
            "samples": [float(f"{sample:.6g}") for sample in entry.samples],
            "visits": list(entry.visits),  # what it is now: it goes on growing
            "calls_per_sample": entry.loops,
            "discrepancy": _number(entry.discrepancy),
            "temporary_bytes": entry.temporary_bytes,
            "accurate_for": entry.one.accurate_for,
            "errors": {kind: _number(e) for kind, e in self._errors(name, cell.dtype).items()},
            "source": fingerprint(entry.one.kernel),
            "first_call_seconds": self.first_calls.get(name, {}).get(cell.dtype, 0.0),
            "compiler_start_seconds": self.compiler_start,
            "seed": self.seed,
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": machine(),
            "versions": versions(),
        }

    @contextmanager
    def _held(self, threads: int) -> Iterator[dict[str, int]]:
        """Hold everybody to a number of threads for a while; gives what each one then has."""
        with limit_all_threads(threads), np.errstate(all="ignore"):
            yield self._hold(threads)
            self._hold(self.cores)

    def _hold(self, threads: int) -> dict[str, int]:
        """Set the threads of those who have their own setting, and return what each one then has."""
        everybody = self.implementations.items()
        return {name: one.set_num_threads(threads) if one.set_num_threads else threads for name, one in everybody}

    def _errors(self, name: str, dtype: str) -> Mapping[str, float]:
        verdict = self.verdicts.get(name)  # the machine's limit has none
        return verdict.errors.get(dtype, {}) if verdict else {}


def _are_rivals(entries: Sequence[Entry]) -> bool:
    """Whether there are two that could change places."""
    return sum(entry.timed for entry in entries) > 1


def _are_open(entries: Sequence[Entry]) -> bool:
    """Whether there are, and more samples could tell who is the fastest."""
    return _are_rivals(entries) and not standing(entries).settled


def _number(value: float | None) -> float | None:
    """JSON has neither NaN nor inf."""
    return value if value is not None and np.isfinite(value) else None


def fingerprint(kernel: Callable[..., Any]) -> str:
    """Return a few characters that change when the file a kernel is written in does."""
    try:
        source = Path(inspect.getfile(inspect.unwrap(getattr(kernel, "py_func", kernel)))).read_bytes()
    except (TypeError, OSError):  # built in, or typed into a console
        return "?"
    return hashlib.sha256(source).hexdigest()[:12]


def _start_compiler() -> float:
    """Return the seconds that Numba takes to get going, which else whoever is called first would be charged with."""
    numba = sys.modules.get("numba")
    if numba is None:
        return 0.0
    start = time.perf_counter()
    numba.njit(lambda: None)()
    return time.perf_counter() - start


def _first_call(one: Implementation, dtype: np.dtype[Any]) -> float:
    """Return the seconds that first calls took beyond what second ones take: compiling, or loading.

    Those that are compiled may have another way for large arrays, which is tried as well.
    """
    seconds = 0.0
    for shape in FIRST_SHAPES[: 2 if one.family in ("numba", "user") else 1]:
        probs = np.full(shape, 1 / shape[1], dtype)
        out = np.empty_like(probs)
        times = []
        for _ in range(2):
            start = time.perf_counter()
            try:
                invoke(one.kernel, probs, probs, out=out)
            except KERNEL_ERRORS:  # the verdict is going to say so
                return seconds
            times.append(time.perf_counter() - start)
        seconds += max(0.0, times[0] - times[1])
    return seconds
