"""What the machine can do at best: move these bytes, and do nothing worth mentioning with them.

Two reads and one write of (B, D), in as many threads, stored past the caches where they don't fit the last one: the
time that any implementation is measured against. For small arrays it is the cost of a call.
"""

from __future__ import annotations

from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.backward import _limits, _team
from softmax_impls.backward._jit import jit
from softmax_impls.backward._limits import SHARED_FROM, STREAMED_FROM
from softmax_impls.backward._passes import move
from softmax_impls.backward._vectors import pointer
from softmax_impls.contract import Array, Implementation


@jit(nogil=True)
def _alone(probs: Array, grad_output: Array, out: Array, streaming: bool) -> None:
    move(pointer(probs), pointer(grad_output), pointer(out), 0, probs.size, streaming)


def touch(probs: Array, grad_output: Array, out: Array) -> None:
    """Write p g, as fast as memory allows."""
    moved = 3 * probs.nbytes
    threads = 1 if DISABLE_JIT or moved < SHARED_FROM else _limits.threads()
    if threads == 1 or not _team.run(probs, grad_output, out, threads, _team.MOVE):
        _alone(probs, grad_output, out, moved > STREAMED_FROM)


YARDSTICK = Implementation("limit", touch, "two reads and a write, as fast as this machine can", threaded=True)
