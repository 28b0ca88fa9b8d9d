"""Measure one cell.

The life of a kernel in a cell:

    admitted ───> verified ───> calibrated ───> rounds in blocks ───> verified again ───> recorded
       │             │              │            │     ^   │                │
       v             v              v            v     └───┘                v
    pruned,       wrong,       eliminated   eliminated,  the arrays     wrong, failed
    extrapolated  failed                    failed       are placed anew

A pruned kernel would need too much memory. An extrapolated kernel would take too long: its time is predicted from calls
on smaller arrays. Neither is run.

In each round, one sample of every active kernel is taken, in random order. The first rounds also have one sample of the
roofline and one of the A/A control: the fastest kernel, timed a second time. If a kernel fails or is wrong after it has
been timed, the other kernels are calibrated and timed again, because this kernel may have eliminated some of them.
"""

import dataclasses
import datetime
import gc
import time
from collections.abc import Iterable

import numpy as np

from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import Implementation
from softmax_impls.simd.sizes import LAST_LEVEL_CACHE, SHARED_FROM
from softmax_impls.timing.disturbance import is_quiet, running_side_by_side
from softmax_impls.timing.elimination import Rounds, too_slow
from softmax_impls.timing.environment import environment
from softmax_impls.timing.kernel import CellArrays, Participant
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import Cell, Control, Roofline, rounded, storable
from softmax_impls.timing.roofline import ROOFLINE
from softmax_impls.timing.statistics import quiet_ratio
from softmax_impls.timing.workloads import CellKey


class _StartOver(Exception):  # noqa: N818
    """A timed kernel is wrong or has failed. It may have eliminated other kernels, so all samples are dropped."""


