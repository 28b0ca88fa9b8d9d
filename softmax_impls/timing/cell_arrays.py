"""The arrays of a cell: made, placed anew, and checked for results and for modified inputs."""

from __future__ import annotations

from softmax_impls.checks import reference
from softmax_impls.implementation import Array
from softmax_impls.timing import workloads
from softmax_impls.timing.workloads import CellKey


class CellArrays:
    """Inputs and `out` of a cell, (B, D) each, and what is needed to verify a result for them.

    Attributes
    ----------
    probs, grad_output, out : ndarray
        The arrays that kernels are called with.
    """

    def __init__(self, key: CellKey, seed: int) -> None:
        self._key, self._seed = key, seed
        self.probs, self.grad_output, self.out = workloads.arrays(key, seed)
        self._sums = reference.row_sums(self.probs, self.grad_output)
        self._checksum = workloads.checksum(self.probs, self.grad_output)

    @property
    def arguments(self) -> tuple[Array, Array, Array]:
        """The arguments of a kernel: `probs`, `grad_output` and `out`."""
        return self.probs, self.grad_output, self.out

    def place_again(self) -> None:
        """Move all three arrays to new memory, with the same placement within a page."""
        self.probs, self.grad_output, self.out = workloads.place(self.probs, self.grad_output, self._key.batch)

    @property
    def modified(self) -> bool:
        """Whether a kernel has modified the inputs."""
        return workloads.checksum(self.probs, self.grad_output) != self._checksum

    def restore_inputs(self) -> bool:
        """Write the inputs again if they are modified; return whether they were."""
        if not self.modified:
            return False
        original = workloads.arrays(self._key, self._seed)
        self.probs[...], self.grad_output[...] = original[:2]  # in place, as kernels are bound to these arrays
        return True

    def compare(self, result: Array, flush_to_zero: bool) -> reference.Discrepancy:
        """Return where a result is farthest from the exact value, as a multiple of its bound."""
        return reference.worst(self.probs, self.grad_output, result, self._sums, flush_to_zero)
