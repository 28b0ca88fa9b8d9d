"""A comparison: each cell is measured in its share of a budget, and recorded.

A small cell is measured in several steps: one in each pass over the small cells. A large cell has a single step,
between two passes. Time that is left goes to cells that are not settled: more samples could change their result.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from softmax_impls.checks.gate import judge
from softmax_impls.checks.verdict import Verdict
from softmax_impls.formatting import KERNEL_ERRORS, format_bytes, format_seconds, one_line
from softmax_impls.implementation import Implementation
from softmax_impls.registry import is_ours
from softmax_impls.threads import available_cores
from softmax_impls.timing.cell_run import CellRun
from softmax_impls.timing.environment import free_memory, limit_all_threads
from softmax_impls.timing.first_calls import first_call_seconds, start_compiler
from softmax_impls.timing.policy import DEFAULT, SamplingPolicy
from softmax_impls.timing.records import Cell
from softmax_impls.timing.roofline import ROOFLINE
from softmax_impls.timing.workloads import GRID, CellKey


class Skipped(NamedTuple):
    """A cell that is not measured, and the reason."""

    key: CellKey
    why: str


class Step(NamedTuple):
    """A part of a run, in which a single cell is measured."""

    key: CellKey
    number: int  # 0 for the cell's first step
    cost: float  # share of the budget, relative to other steps


# Bytes of the sums that verify a row: five for each of two gradients, and the terms of its bound. With few classes,
# these sums take more memory than the arrays.
BYTES_OF_ROW = 128


class Session:
    """Check implementations once, and then measure them cell by cell, in `budget` seconds.

    The budget begins at `start`, a time of `time.perf_counter`; by default, now. Kernels that need more than
    `largest_temporaries` bytes of temporary memory are not started.
    """

    def __init__(
        self,
        implementations: Mapping[str, Implementation],
        budget: float,
        largest_temporaries: int,
        seed: int = 0,
        policy: SamplingPolicy = DEFAULT,
        *,
        start: float | None = None,
    ) -> None:
        self.implementations, self.budget, self.seed = implementations, budget, int(seed)
        self.verdicts: dict[str, Verdict] = {}  # of the checks, by implementation; filled by `prepare`
        self._largest_temporaries, self._policy = largest_temporaries, policy
        self._deadline = (time.perf_counter() if start is None else start) + budget
        self._compiler_start = 0.0  # seconds
        self._first_calls: dict[str, dict[str, float]] = {}  # seconds, by dtype and implementation
        self._runs: dict[CellKey, CellRun] = {}

    @property
    def seconds_left(self) -> float:
        """Seconds that are left of the budget."""
        return max(0.0, self._deadline - time.perf_counter())

    def prepare(self, dtypes: Sequence[str], late: Callable[[float], None] = lambda seconds: None) -> None:
        """Time the first call of each implementation, which may compile it, and check the implementations.

        Call this method once before `run`. If the whole run will take more than `policy.late` times the budget, the
        method calls `late` with the seconds of the whole run.
        """
        self._compiler_start = start_compiler()
        for number, dtype in enumerate(map(np.dtype, dtypes)):
            first = {name: first_call_seconds(kernel, dtype) for name, kernel in self.implementations.items()}
            self._first_calls[dtype.name] = first
            first_call_seconds(ROOFLINE, dtype)
            if number == 0:
                # Without cached code, first calls of the other dtype took 0.75 times this time, and the checks compiled
                # further variants of kernels for 0.7 times this time for each dtype (Zen 1).
                compiling = sum(first.values()) * (1.45 * len(dtypes) - 0.75)
                checks = compiling + self._policy.check_seconds * len(dtypes)
                passed = self.budget - (self._deadline - time.perf_counter())
                seconds = passed + checks + self._policy.timing_share * self.budget
                if seconds > self._policy.late * self.budget:
                    late(seconds)
        self.verdicts = judge(self.implementations, dtypes=dtypes)
        self._deadline = max(self._deadline, time.perf_counter() + self._policy.timing_share * self.budget)

    def prepare_quickly(self, dtypes: Sequence[str]) -> None:
        """Make the first call of every kernel, but check only kernels that this package does not ship.

        Call this method instead of `prepare` to save time. The budget begins when the method returns.
        """
        for kernel, dtype in itertools.product([*self.implementations.values(), ROOFLINE], map(np.dtype, dtypes)):
            first_call_seconds(kernel, dtype)
        unchecked = {name: Verdict(name, kernel.accurate_for) for name, kernel in self.implementations.items()}
        others = {name: kernel for name, kernel in self.implementations.items() if not is_ours(kernel)}
        self.verdicts = unchecked | judge(others, dtypes=dtypes)
        self.restart()

    def restart(self) -> None:
        """Begin the budget anew."""
        self._deadline = time.perf_counter() + self.budget

    def run(
        self, keys: Sequence[CellKey], starting: Callable[[CellKey], None] = lambda key: None
    ) -> Iterator[Cell | Skipped]:
        """Measure cells within the budget, and yield the record of a cell after each of its steps.

        The record has the samples of all steps of the cell so far. `starting` is called before each step. After the
        steps of `plan`, the rest of the time goes to cells whose comparison could still change.
        """
        steps = plan(keys, self._policy)
        costs = [step.cost for step in steps]
        planned = self.seconds_left / sum(costs) if costs else 0.0
        for index, step in enumerate(steps):
            each = self.seconds_left / sum(costs[index:])
            share = step.cost * min(max(each, self._policy.min_share * planned), planned)
            if step.number == 0:
                if why := reason_to_skip(step.key, share, self._policy):
                    yield Skipped(step.key, why)
                    continue
                self._runs[step.key] = self._new_run(step.key)
            elif step.key not in self._runs or len(self._runs[step.key].active) < 2:
                continue
            yield self._measure(step.key, share, starting)
        went_on = True  # Open cells have further steps until all cells are settled or the budget is spent.
        while went_on:
            went_on = False
            still_open = [key for key in keys if key in self._runs and self._runs[key].is_open]
            costs = [cost(key, self._policy) for key in still_open]
            for index, key in enumerate(still_open):
                share = self.seconds_left / sum(costs[index:]) * costs[index]
                if share > self._policy.min_step + 2 * self._policy.setup_cost * key.elements:  # more than its set-up
                    yield self._measure(key, share, starting)
                    went_on = True

    def _new_run(self, key: CellKey) -> CellRun:
        """Return a new run of a cell. Kernels that failed the checks or use another number of threads are not timed."""
        run = CellRun(key, self.implementations.values(), self._largest_temporaries, self.seed, self._policy)
        with self._limit_threads(key.threads) as reasons:
            for name, kernel in run.kernels.items():
                verdict = self.verdicts[name]
                kernel.errors = verdict.errors.get(key.dtype, {})
                kernel.first_call_seconds = self._first_calls.get(key.dtype, {}).get(name, 0.0)
                if verdict.failures:
                    kernel.stop("wrong", str(verdict.failures[0]))
                elif name in reasons:
                    kernel.stop("failed", reasons[name])
        return run

    def _measure(self, key: CellKey, seconds: float, starting: Callable[[CellKey], None]) -> Cell:
        starting(key)
        with self._limit_threads(key.threads):
            self._runs[key].measure(seconds)
        return self._runs[key].record(self._compiler_start)

    @contextmanager
    def _limit_threads(self, threads: int) -> Iterator[dict[str, str]]:
        """Temporarily limit the threads of all implementations.

        Yield the reasons why implementations do not run in `threads` threads, by name; see `_set_threads`.
        """
        with limit_all_threads(threads):
            try:
                yield self._set_threads(threads)
            finally:
                self._set_threads(available_cores())

    def _set_threads(self, threads: int) -> dict[str, str]:
        """Set the number of threads of other libraries.

        For each implementation that does not run in `threads` threads, the result maps its name to the reason.
        """
        reasons = {}
        for name, kernel in self.implementations.items():
            try:
                obtained = kernel.set_num_threads(threads) if kernel.set_num_threads else threads
                if obtained != threads:
                    reasons[name] = f"runs in {obtained} threads instead of {threads}"
            except KERNEL_ERRORS as error:
                reasons[name] = one_line(error)
        return reasons


def plan(keys: Sequence[CellKey], policy: SamplingPolicy = DEFAULT) -> list[Step]:
    """Return the steps of a run, in their order."""
    ordered = sorted(keys, key=lambda key: key.elements)
    small = [key for key in ordered if key.elements < policy.large_from]
    large = [Step(key, 0, cost(key, policy)) for key in ordered if key.elements >= policy.large_from]
    gaps = max(1, policy.passes - 1)
    steps: list[Step] = []
    for number in range(policy.passes):
        steps += [Step(key, number, cost(key, policy) / policy.passes) for key in small]
        steps += large[number::gaps] if number < gaps else []
    return steps


def cost(key: CellKey, policy: SamplingPolicy = DEFAULT) -> float:
    """Return the cost of a cell, without a unit: the budget is divided among cells in proportion to their costs."""
    return (policy.grid_cost if key.workload == GRID else 1.0) + policy.byte_cost * key.moved_bytes


def reason_to_skip(key: CellKey, share: float, policy: SamplingPolicy = DEFAULT) -> str:
    """Return why a cell cannot be measured in `share` seconds, or "" if it can."""
    if policy.setup_cost * key.elements > share:
        return f"its share of the budget is {format_seconds(share)}, and its set-up alone takes longer: raise --budget"
    if (needed := key.moved_bytes + BYTES_OF_ROW * key.batch) > free_memory() / 2:
        return f"its arrays take {format_bytes(needed)}, more than 50% of the free memory"
    return ""
