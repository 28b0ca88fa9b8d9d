"""Measure one cell.

The life of a kernel in a cell:

    admitted ───> verified ───> calibrated ───> rounds in blocks ───> verified again ───> recorded
       │             │              │            │     ^   │                │
       v             v              v            v     └───┘                v
    pruned,       wrong,       eliminated   eliminated,  the arrays     wrong, failed
    extrapolated  failed                    failed       are placed anew

In each round, every active kernel gives one sample, in random order. In the first rounds, so do the roofline and the
A/A control, which is the fastest kernel a second time. If a kernel fails or is wrong after it has been timed, the other
kernels are calibrated and timed again, because they may have been eliminated by comparison with it.
"""

import dataclasses
import datetime
import gc
import time
from collections.abc import Iterable, Mapping

import numpy as np

from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import Implementation
from softmax_impls.simd.sizes import LAST_LEVEL_CACHE, SHARED_FROM
from softmax_impls.timing.disturbance import is_quiet, running_side_by_side
from softmax_impls.timing.elimination import Reference, Rounds, admit, decisions, impossible, too_slow
from softmax_impls.timing.environment import environment
from softmax_impls.timing.kernel import CellArrays, Participant
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import Cell, Control, Roofline, rounded, storable
from softmax_impls.timing.roofline import ROOFLINE
from softmax_impls.timing.workloads import CellKey


