"""Measure one cell.

The life of a kernel in a cell:

    admitted ───> verified ───> calibrated ───> rounds in blocks ───> verified again ───> recorded
       │             │              │            │     ^   │                │
       v             v              v            v     └───┘                v
    pruned,       wrong,       eliminated   eliminated,  the arrays     wrong, failed
    extrapolated  failed                    failed       are placed anew

In each round, every kernel that takes part gives one sample, in random order. In the first rounds, so do the roofline
and the A/A control, which is the fastest kernel a second time.

If a kernel fails or gives a wrong result after it has been timed, the other kernels are calibrated and timed again,
because they may have been eliminated by comparison with it.
"""

from __future__ import annotations

import dataclasses
import datetime
import gc
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from softmax_impls.implementation import Implementation
from softmax_impls.timing.cell_arrays import CellArrays
from softmax_impls.timing.elimination import Decision
from softmax_impls.timing.participants import Participants
from softmax_impls.timing.policy import DEFAULT, SamplingPolicy
from softmax_impls.timing.records import Cell, Control, Environment, Roofline, printable, rounded
from softmax_impls.timing.schedule import is_small
from softmax_impls.timing.workloads import CellKey


class CellRun:
    """A cell while it is measured, in one or more steps.

    Parameters
    ----------
    key : CellKey
    implementations : iterable of Implementation
    largest_temporaries : int
        Bytes; a kernel that needs more temporary memory is not started.
    seed : int, optional
        Of the inputs and of the order in each round.
    policy : SamplingPolicy, optional

    Attributes
    ----------
    participants : Participants
        The kernels, the A/A control and the roofline.
    """

    def __init__(
        self,
        key: CellKey,
        implementations: Iterable[Implementation],
        largest_temporaries: int,
        seed: int = 0,
        policy: SamplingPolicy = DEFAULT,
    ) -> None:
        self.key, self.seed, self.policy = key, seed, policy
        self.participants = Participants(implementations, policy)
        self._largest_temporaries = largest_temporaries
        self._small = is_small(key, policy)
        self._min_rounds = policy.block_rounds * policy.min_blocks if self._small else policy.min_rounds
        self._blocks: list[int] = []  # rounds of each block
        self._steps = 0
        self._earlier_rounds = 0  # rounds of earlier steps
        self._seconds = self._deadline = 0.0  # of the step; the deadline is on the clock of `time.perf_counter`

    @property
    def has_rivals(self) -> bool:
        """Whether at least two kernels take part."""
        return len(self.participants.active) > 1

    @property
    def is_open(self) -> bool:
        """Whether more samples could change the comparison."""
        return self.has_rivals and not self._decide().settled

    @property
    def blocks(self) -> tuple[int, ...]:
        """Rounds of each block, if samples are to be compared by blocks."""
        return tuple(self._blocks) if self.key.elements < self.policy.pair_rounds_from else ()

    @np.errstate(all="ignore")
    def measure(self, seconds: float) -> None:
        """Take a step of about that many seconds. A further step adds samples, on other inputs."""
        self._seconds, self._deadline = seconds, time.perf_counter() + seconds
        self._earlier_rounds = sum(self._blocks)
        arrays = CellArrays(self.key, self.seed + self._steps)
        self._steps += 1
        if self._steps == 1:
            self._admit(arrays)
        elif not self.participants.bind(arrays):
            self._start_over(arrays)
        while self.participants.active:
            # There is time for samples even if everything before took the step's time.
            self._deadline = max(self._deadline, time.perf_counter() + self.policy.sampling_share * seconds)
            if not self._blocks:
                self.participants.calibrate(self._deadline - time.perf_counter(), seconds)
            if self._take_blocks(arrays) and self.participants.verify(arrays, check_inputs=True):
                break
            self._start_over(arrays)
        self.participants.release()

    def record(
        self,
        environment: Environment,
        errors: Mapping[str, Mapping[str, float]],
        first_calls: Mapping[str, float],
        compiler_start_seconds: float = 0.0,
    ) -> Cell:
        """Return the record of the cell.

        Parameters
        ----------
        environment : Environment
        errors : mapping of str to mapping
            For each kernel, its worst error for each kind of input.
        first_calls : mapping of str to float
            For each kernel, the time of its first call in seconds.
        compiler_start_seconds : float, optional
        """
        control, roofline = self.participants.control_samples, self.participants.roofline.samples
        kernels = self.participants.kernels
        return Cell(
            **dataclasses.asdict(self.key),
            environment=environment,
            kernels=tuple(kernels[name].result(errors.get(name, {}), first_calls.get(name, 0.0)) for name in kernels),
            control=Control(name=printable(control[0], 200), samples=rounded(control[1])) if control else None,
            roofline=Roofline(samples=rounded(roofline)) if roofline else None,
            blocks=self.blocks,
            seed=self.seed,
            time=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
            compiler_start_seconds=compiler_start_seconds,
        )

    def _admit(self, arrays: CellArrays) -> None:
        """Stop the kernels that must not be started, and verify the others."""
        passes = self.policy.passes if self._small else 1
        allowance = self.policy.admission_share * self._seconds * passes
        for kernel in self.participants.active:
            kernel.admit(arrays, allowance, self._largest_temporaries, self.policy)
        self.participants.bind(arrays, check_inputs=True)

    def _start_over(self, arrays: CellArrays) -> None:
        self._blocks.clear()
        self._earlier_rounds = 0
        self.participants.restart()
        self.participants.bind(arrays, check_inputs=True)

    def _take_blocks(self, arrays: CellArrays) -> bool:
        """Take blocks of rounds until the cell is settled or the time is up; return whether all kernels are right."""
        rng = np.random.default_rng([self.seed, self._steps])
        while self._rounds < self.policy.max_rounds:
            if self._rounds and self._small and not self._place_again(arrays):
                return False
            with _without_garbage_collection():
                if not self._take_block(rng):
                    return False
            settled = self._eliminate()
            if self._time_is_up() or (settled and self._rounds >= self._min_rounds):
                break
        return True

    def _take_block(self, rng: np.random.Generator) -> bool:
        """Take the rounds of a block; return False as soon as a kernel fails."""
        settling = self.policy.settling if self.key.threads > 1 else 0.0
        self._blocks.append(0)
        for _ in range(self.policy.block_rounds):
            if not self.participants.take_round(rng, settling):
                return False
            self._blocks[-1] += 1
            if sum(self._blocks) == self.policy.first_look:
                self._eliminate()
            if self._time_is_up():
                break
        return True

    def _place_again(self, arrays: CellArrays) -> bool:
        modified = arrays.modified
        arrays.place_again()
        return self.participants.bind(arrays, check_inputs=modified)

    @property
    def _rounds(self) -> int:
        """Rounds of this step."""
        return sum(self._blocks) - self._earlier_rounds

    def _time_is_up(self) -> bool:
        """Whether the step is over. A small cell has at least a few blocks, unless these take another step's time."""
        if self._rounds < self.policy.first_look:
            return False
        few = self._small and self._rounds < self._min_rounds
        return time.perf_counter() >= self._deadline + (self._seconds if few else 0.0)

    def _eliminate(self) -> bool:
        """Eliminate the kernels that are clearly slower than the fastest; return whether the cell is settled."""
        decision = self._decide()
        for name in decision.eliminated:
            self.participants.kernels[name].stop("eliminated")
        return decision.settled

    def _decide(self) -> Decision:
        early = sum(self._blocks) < self._min_rounds
        last = not self._small or self._steps >= self.policy.passes
        return self.participants.decide(self.blocks, early=early, last=last)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
