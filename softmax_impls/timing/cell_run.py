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
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import Implementation
from softmax_impls.simd.sizes import NONTEMPORAL_FROM, SHARED_FROM
from softmax_impls.timing.disturbance import is_quiet, running_side_by_side
from softmax_impls.timing.environment import environment
from softmax_impls.timing.kernel import CellArrays, Participant
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import Cell, Control, Roofline, printable, rounded
from softmax_impls.timing.roofline import ROOFLINE
from softmax_impls.timing.statistics import Decision, blocks_of, decide, quiet_ratio, quiet_rounds, selected
from softmax_impls.timing.workloads import CellKey


class CellRun:
    """A cell while it is measured, in steps. A kernel that needs more bytes than `memory` for a call is not started."""

    def __init__(
        self, key: CellKey, implementations: Iterable[Implementation], memory: int, seed: int, policy: SamplingPolicy
    ) -> None:
        self.kernels = {implementation.name: Participant(implementation) for implementation in implementations}
        self._roofline = Participant(ROOFLINE) if key.moved_bytes > NONTEMPORAL_FROM else None  # in no cache
        self._started = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        self._concurrency: list[float] = []  # of each block
        self._control: tuple[Participant, list[float]] | None = None  # a kernel, and its second samples
        self._key, self._memory, self._seed, self._policy = key, memory, seed, policy
        self._small, self._compares_blocks = key.elements < policy.large_from, key.elements < policy.pair_rounds_from
        self._min_rounds = policy.block_rounds * policy.min_blocks if self._small else policy.min_rounds
        self._reference_rounds = policy.reference_rounds if self._small else policy.reference_rounds // 2
        self._blocks: list[int] = []  # rounds of each block
        self._was_quiet = True  # before this round
        self._disturbed: list[int] = []  # rounds in which another program slowed this process down
        self._steps = self._rounds = 0  # steps so far, and rounds of this step
        self._seconds = self._deadline = 0.0  # of this step; the deadline is on the clock of `time.perf_counter`

    @property
    def active(self) -> list[Participant]:
        """The kernels that take part in rounds."""
        return [kernel for kernel in self.kernels.values() if kernel.status == "timed"]

    @property
    def is_open(self) -> bool:
        """Whether more samples could change the comparison."""
        return len(self.active) > 1 and not (self._quiet_rounds >= self._min_rounds and self._is_settled)

    @property
    def _is_shared(self) -> bool:
        """Whether calls may use several threads."""
        peers = any(kernel.implementation.family == "peer" for kernel in self.active)
        return self._key.threads > 1 and (peers or self._key.moved_bytes >= SHARED_FROM)

    @property
    def _quiet_rounds(self) -> int:
        return sum(self._blocks) - len(self._disturbed)

    @np.errstate(all="ignore")
    def measure(self, seconds: float) -> None:
        """Take a step of about that many seconds. A further step adds samples, on other inputs."""
        self._seconds, self._deadline = seconds, time.perf_counter() + seconds
        arrays = CellArrays(self._key, self._seed + self._steps)
        self._steps, self._rounds = self._steps + 1, 0
        if self._steps == 1:
            passes = self._policy.passes if self._small else 1
            for kernel in self.active:
                kernel.admit(arrays, self._policy.admission_share * seconds * passes, self._memory)
            self._bind(arrays, check_inputs=True)
        elif not self._bind(arrays):
            self._start_over(arrays)
        while self.active:
            # There is time for samples even if everything before took the step's time.
            self._deadline = max(self._deadline, time.perf_counter() + self._policy.sampling_share * seconds)
            if not self._blocks:
                self._calibrate(self._deadline - time.perf_counter())
            if self._take_blocks(arrays) and self._verify(arrays, check_inputs=True):
                break
            self._start_over(arrays)
        self._release()

    def record(
        self, errors: Mapping[str, Mapping[str, float]], first_calls: Mapping[str, float], compiler_start: float = 0.0
    ) -> Cell:
        """Return the record, with kernels' worst errors in the checks and seconds of their first calls, by name."""
        control, roofline = self._control, self._roofline.samples if self._roofline else []
        return Cell(
            **dataclasses.asdict(self._key),
            environment=environment(),
            kernels=tuple(kernel.result(errors, first_calls) for kernel in self.kernels.values()),
            control=control and Control(name=printable(control[0].name, 200), samples=rounded(control[1])),
            roofline=Roofline(samples=rounded(roofline)) if roofline else None,
            blocks=tuple(self._blocks) if self._compares_blocks else (),
            disturbed=tuple(self._disturbed),
            seed=self._seed,
            time=self._started,
            concurrency=round(float(np.median(self._concurrency)), 3) if self._concurrency else None,
            compiler_start_seconds=compiler_start,
        )

    def _bind(self, arrays: CellArrays, check_inputs: bool = False) -> bool:
        self._release()
        if self._roofline:
            self._roofline.bind(arrays)
        return self._verify(arrays, check_inputs)

    def _release(self) -> None:
        for participant in filter(None, (*self.kernels.values(), self._roofline)):
            participant.release()

    def _verify(self, arrays: CellArrays, check_inputs: bool) -> bool:
        """Verify the active kernels, with `check_inputs` also their inputs; return whether all of them are right."""
        kernels = self.active
        if check_inputs and arrays.restore_inputs():  # a kernel that was eliminated may have modified them
            kernels = [kernel for kernel in self.kernels.values() if kernel.status in ("timed", "eliminated")]
        for kernel in kernels:
            kernel.verify(arrays)
            if check_inputs and arrays.restore_inputs():
                kernel.stop("wrong", "modified its inputs")
        return all(kernel.verified for kernel in kernels)

    def _start_over(self, arrays: CellArrays) -> None:
        """Drop all samples, and let all kernels take part that are right so far."""
        self._blocks.clear()
        self._disturbed.clear()
        self._rounds, self._control = 0, None
        if self._roofline:
            self._roofline.samples.clear()
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
            try:
                kernel.calibrate(target, policy)
            except KERNEL_ERRORS as error:
                kernel.stop("failed", one_line(error))
        if self._roofline:
            self._roofline.sample()  # it may compile
            self._roofline.calibrate(target, policy)
        # A single call may have been disturbed, so the prediction has to agree that a kernel is too slow.
        times = {kernel: min(kernel.seconds, kernel.predicted) for kernel in self.active}
        longest = max(policy.too_slow * min(times.values(), default=0.0), policy.too_long * self._seconds)
        for kernel, least in times.items():
            if least > longest:
                kernel.samples.append(kernel.seconds)
                kernel.stop("eliminated")
        if self.active:
            self._control = (min(self.active, key=lambda kernel: kernel.seconds), [])

    def _take_blocks(self, arrays: CellArrays) -> bool:
        """Take blocks of rounds until the cell is settled or the time is up; return whether all kernels are right."""
        rng = np.random.default_rng([self._seed, self._steps])
        while self._rounds < self._policy.max_rounds:
            if self._rounds and self._small:
                modified = arrays.modified
                arrays.place_again()
                if not self._bind(arrays, check_inputs=modified):
                    return False
            if not (self._take_block(arrays, rng) and self._eliminate(arrays)):
                return False
            enough = min(self._rounds, self._quiet_rounds) >= self._min_rounds
            if self._time_is_up() or (enough and self._is_settled):
                break
        return True

    def _take_block(self, arrays: CellArrays, rng: np.random.Generator) -> bool:
        self._blocks.append(0)
        if self._is_shared:
            self._concurrency.append(running_side_by_side(self._key.threads))
        gc.disable()
        try:
            for _ in range(self._policy.block_rounds):
                if not self._take_round(rng):
                    return False
                if not self._is_undisturbed():
                    self._disturbed.append(sum(self._blocks))
                self._blocks[-1] += 1
                self._rounds += 1
                if sum(self._blocks) == self._policy.first_look and not self._eliminate(arrays):
                    return False
                if self._time_is_up():
                    break
            return True
        finally:
            gc.enable()

    def _is_undisturbed(self) -> bool:
        """Whether the processor was quiet before and after a round. Beside own threads, that is not known."""
        before, self._was_quiet = self._was_quiet, self._is_shared or is_quiet()
        return before and self._was_quiet

    def _take_round(self, rng: np.random.Generator) -> bool:
        """Take a sample of each participant, in random order; return False as soon as a kernel fails."""
        peers = any(kernel.implementation.family == "peer" for kernel in self.active)
        settling = self._policy.settling if peers and self._is_shared else 0.0
        references = [(self._roofline, self._roofline.samples)] if self._roofline else []
        if self._control and self._control[0].status == "timed":
            references.append(self._control)
        members = [(kernel, kernel.samples) for kernel in self.active]
        if self._quiet_rounds < self._reference_rounds:
            members += references
        for index in rng.permutation(len(members)):
            participant, samples = members[index]
            try:
                samples.append(participant.sample(settling))
            except KERNEL_ERRORS as error:
                if participant is self._roofline:
                    raise
                participant.stop("failed", one_line(error))
                return False
        return True

    def _time_is_up(self) -> bool:
        """Whether the step is over. A small cell has at least a few blocks, unless these take another step's time."""
        if self._rounds < self._policy.first_look:
            return False
        few = self._small and self._rounds < self._min_rounds
        return time.perf_counter() >= self._deadline + (self._seconds if few else 0.0)

    def _eliminate(self, arrays: CellArrays) -> bool:
        """Eliminate kernels that are clearly slower than the fastest; return False if that is wrong.

        A kernel that is accurate on saturated rows is eliminated only by kernels that are, too.
        """
        for decision in self._decisions():
            slower = [self.kernels[name] for name in decision.eliminated if self.kernels[name].status == "timed"]
            if slower and not self._is_still_right(self.kernels[decision.best], arrays):
                return False
            for kernel in slower:
                kernel.stop("eliminated")
        return True

    def _is_still_right(self, kernel: Participant, arrays: CellArrays) -> bool:
        """Verify a kernel after its samples, before it eliminates others: it may skip work on arrays that it knows."""
        if arrays.modified and not self._verify(arrays, check_inputs=True):
            return False
        if kernel.status == "timed":
            kernel.verify(arrays)
            if arrays.restore_inputs():
                kernel.stop("wrong", "modified its inputs")
            elif self._roofline and self._roofline.samples and kernel.samples:
                ratio = quiet_ratio(self._roofline.samples, kernel.samples)
                if ratio.low > self._policy.impossible:
                    kernel.stop("wrong", f"takes {1 / ratio.value:.2f} of the time that moving its bytes takes")
        return kernel.verified

    @property
    def _is_settled(self) -> bool:
        return all(decision.settled for decision in self._decisions())

    def _decisions(self) -> list[Decision]:
        """Return a decision about the accurate kernels among themselves, and a decision about the other kernels."""
        sampled = {name: kernel for name, kernel in self.kernels.items() if kernel.samples}
        accurate = {name for name, kernel in sampled.items() if kernel.implementation.accurate_for == "logits"}
        decisions = [self._decide(accurate)] if accurate else []
        if sampled.keys() - accurate:
            among_all = self._decide(sampled.keys())
            decisions.append(among_all._replace(eliminated=among_all.eliminated - accurate))
        return decisions

    def _decide(self, names: Collection[str]) -> Decision:
        samples = {name: kernel.samples for name, kernel in self.kernels.items() if name in names}
        rounds = quiet_rounds(sum(self._blocks), self._disturbed)
        control = self._control and (self._control[0].name, selected(self._control[1], rounds))
        return decide(
            {name: selected(taken, rounds) or taken[:1] for name, taken in samples.items()},
            control if control and control[1] else None,
            [name for name in names if self.kernels[name].status != "timed"],
            blocks_of(self._blocks, rounds) if self._compares_blocks else (),
            early=len(rounds) < self._min_rounds,
            last=not self._small or self._steps >= self._policy.passes,
            policy=self._policy,
        )