class CellRun:
    """A cell that is measured in steps. Kernels that need more than `memory` bytes for a call are not started."""

    def __init__(
        self, key: CellKey, implementations: Iterable[Implementation], memory: int, seed: int, policy: SamplingPolicy
    ) -> None:
        self.kernels = {implementation.name: Participant(implementation) for implementation in implementations}
        self._rooflines = [Participant(ROOFLINE)] if key.moved_bytes > LAST_LEVEL_CACHE else []  # none in a cache
        self._started = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        self._concurrency: list[float] = []  # how many threads ran at the same time, for each block
        self._control: Reference | None = None
        self._settled = False  # by the last decisions
        self._key, self._memory, self._seed, self._policy = key, memory, seed, policy
        self._small = key.elements < policy.large_from
        self._min_rounds = policy.block_rounds * policy.min_blocks if self._small else policy.min_rounds
        self._reference_rounds = policy.reference_rounds // (1 if self._small else 2)
        self._taken = Rounds()
        peers = any(kernel.implementation.family == "peer" for kernel in self.kernels.values())
        self._is_shared = key.threads > 1 and (peers or key.moved_bytes >= SHARED_FROM)  # by threads
        self._settling = policy.settling if peers and self._is_shared else 0.0
        self._steps = self._rounds = 0  # steps so far, and rounds of this step
        self._seconds = self._deadline = 0.0  # of this step; the deadline is on the clock of `time.perf_counter`

    @property
    def active(self) -> list[Participant]:
        """The kernels that take part in rounds."""
        return [kernel for kernel in self.kernels.values() if kernel.status == "timed"]

    @property
    def is_open(self) -> bool:
        """Whether more samples could change the comparison."""
        return len(self.active) > 1 and not (self._taken.quiet >= self._min_rounds and self._settled)

    @np.errstate(all="ignore")
    def measure(self, seconds: float) -> None:
        """Take a step of about that many seconds. A further step adds samples, on other inputs."""
        self._seconds, self._deadline = seconds, time.perf_counter() + seconds
        arrays = CellArrays(self._key, self._seed + self._steps)
        self._steps, self._rounds = self._steps + 1, 0
        if self._steps == 1:
            whole = seconds * (self._policy.passes if self._small else 1)
            admit(self.active, arrays, whole, self._memory, self._policy)
            self._bind(arrays, check_inputs=True)
        elif not self._bind(arrays):
            self._start_over(arrays)
        while self.active:
            # There is time for samples even if everything before took the step's time.
            self._deadline = max(self._deadline, time.perf_counter() + self._policy.sampling_share * seconds)
            if not self._taken.blocks:
                self._calibrate(self._deadline - time.perf_counter())
            if self.active and self._take_blocks(arrays) and self._verify(arrays, check_inputs=True):
                break
            self._start_over(arrays)
        self._release()

    def record(
        self, errors: Mapping[str, Mapping[str, float]], first_calls: Mapping[str, float], compiler_start: float = 0.0
    ) -> Cell:
        """Return the record, with kernels' worst errors in the checks and seconds of their first calls, by name."""
        control, rooflines = self._control, (Roofline(samples=rounded(r.samples)) for r in self._rooflines if r.samples)
        return Cell(
            **dataclasses.asdict(self._key),
            environment=environment(),
            kernels=tuple(kernel.result(errors, first_calls) for kernel in self.kernels.values()),
            control=control and Control(name=storable(control[0].name, 200), samples=rounded(control[1])),
            roofline=next(rooflines, None),
            blocks=tuple(self._taken.blocks) if self._small else (),
            disturbed=tuple(self._taken.disturbed),
            seed=self._seed,
            time=self._started,
            concurrency=round(float(np.median(self._concurrency)), 3) if self._concurrency else None,
            compiler_start_seconds=compiler_start,
        )

    def _bind(self, arrays: CellArrays, check_inputs: bool = False) -> bool:
        self._release()
        for roofline in self._rooflines:
            roofline.bind(arrays)
        return self._verify(arrays, check_inputs)

    def _release(self) -> None:
        for participant in (*self.kernels.values(), *self._rooflines):
            participant.release()

    def _verify(self, arrays: CellArrays, check_inputs: bool) -> bool:
        """Verify the active kernels; return whether all are right. With `check_inputs`, none may modify the inputs."""
        kernels = self.active
        if check_inputs and arrays.restore_inputs():  # a kernel that was eliminated may have modified them
            kernels = [kernel for kernel in self.kernels.values() if kernel.status in ("timed", "eliminated")]
        for kernel in kernels:
            kernel.verify(arrays, check_inputs)
        return all(kernel.verified for kernel in kernels)

    def _start_over(self, arrays: CellArrays) -> None:
        """Drop all samples, and let all kernels take part that are right so far."""
        self._taken.clear()
        self._rounds, self._control, self._settled = 0, None, False
        for roofline in self._rooflines:
            roofline.samples.clear()
        for kernel in self.kernels.values():
            if kernel.verified:  # it has been timed or eliminated
                kernel.status = "timed"
                kernel.samples.clear()
        self._bind(arrays, check_inputs=True)

    def _calibrate(self, seconds: float) -> None:
        """Divide `seconds` into samples, choose the A/A control, and eliminate kernels that are too slow for rounds."""
        policy = self._policy
        target = min(max(seconds / (policy.target_rounds * len(self.active)), policy.min_sample), policy.max_sample)
        for kernel in self.active:
            kernel.calibrate(target, policy)
        for roofline in self._rooflines:
            roofline.sample()  # it may compile
            roofline.calibrate(target, policy)
        for kernel in too_slow(self.active, self._seconds, policy):
            kernel.samples.append(kernel.seconds)
            kernel.stop("eliminated")
        if self.active:
            self._control = (min(self.active, key=lambda kernel: kernel.seconds), [])

    def _take_blocks(self, arrays: CellArrays) -> bool:
        """Take blocks of rounds until the cell is settled or the time is up; return whether all kernels are right."""
        rng = np.random.default_rng([self._seed, self._steps])
        while self._rounds < self._policy.max_rounds:
            if self._rounds and self._small and not self._place_again(arrays):
                return False
            if not (self._take_block(arrays, rng) and self._eliminate(arrays)):
                return False
            enough = min(self._rounds, self._taken.quiet) >= self._min_rounds and self._settled
            if enough or self._time_is_up():
                break
        return True

    def _place_again(self, arrays: CellArrays) -> bool:
        """Move the arrays to new memory, and call each participant there once; return False if a kernel fails."""
        arrays.place_again()
        self._release()
        return all(participant.move(arrays) for participant in (*self.active, *self._rooflines))

    def _take_block(self, arrays: CellArrays, rng: np.random.Generator) -> bool:
        self._taken.blocks.append(0)
        if self._is_shared:
            self._concurrency.append(running_side_by_side(self._key.threads))
        was_collecting = gc.isenabled()
        gc.disable()
        try:
            for _ in range(self._policy.block_rounds):
                if not self._take_round(rng):
                    return False
                self._taken.add(self._settling > 0 or is_quiet(self._is_shared))  # unknown beside others' threads
                self._rounds += 1
                if self._taken.total == self._policy.first_look and not self._eliminate(arrays):
                    return False
                if self._time_is_up():
                    break
            return True
        finally:
            if was_collecting:
                gc.enable()

    def _take_round(self, rng: np.random.Generator) -> bool:
        """Take a sample of each participant, in random order; return False as soon as a kernel fails."""
        members = [(kernel, kernel.samples) for kernel in self.active]
        if self._taken.total < self._reference_rounds:
            members += [(roofline, roofline.samples) for roofline in self._rooflines]
            members += [self._control] if self._control and self._control[0].status == "timed" else []
        for index in rng.permutation(len(members)):
            participant, samples = members[index]
            try:
                samples.append(participant.sample(self._settling))
            except KERNEL_ERRORS as error:
                if participant in self._rooflines:
                    raise
                participant.stop("failed", one_line(error))
                return False
        return True

    def _time_is_up(self) -> bool:
        """Whether the step is over. A small cell has at least a few blocks, unless these take another step's time."""
        few = self._small and self._rounds < self._min_rounds
        is_late = time.perf_counter() >= self._deadline + (self._seconds if few else 0.0)
        return is_late and self._rounds >= self._policy.first_look

    def _eliminate(self, arrays: CellArrays) -> bool:
        """Eliminate the kernels that are clearly slower than the fastest; return False if the fastest is wrong."""
        last = not self._small or self._steps >= self._policy.passes
        found = decisions(
            self.kernels, self._control, self._taken, self._policy,
            with_blocks=self._small, min_rounds=self._min_rounds, last=last,
        )  # fmt: skip
        self._settled = all(decision.settled for decision in found)
        for decision in found:
            slower = [self.kernels[name] for name in decision.eliminated if self.kernels[name].status == "timed"]
            if slower and not self._is_still_right(self.kernels[decision.best], arrays):
                return False
            for kernel in slower:
                kernel.stop("eliminated")
        return True

    def _is_still_right(self, kernel: Participant, arrays: CellArrays) -> bool:
        """Verify a kernel again before it eliminates others: by now it may skip work, because it knows the arrays."""
        if arrays.modified and not self._verify(arrays, check_inputs=True):
            return False
        if kernel.status == "timed":
            kernel.verify(arrays, check_inputs=True)
            for why in filter(None, (impossible(kernel, roofline, self._policy) for roofline in self._rooflines)):
                kernel.stop("wrong", why)
        return kernel.verified