class CellRun:
    """A cell that is measured in steps. Kernels that need more than `memory` bytes for a call are not started."""

    def __init__(
        self, key: CellKey, implementations: Iterable[Implementation], memory: int, seed: int, policy: SamplingPolicy
    ) -> None:
        self.kernels = {implementation.name: Participant(implementation) for implementation in implementations}
        # Arrays that fit the cache have no roofline.
        self._rooflines = [Participant(ROOFLINE)] if key.moved_bytes > LAST_LEVEL_CACHE else []
        self._started = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        self._concurrency: list[float] = []  # how many threads ran at the same time, for each block
        self._key, self._memory, self._seed, self._policy = key, memory, seed, policy
        self._small = key.elements < policy.large_from
        self._reference_rounds = policy.reference_rounds // (1 if self._small else 2)
        self._taken = Rounds(policy, with_blocks=self._small)
        peers = any(kernel.implementation.family == "peer" for kernel in self.kernels.values())
        self._is_shared = key.threads > 1 and (peers or key.moved_bytes >= SHARED_FROM)  # whether threads share a call
        self._settling = policy.settling if peers and self._is_shared else 0.0
        self._steps = self._rounds = 0  # steps so far, and rounds of this step
        self._seconds = self._deadline = 0.0  # of this step: its length, and its end as a time of `time.perf_counter`

    @property
    def active(self) -> list[Participant]:
        """The kernels that take part in rounds."""
        return [kernel for kernel in self.kernels.values() if kernel.status == "timed"]

    @property
    def is_open(self) -> bool:
        """Whether more samples could change the comparison."""
        return len(self.active) > 1 and not self._taken.settled

    @np.errstate(all="ignore")
    def measure(self, seconds: float) -> None:
        """Take a step of about `seconds` seconds. Each further step adds samples, on other inputs."""
        self._seconds, self._deadline = seconds, time.perf_counter() + seconds
        arrays = CellArrays(self._key, self._seed + self._steps)
        self._steps, self._rounds = self._steps + 1, 0
        if self._steps == 1:
            self._admit(arrays, seconds * (self._policy.passes if self._small else 1))
        while True:
            try:
                self._take_step(arrays)
                break
            except _StartOver:
                self._taken, self._rounds = Rounds(self._policy, self._small), 0
                for participant in (*self.kernels.values(), *self._rooflines):
                    participant.samples.clear()
                    if participant.verified:  # its status was timed or eliminated
                        participant.status = "timed"
        self._release()

    def record(self, compiler_start: float = 0.0) -> Cell:
        """Return the record of the cell. `compiler_start` is the time in seconds that Numba took to start."""
        control, rooflines = self._taken.control, [r for r in self._rooflines if r.samples]
        return Cell(
            **dataclasses.asdict(self._key),
            environment=environment(),
            kernels=tuple(kernel.result() for kernel in self.kernels.values()),
            control=control and Control(name=storable(control[0].name, 200), samples=rounded(control[1])),
            roofline=Roofline(samples=rounded(rooflines[0].samples)) if rooflines else None,
            blocks=tuple(self._taken.blocks) if self._small else (),
            disturbed=tuple(self._taken.disturbed),
            seed=self._seed,
            time=self._started,
            concurrency=round(float(np.median(self._concurrency)), 3) if self._concurrency else None,
            compiler_start_seconds=compiler_start,
        )

    def _admit(self, arrays: CellArrays, seconds: float) -> None:
        """Stop kernels that need too much memory or too large a share of the cell's `seconds`.

        A kernel that may be the fastest is allowed a larger share.
        """
        for kernel in self.active:
            kernel.admit(arrays, self._policy.admission_share * seconds, self._memory)
        near = self._policy.near_fastest * min((kernel.prediction.at_least for kernel in self.active), default=0.0)
        for kernel in self.active:
            may_be_fastest = kernel.prediction.at_least <= min(near, self._policy.fastest_share * seconds)
            if not (kernel.prediction.fits or may_be_fastest):
                kernel.stop("extrapolated", "one call would take too much of the budget")

    def _take_step(self, arrays: CellArrays) -> None:
        self._release()
        for roofline in self._rooflines:
            if not roofline.move(arrays):
                raise RuntimeError(roofline.note)
        self._verify(arrays)
        # Keep time for samples, even if the work so far has taken all the time of the step.
        self._deadline = max(self._deadline, time.perf_counter() + self._policy.sampling_share * self._seconds)
        if self.active and not self._taken.blocks:
            self._calibrate(self._deadline - time.perf_counter())
        if self.active:
            self._take_blocks(arrays)
            self._verify(arrays)

    def _release(self) -> None:
        for participant in (*self.kernels.values(), *self._rooflines):
            participant.release()

    def _verify(self, arrays: CellArrays) -> None:
        """Verify the active kernels.

        If a kernel that was timed is wrong, raise `_StartOver`: all samples are dropped, and the step is taken again.
        """
        kernels = self.active
        if arrays.restore_inputs():  # an eliminated kernel may have modified the inputs
            kernels = [kernel for kernel in self.kernels.values() if kernel.status in ("timed", "eliminated")]
        for kernel in kernels:
            kernel.verify(arrays)
        if self._taken.blocks and not all(kernel.verified for kernel in kernels):
            raise _StartOver

    def _calibrate(self, seconds: float) -> None:
        """Divide `seconds` into samples, choose the A/A control, and eliminate kernels that are too slow for rounds."""
        policy = self._policy
        target = min(max(seconds / (policy.target_rounds * len(self.active)), policy.min_sample), policy.max_sample)
        for participant in (*self.active, *self._rooflines):
            participant.calibrate(target, policy)
        for kernel in too_slow(self.active, self._seconds, policy):
            kernel.samples.append(kernel.seconds)
            kernel.stop("eliminated")
        if self.active:
            self._taken.control = (min(self.active, key=lambda kernel: kernel.seconds), [])

    def _take_blocks(self, arrays: CellArrays) -> None:
        """Take blocks of rounds until the cell is settled or the time is up."""
        rng = np.random.default_rng([self._seed, self._steps])
        while self._rounds < self._policy.max_rounds:
            if self._rounds and self._small:
                arrays.place_again()
                self._release()
                if not all(participant.move(arrays) for participant in (*self.active, *self._rooflines)):
                    raise _StartOver
            self._take_block(arrays, rng)
            self._eliminate(arrays)
            if self._time_is_up() or (self._taken.settled and self._rounds >= self._taken.enough):
                break

    def _take_block(self, arrays: CellArrays, rng: np.random.Generator) -> None:
        self._taken.blocks.append(0)
        if self._is_shared:
            self._concurrency.append(running_side_by_side(self._key.threads))
        was_collecting = gc.isenabled()
        gc.disable()
        try:
            for _ in range(self._policy.block_rounds):
                self._take_round(rng)
                self._taken.add(self._settling > 0 or is_quiet(self._is_shared))  # peers' threads disturb its loop, too
                self._rounds += 1
                if self._taken.total == self._policy.first_look:
                    self._eliminate(arrays)
                if self._time_is_up():
                    break
        finally:
            if was_collecting:
                gc.enable()

    def _take_round(self, rng: np.random.Generator) -> None:
        """Take a sample of each participant, in random order."""
        members = [(kernel, kernel.samples) for kernel in self.active]
        if self._taken.total < self._reference_rounds:
            members += [(roofline, roofline.samples) for roofline in self._rooflines]
            control = self._taken.control
            members += [control] if control and control[0].status == "timed" else []
        for index in rng.permutation(len(members)):
            participant, samples = members[index]
            try:
                samples.append(participant.sample(self._settling))
            except KERNEL_ERRORS as error:
                if participant in self._rooflines:
                    raise
                participant.stop("failed", one_line(error))
                raise _StartOver from None

    def _time_is_up(self) -> bool:
        """Whether the step is over.

        A step ends when its planned time is over. A step of a small cell goes on until it has `min_blocks` blocks, but
        takes at most twice its planned time. Every step has at least `first_look` rounds.
        """
        few = self._small and self._rounds < self._taken.enough
        is_late = time.perf_counter() >= self._deadline + (self._seconds if few else 0.0)
        return is_late and self._rounds >= self._policy.first_look

    def _eliminate(self, arrays: CellArrays) -> None:
        """Eliminate the kernels that are clearly slower than the fastest."""
        last = not self._small or self._steps >= self._policy.passes
        for decision in self._taken.decide(self.kernels, last):
            slower = [self.kernels[name] for name in decision.eliminated if self.kernels[name].status == "timed"]
            if slower:
                self._verify_again(self.kernels[decision.best], arrays)
            for kernel in slower:
                kernel.stop("eliminated")

    def _verify_again(self, kernel: Participant, arrays: CellArrays) -> None:
        """Verify a kernel again before it eliminates others: after many calls on the same arrays, it may skip work."""
        if arrays.modified:
            self._verify(arrays)
        if kernel.status == "timed":
            kernel.verify(arrays)
            for roofline in self._rooflines if kernel.samples else ():
                ratio = quiet_ratio(roofline.samples, kernel.samples)
                if ratio.low > self._policy.impossible:
                    kernel.stop("wrong", f"takes {1 / ratio.value:.2f} of the time that moving its bytes takes")
        if not kernel.verified:
            raise _StartOver
