"""The tasks of a pass over rows, compiled when a call needs them, and the task that small calls begin with."""

import functools
from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.simd import pool, rows
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import WORD, Task, call_task, task
from softmax_impls.simd.sizes import SHARED_FROM, VECTOR_BYTES
from softmax_impls.simd.vectors import Pointer


class Tasks:
    """The tasks for each kind of rows, and the table of their addresses by kind and dtype; 0 if not compiled yet."""

    def __init__(self, *tasks: Task) -> None:
        self._tasks, self._packed = tasks, list[Any]()
        addresses: Any = np.zeros(2 * len(tasks), np.int64)
        self.addresses = [task.function for task in tasks for _ in range(2)] if DISABLE_JIT else addresses
        self.table = self.addresses if DISABLE_JIT else addresses.ctypes.data

    @functools.cached_property
    def small(self) -> Any:
        """The words of a small call, as the argument of `pool.enter`."""
        words = {pool.TABLE: self.table, pool.FIRST: choose.address(WORD), pool.ALIASED: 1}
        packed, place = pool.pack(*(words.get(k, 0) for k in range(pool.CALL_WORDS)))
        self._packed.append(packed)  # all of them: several threads may make the words at once, and keep a place
        return place

    def compile(self, itemsize: int, *kinds: int) -> None:
        """Compile tasks for a dtype."""
        for kind in kinds:
            place = rows.place(kind, VECTOR_BYTES // itemsize)
            if not self.addresses[place]:
                self.addresses[place] = self._tasks[kind].address(np.dtype(f"f{itemsize}"))


@task()
def choose(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute a small call by the task for its rows, if that is compiled. INNER is the number of lanes of a vector."""
    dim, width, table = call[pool.DIM], call[pool.INNER], vec.pointer_to(call[pool.TABLE], np.int64(0))
    if 3 * VECTOR_BYTES // width * dim * stop >= SHARED_FROM:
        return start
    kind = rows.CAREFUL if call[pool.IN_PLACE] else rows.kind_of(dim, width, False)
    chosen = table[rows.place(kind, width)]
    return start if chosen == 0 else call_task(chosen, call, probs, grad, out, start, stop)
