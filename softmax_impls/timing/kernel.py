"""A kernel in a cell, and the arrays that it is called on."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from softmax_impls import usage
from softmax_impls.checks import reference
from softmax_impls.formatting import KERNEL_ERRORS, format_bytes, one_line
from softmax_impls.implementation import Array, BoundCall, Implementation
from softmax_impls.registry import is_ours
from softmax_impls.timing import workloads
from softmax_impls.timing.environment import fingerprint
from softmax_impls.timing.extrapolation import UNKNOWN, Prediction, predict
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import KernelResult, Status, finite, rounded, storable
from softmax_impls.timing.workloads import CellKey


class CellArrays:
    """Probabilities, two gradients and `out` of a cell, and the sums over the classes that verify a result.

    Calls alternate between the gradients. So `out` never has the right values before a call. If a kernel does not write
    all of `out`, or saves time by reusing the values in `out`, its result is wrong.
    """

    last = 0  # index of the gradient of the last call

    def __init__(self, key: CellKey, seed: int) -> None:
        self.key, self._seed = key, seed
        self._take(workloads.arrays(key, seed))
        start = time.perf_counter()
        self._set_rows()
        self.copy_seconds = 0.0 if key.axis == -1 else time.perf_counter() - start  # of a copy of the rows
        self.sums = [self._row_sums(*rows) for rows in self.input_rows]
        self._checksum = self._sum_bits()

    def _take(self, arrays: tuple[Array, Array, Array]) -> None:
        self.probs, grad_output, self.out = arrays
        self.gradients = (grad_output, workloads.other_gradient(grad_output))

    def _set_rows(self) -> None:
        p = self.rows(self.probs)
        self.input_rows = [(p, self.rows(gradient)) for gradient in self.gradients]

    def _row_sums(self, p: Array, g: Array) -> reference.RowSums:
        """Return the `RowSums` of probabilities `p` and gradient `g`, (B, D) each; rows that repeat are summed once.

        The last rows are summed apart: those of the second gradient do not repeat, see `workloads.other_gradient`.
        """
        batch, dim = p.shape
        period = workloads.drawn_rows(batch, dim) if self.key.axis == -1 else batch
        own = min(batch, 1 + math.ceil(workloads.PAGE / g.itemsize / dim))  # rows that may not repeat
        last = reference.row_sums(p[-own:], g[-own:])
        repeated = reference.row_sums(p[:period], g[:period])
        pairs = zip(vars(repeated).values(), vars(last).values(), strict=True)
        return reference.RowSums(*(np.append(np.resize(first, batch - own), rest) for first, rest in pairs))

    def rows(self, array: Array) -> Array:
        """Return an array as (B, D) rows, which are copied unless the classes are on the last axis."""
        return np.ascontiguousarray(np.moveaxis(array, self.key.axis, -1)).reshape(self.key.batch, self.key.dim)

    def _sum_bits(self) -> tuple[int, ...]:
        return workloads.checksum(self.probs, self.gradients[0], self.gradients[1].reshape(-1)[-workloads.PAGE :])

    @property
    def modified(self) -> bool:
        """Whether a kernel has modified the inputs."""
        return self._sum_bits() != self._checksum

    def place_again(self) -> None:
        """Copy the inputs to new memory, and make a new `out`."""
        self._take(workloads.place(self.probs, self.gradients[0], len(self.probs)))
        if self.key.axis == -1:  # else `input_rows` are copies, which stay
            self._set_rows()

    def restore_inputs(self) -> bool:
        """Restore the inputs if a kernel has modified them; return whether it has."""
        if modified := self.modified:  # in place, because calls are bound to the arrays
            self.probs[...], gradient, _ = workloads.arrays(self.key, self._seed)
            self.gradients[0][...], self.gradients[1][...] = gradient, workloads.other_gradient(gradient)
        return modified


@dataclass(eq=False)
class Participant:
    """A kernel, or the roofline, in a cell: its calls and its samples."""

    implementation: Implementation
    bound: tuple[BoundCall, ...] = ()  # the calls on the cell's two gradients, as a user makes them
    calls_per_sample: int = 1  # 1 or an even number
    seconds: float = math.inf  # approximate time of a call
    samples: list[float] = field(default_factory=list)  # seconds of a call, one for each round
    status: Status = "timed"  # "timed" as long as it takes part in rounds
    note: str = ""  # the reason for another status
    verified: bool = False  # its result was right on the cell's arrays
    discrepancy: float | None = None  # its largest error on these arrays, as a multiple of its bound
    temporary_bytes: int | None = None  # of a call; None if the record does not state it
    prediction: Prediction = UNKNOWN  # of the time of a call, from smaller calls
    errors: Mapping[str, float] = field(default_factory=dict)  # worst error for each kind of input, from the checks
    first_call_seconds: float = 0.0  # by which a first call takes longer than a second call
    _arrays: CellArrays | None = None  # to which the calls are bound
    _verified_on: int = 1  # index of the gradient of the last verification

    @property
    def name(self) -> str:
        """Name of the implementation."""
        return self.implementation.name

    def stop(self, status: Status, note: str = "") -> None:
        """Take no further samples, and release the arrays; `status` and `note` are the reason.

        Unless the status is "eliminated", drop all samples, too, and count the kernel as not verified.
        """
        self.status, self.note = status, note
        self.release()
        if status != "eliminated":
            self.verified = False
            self.samples.clear()

    @contextmanager
    def stopped_if_it_fails(self) -> Iterator[None]:
        """Stop the kernel if the body of the ``with`` statement raises one of `KERNEL_ERRORS`."""
        try:
            yield
        except KERNEL_ERRORS as error:
            self.stop("failed", one_line(error))

    def release(self) -> None:
        """Delete the prepared calls, which refer to the arrays, so that the arrays can be freed."""
        self.bound, self._arrays = (), None

    def admit(self, arrays: CellArrays, allowance: float, largest_temporaries: int) -> None:
        """Stop the kernel if a call needs more than `largest_temporaries` bytes of memory; else set `prediction`.

        `prediction` also states whether the call, and the calls that predict its time, fit `allowance` seconds.
        """
        key, dtype = arrays.key, arrays.probs.dtype
        rows = usage.copied_rows(self.implementation, key.shape, key.axis)
        copied = 3 * rows * key.dim * dtype.itemsize
        with self.stopped_if_it_fails():
            needed = copied + max(0, int(self.implementation.temporary_bytes(rows or key.batch, key.dim, dtype)))
            if self.implementation.temporaries:
                self.temporary_bytes = min(needed, 2**62)
            if needed > largest_temporaries:
                self.stop("pruned", f"needs {format_bytes(needed)}")
                return
            copying = arrays.copy_seconds if copied else 0.0
            self.prediction = predict(self.implementation, *arrays.input_rows[0], allowance - copying, copying)

    def verify(self, arrays: CellArrays) -> None:
        """Make a call and verify its result. A kernel that raises, is wrong or modifies its inputs is called no more.

        A cell has two arrays of `grad_output`. Each verification takes the array that the last one did not take.
        """
        self._verified_on = 1 - self._verified_on
        if arrays.last == self._verified_on:  # else `out` has the result of the other gradient, which is wrong now
            arrays.out.fill(np.nan)
        arrays.last = self._verified_on
        sums, inputs = arrays.sums[arrays.last], arrays.input_rows[arrays.last]
        with self.stopped_if_it_fails():
            self.bind(arrays)
            call, read = self.bound[arrays.last]
            if self.samples:  # in samples, too, a call may follow a call of the same kernel, which may skip work then
                self.bound[1 - arrays.last][0]()
            start = time.perf_counter()
            returned = call()
            self.seconds = time.perf_counter() - start
            worst = reference.worst(*inputs, arrays.rows(read(returned)), sums, self.implementation.flush_to_zero)
            self.discrepancy, self.verified = worst.ratio, not worst.wrong
            if worst.wrong:
                self.stop("wrong", worst.in_words())
        if arrays.restore_inputs():
            self.stop("wrong", "modified its inputs")

    def bind(self, arrays: CellArrays) -> None:
        """Prepare the calls on these arrays, unless they are prepared already."""
        if not self.bound:
            self._arrays = arrays
            self.bound = tuple(
                usage.bind(self.implementation, arrays.probs, gradient, arrays.out, arrays.key.threads, arrays.key.axis)
                for gradient in arrays.gradients
            )

    def move(self, arrays: CellArrays) -> bool:
        """Prepare calls on new arrays and try a call. If it fails, stop timing the kernel. Return whether it worked."""
        with self.stopped_if_it_fails():
            self.bind(arrays)
            arrays.last = 1 - arrays.last
            self.bound[arrays.last][0]()
        return bool(self.bound)

    def calibrate(self, target: float, policy: SamplingPolicy) -> None:
        """Choose how many calls make a sample of `target` seconds; a call that takes longer is a sample by itself."""
        with self.stopped_if_it_fails():
            self.calls_per_sample = 1
            seconds = min(self.seconds, self.sample())
            while seconds * self.calls_per_sample < target / 2:
                self.calls_per_sample *= 4
                seconds = min(seconds, self.sample())
            if seconds < target:
                seconds = min(seconds, *(self.sample() for _ in range(policy.calibration_samples - 1)))
            self.seconds = seconds
            self.calls_per_sample = max(1, 2 * round(target / seconds / 2))

    def sample(self, settling: float = 0.0) -> float:
        """Return seconds per call, measured after `settling` seconds of the same calls."""
        assert self._arrays is not None
        self._arrays.last = other = 1 - self._arrays.last
        call, before = self.bound[other][0], self.bound[1 - other][0]
        until = time.perf_counter() + settling
        while settling and time.perf_counter() < until:
            call()
            before()
        if self.calls_per_sample > 1:
            call()  # not timed: it finds the caches as another kernel has left them
        pairs = range(self.calls_per_sample // 2)
        start = time.perf_counter_ns()
        if not pairs:
            call()
        for _ in pairs:
            before()
            call()
        seconds = (time.perf_counter_ns() - start) / self.calls_per_sample / 1e9
        return max(seconds, 1e-12)  # never zero

    def result(self) -> KernelResult:
        """Return the record of the kernel's result."""
        samples = rounded(self.samples)
        predicted = self.prediction.seconds if self.status == "extrapolated" else None
        return KernelResult(
            name=storable(self.name, 200),
            status=self.status,
            note=storable(self.note, 2000),
            verified=self.verified,
            samples=samples,
            seconds=float(np.median(samples)) if samples else finite(predicted or None, 1e18),
            calls_per_sample=self.calls_per_sample,
            discrepancy=finite(self.discrepancy),
            temporary_bytes=self.temporary_bytes,
            accurate_for=self.implementation.accurate_for,
            errors={kind: finite(error) for kind, error in self.errors.items()},
            source=fingerprint(self.implementation.kernel),
            spec="" if is_ours(self.implementation) else storable(self.implementation.spec, 2000),
            first_call_seconds=self.first_call_seconds,
        )
