"""The participants of a cell: the kernels, the A/A control and the roofline."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import Implementation
from softmax_impls.timing.cell_arrays import CellArrays
from softmax_impls.timing.elimination import Decision, decide, too_slow_for_rounds
from softmax_impls.timing.kernel import Kernel, Participant
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.roofline import ROOFLINE


class Participants:
    """What is timed in a cell.

    Attributes
    ----------
    kernels : dict of str to Kernel
    roofline : Participant
    control : Participant or None
        The A/A control: another participant with the call of the fastest kernel.
    """

    def __init__(self, implementations: Iterable[Implementation], policy: SamplingPolicy) -> None:
        self.kernels = {implementation.name: Kernel(implementation) for implementation in implementations}
        self.roofline = Participant(ROOFLINE)
        self.control: Participant | None = None
        self._policy = policy

    @property
    def active(self) -> list[Kernel]:
        """The kernels that take part in rounds."""
        return [kernel for kernel in self.kernels.values() if kernel.active]

    @property
    def control_samples(self) -> tuple[str, list[float]] | None:
        """The name of the A/A control's kernel and the control's samples, if there are any."""
        return (self.control.name, self.control.samples) if self.control and self.control.samples else None

    def bind(self, arrays: CellArrays, check_inputs: bool = False) -> bool:
        """Bind the calls to these arrays and verify the kernels; return whether all of them are right."""
        self.release()
        self.roofline.bind(arrays)
        return self.verify(arrays, check_inputs)

    def verify(self, arrays: CellArrays, check_inputs: bool = False) -> bool:
        """Verify the active kernels; return whether all of them are right.

        With `check_inputs`, a kernel that modifies its inputs is wrong. If the inputs are modified already, a kernel
        that was eliminated may have modified them, so eliminated kernels are verified, too.
        """
        kernels = self.active
        if check_inputs and arrays.restore_inputs():
            kernels = [kernel for kernel in self.kernels.values() if kernel.status in ("timed", "eliminated")]
        for kernel in kernels:
            kernel.verify(arrays)
            if check_inputs and arrays.restore_inputs():
                kernel.stop("wrong", "modified its inputs")
        if self.control:
            self.control.bound = self.kernels[self.control.name].bound
        return all(kernel.verified for kernel in kernels)

    def release(self) -> None:
        """Unbind all calls, so that the arrays can be freed."""
        for participant in (*self.kernels.values(), self.roofline, self.control):
            if participant:
                participant.bound = None

    def restart(self) -> None:
        """Drop all samples, and let all kernels take part that are right so far."""
        self.control = None
        self.roofline.samples.clear()
        for kernel in self.kernels.values():
            kernel.restart()

    def calibrate(self, seconds: float, step_seconds: float) -> None:
        """Choose the calls per sample and the A/A control, and eliminate the kernels that are too slow for rounds.

        Parameters
        ----------
        seconds : float
            Time for rounds.
        step_seconds : float
            Time of the whole step.
        """
        policy = self._policy
        target = min(max(seconds / (policy.target_rounds * len(self.active)), policy.min_sample), policy.max_sample)
        for kernel in self.active:
            try:
                kernel.calibrate(target, policy)
            except KERNEL_ERRORS as error:
                kernel.stop("failed", one_line(error))
        self.roofline.sample()  # it may compile
        self.roofline.calibrate(target, policy)
        # A single call may have been disturbed, so the prediction has to agree that a kernel is too slow.
        times = {kernel.name: min(kernel.seconds, kernel.predicted) for kernel in self.active}
        for name in too_slow_for_rounds(times, step_seconds, policy):
            self.kernels[name].samples.append(self.kernels[name].seconds)
            self.kernels[name].stop("eliminated")
        if self.active:
            fastest = min(self.active, key=lambda kernel: kernel.seconds)
            self.control = Participant(fastest.implementation, fastest.bound, fastest.calls_per_sample)

    def take_round(self, rng: np.random.Generator, settling: float) -> bool:
        """Take a sample of each participant, in random order; return False as soon as a kernel fails."""
        members = [*self.active, *self._references()]
        for index in rng.permutation(len(members)):
            try:
                members[index].samples.append(members[index].sample(settling))
            except KERNEL_ERRORS as error:
                if members[index] is self.roofline:
                    raise
                self.kernels[members[index].name].stop("failed", one_line(error))
                return False
        return True

    def decide(self, blocks: tuple[int, ...], *, early: bool, last: bool) -> Decision:
        """Return which kernels are to be eliminated; see `softmax_impls.timing.elimination.decide`."""
        compared = [kernel for kernel in self.kernels.values() if kernel.samples]
        samples = {kernel.name: kernel.samples for kernel in compared}
        eliminated = [kernel.name for kernel in compared if not kernel.active]
        return decide(samples, self.control_samples, eliminated, blocks, early=early, last=last, policy=self._policy)

    def _references(self) -> list[Participant]:
        """Return the roofline and the A/A control, each while it takes part."""
        references = [self.roofline]
        if self.control and self.kernels[self.control.name].active:
            references.append(self.control)
        return [reference for reference in references if len(reference.samples) < self._policy.reference_rounds]
