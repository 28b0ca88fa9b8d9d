"""A comparison: each cell is measured in its share of a budget, and recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from softmax_impls.checks.gate import judge
from softmax_impls.checks.verdict import Verdict
from softmax_impls.implementation import Implementation
from softmax_impls.threads import available_cores
from softmax_impls.timing import schedule
from softmax_impls.timing.cell_run import CellRun
from softmax_impls.timing.environment import environment, limit_all_threads
from softmax_impls.timing.first_calls import first_call_seconds, start_compiler
from softmax_impls.timing.policy import DEFAULT, SamplingPolicy
from softmax_impls.timing.records import Cell
from softmax_impls.timing.roofline import ROOFLINE
from softmax_impls.timing.workloads import CellKey


@dataclass(frozen=True)
class Measured:
    """The record of a cell. A cell that is measured again has all its samples in the last record."""

    cell: Cell


@dataclass(frozen=True)
class Skipped:
    """A cell that is not measured, and why."""

    key: CellKey
    why: str


@dataclass
class Session:
    """Implementations that are checked once and then measured cell by cell.

    Attributes
    ----------
    implementations : mapping of str to Implementation
    budget : float
        Seconds from now on, for checks, compilation and timing. Timing gets at least a third of it.
    largest_temporaries : int
        Bytes; a kernel that needs more temporary memory is not started.
    seed : int
        Of the inputs and of the order in each round.
    policy : SamplingPolicy
    verdicts : dict of str to Verdict
        Of the checks, by implementation; filled by `prepare`.
    """

    implementations: Mapping[str, Implementation]
    budget: float
    largest_temporaries: int
    seed: int = 0
    policy: SamplingPolicy = DEFAULT
    verdicts: dict[str, Verdict] = field(default_factory=dict, init=False)
    _compiler_start: float = field(default=0.0, init=False, repr=False)
    _first_calls: dict[str, dict[str, float]] = field(default_factory=dict, init=False, repr=False)
    _runs: dict[CellKey, CellRun] = field(default_factory=dict, init=False, repr=False)
    _deadline: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._deadline = time.perf_counter() + self.budget

    @property
    def seconds_left(self) -> float:
        """Seconds that are left of the budget."""
        return max(0.0, self._deadline - time.perf_counter())

    def prepare(self, dtypes: Sequence[str]) -> None:
        """Time the first call of each implementation, which may compile it, and check it. Call it once before `run`."""
        self._compiler_start = start_compiler()
        for dtype in dtypes:
            self._first_calls[dtype] = {
                name: first_call_seconds(implementation, np.dtype(dtype))
                for name, implementation in self.implementations.items()
            }
            first_call_seconds(ROOFLINE, np.dtype(dtype))
        self.verdicts = judge(self.implementations, dtypes=dtypes)
        self._deadline = max(self._deadline, time.perf_counter() + self.policy.timing_share * self.budget)

    def planned_steps(self, keys: Sequence[CellKey]) -> int:
        """Return how many steps `run` plans for these cells; open cells may have more."""
        return len(schedule.steps(keys, self.policy))

    def run(
        self, keys: Sequence[CellKey], starting: Callable[[CellKey], None] = lambda key: None
    ) -> Iterator[Measured | Skipped]:
        """Measure cells within the budget, and yield their records.

        A cell is yielded after each of its steps. Time that cells leave goes to cells that are still open: extra steps
        add samples until all cells are settled or the budget is spent.

        Parameters
        ----------
        keys : sequence of CellKey
        starting : callable, optional
            Called with the key of a cell before each of its steps.
        """
        steps = schedule.steps(keys, self.policy)
        costs = [step.cost for step in steps]
        planned = self.seconds_left / sum(costs) if costs else 0.0
        for index, step in enumerate(steps):
            each = self.seconds_left / sum(costs[index:])
            share = step.cost * min(max(each, self.policy.min_share * planned), planned)
            if step.number == 0:
                if why := schedule.reason_to_skip(step.key, share, self.policy):
                    yield Skipped(step.key, why)
                    continue
                self._runs[step.key] = self._new_run(step.key)
            elif step.key not in self._runs or not self._runs[step.key].has_rivals:
                continue
            starting(step.key)
            yield self._measure(step.key, share)
        yield from self._continue_open_cells(keys, starting)

    def _continue_open_cells(self, keys: Sequence[CellKey], starting: Callable[[CellKey], None]) -> Iterator[Measured]:
        went_on = True
        while went_on:
            went_on = False
            still_open = [key for key in keys if key in self._runs and self._runs[key].is_open]
            costs = [schedule.cost(key, self.policy) for key in still_open]
            for index, key in enumerate(still_open):
                share = self.seconds_left / sum(costs[index:]) * costs[index]
                if schedule.is_worthwhile(key, share, self.policy):
                    starting(key)
                    yield self._measure(key, share)
                    went_on = True

    def _new_run(self, key: CellKey) -> CellRun:
        """Return the run of a cell without the kernels that failed the checks or run in another number of threads."""
        run = CellRun(key, self.implementations.values(), self.largest_temporaries, self.seed, self.policy)
        with self._limit_threads(key.threads) as obtained:
            for name, kernel in run.participants.kernels.items():
                if not self.verdicts[name].right:
                    kernel.stop("wrong", str(self.verdicts[name].failures[0]))
                elif obtained[name] != key.threads:
                    kernel.stop("failed", f"runs in {obtained[name]} threads instead of {key.threads}")
        return run

    def _measure(self, key: CellKey, seconds: float) -> Measured:
        run = self._runs[key]
        with self._limit_threads(key.threads):
            run.measure(seconds)
        errors = {name: verdict.errors.get(key.dtype, {}) for name, verdict in self.verdicts.items()}
        first_calls = self._first_calls.get(key.dtype, {})
        return Measured(run.record(environment(), errors, first_calls, self._compiler_start))

    @contextmanager
    def _limit_threads(self, threads: int) -> Iterator[dict[str, int]]:
        """Temporarily limit the threads of all implementations; yields the number of threads that each has then."""
        with limit_all_threads(threads):
            try:
                yield self._set_threads(threads)
            finally:
                self._set_threads(available_cores())

    def _set_threads(self, threads: int) -> dict[str, int]:
        return {
            name: implementation.set_num_threads(threads) if implementation.set_num_threads else threads
            for name, implementation in self.implementations.items()
        }
