"""What gives samples in a cell: a kernel; and, as plain participants, the A/A control and the roofline."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import BoundCall, Implementation
from softmax_impls.timing.cell_arrays import CellArrays
from softmax_impls.timing.environment import fingerprint
from softmax_impls.timing.extrapolation import predict
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import KernelResult, Status, finite, printable, rounded

CLOCK = 1e-12  # seconds; the sample if the clock did not advance


@dataclass
class Participant:
    """A call that is timed, and its samples.

    Attributes
    ----------
    implementation : Implementation
    bound : tuple of callable or None
        The call on the cell's arrays, and the reader of its result.
    calls_per_sample : int
    seconds : float
        Approximate time of a call.
    samples : list of float
        Seconds of a call, one for each round.
    """

    implementation: Implementation
    bound: BoundCall | None = field(default=None, repr=False)
    calls_per_sample: int = 1
    seconds: float = math.inf
    samples: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the implementation."""
        return self.implementation.name

    def bind(self, arrays: CellArrays) -> BoundCall:
        """Prepare the call on these arrays."""
        self.bound = self.implementation.bind_call(*arrays.arguments)
        return self.bound

    def sample(self, settling: float = 0.0) -> float:
        """Return seconds per call, measured after `settling` seconds of the same calls.

        Before a sample of several calls, one call is not timed: it finds the caches as another kernel has left them.
        """
        assert self.bound is not None
        call = self.bound[0]
        if self.calls_per_sample > 1:
            call()
        until = time.perf_counter() + settling
        while settling and time.perf_counter() < until:
            call()
        repeat = range(self.calls_per_sample)
        start = time.perf_counter_ns()
        for _ in repeat:
            call()
        return max((time.perf_counter_ns() - start) / self.calls_per_sample / 1e9, CLOCK)

    def calibrate(self, target: float, policy: SamplingPolicy) -> None:
        """Choose how many calls make a sample of `target` seconds; a longer call is a sample of its own."""
        self.calls_per_sample = 1
        seconds = min(self.seconds, self.sample())
        while seconds * self.calls_per_sample < target / 2:
            self.calls_per_sample *= 4
            seconds = min(seconds, self.sample())
        if seconds < target:
            seconds = min(seconds, *(self.sample() for _ in range(policy.calibration_samples - 1)))
        self.seconds = seconds
        self.calls_per_sample = max(1, round(target / seconds))


@dataclass
class Kernel(Participant):
    """An implementation in a cell.

    Attributes
    ----------
    status : str
        "timed" as long as it takes part; see `softmax_impls.timing.records.KernelResult`.
    note : str
        The reason for another status.
    verified : bool
        Whether its result was right on the cell's arrays.
    discrepancy : float or None
        Its largest error there, as a multiple of its bound.
    temporary_bytes : int
        Temporary memory of a call.
    predicted : float
        Time of a call in seconds, extrapolated from smaller calls.
    """

    status: Status = "timed"
    note: str = ""
    verified: bool = False
    discrepancy: float | None = None
    temporary_bytes: int = 0
    predicted: float = math.inf

    @property
    def active(self) -> bool:
        """Whether it takes part in rounds."""
        return self.status == "timed"

    def stop(self, status: Status, note: str = "") -> None:
        """End its part in the cell, and release the arrays."""
        self.status, self.note, self.bound = status, note, None
        if status != "eliminated":
            self.verified = False
            self.samples.clear()

    def restart(self) -> None:
        """Take part again, without samples, if it has been timed or eliminated."""
        if self.verified:
            self.status, self.bound = "timed", None
            self.samples.clear()

    def admit(self, arrays: CellArrays, allowance: float, largest_temporaries: int, policy: SamplingPolicy) -> None:
        """Stop it if a call would need too many bytes of temporary memory, or more than `allowance` seconds."""
        batch, dim = arrays.probs.shape
        try:
            needed = self.implementation.temporary_bytes(batch, dim, arrays.probs.dtype)
            self.temporary_bytes = min(max(0, int(needed)), 2**62)
            if reason := self.implementation.too_large(batch, dim, arrays.probs.dtype, largest_temporaries):
                self.stop("pruned", reason)
                return
            prediction = predict(self.implementation, *arrays.arguments, allowance, policy)
        except KERNEL_ERRORS as error:
            self.stop("failed", one_line(error))
            return
        self.predicted = prediction.seconds
        if not prediction.allowed:
            self.stop("extrapolated", "one call would take too much of the budget")

    def verify(self, arrays: CellArrays) -> None:
        """Call it with an `out` full of NaN, and verify the result; stop it if it is wrong or raises."""
        arrays.out.fill(np.nan)
        try:
            call, read = self.bound or self.bind(arrays)
            start = time.perf_counter()
            returned = call()
            self.seconds = time.perf_counter() - start
            worst = arrays.compare(read(returned), self.implementation.flush_to_zero)
        except KERNEL_ERRORS as error:
            self.stop("failed", one_line(error))
            return
        self.discrepancy, self.verified = worst.ratio, not worst.wrong
        if worst.wrong:
            self.stop("wrong", worst.in_words())

    def result(self, errors: Mapping[str, float], first_call_seconds: float) -> KernelResult:
        """Return its record; the parameters are the facts that do not depend on the cell."""
        samples = rounded(self.samples)
        predicted = self.predicted if self.status == "extrapolated" else None
        return KernelResult(
            name=printable(self.name, 200),
            status=self.status,
            note=printable(self.note, 2000),
            verified=self.verified,
            samples=samples,
            seconds=float(np.median(samples)) if samples else finite(predicted or None, 1e18),
            calls_per_sample=self.calls_per_sample,
            discrepancy=finite(self.discrepancy),
            temporary_bytes=self.temporary_bytes,
            accurate_for=self.implementation.accurate_for,
            errors={kind: finite(error) for kind, error in errors.items()},
            source=fingerprint(self.implementation.kernel),
            first_call_seconds=first_call_seconds,
        )
