"""Calls on rows: the choice of the task, of the number of chunks, and of plain or non-temporal stores.

A task is compiled when a call first needs it.
"""

import functools
from typing import Any

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.simd import pool, rows, sizes
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import DISABLE_JIT, WORD, Task, call_task, inner, task
from softmax_impls.simd.vectors import Pointer
from softmax_impls.threads import MAX_THREADS

SMALL: pool.Team = (0, 0, 0)  # the team of a small call


class Tasks:
    """The tasks for all kinds of rows, and a table of their addresses.

    The table has an address for each kind and dtype. It is 0 until the task is compiled.
    """

    def __init__(self, *tasks: Task) -> None:
        self._tasks, self._kept = tasks, list[Any]()
        addresses: Any = np.zeros(2 * len(tasks), np.int64)
        self._addresses = [task.function for task in tasks for _ in range(2)] if DISABLE_JIT else addresses
        self.table = self._addresses if DISABLE_JIT else addresses.ctypes.data

    @functools.cached_property
    def small(self) -> Any:
        """The words of a small call, as the argument of `pool.enter`."""
        words = _words(self, SMALL, sizes.NONTEMPORAL_FROM, False)
        self._kept.append(words)  # not only the last: two threads may make words at once, and each keeps an address
        return words[1]

    def run(self, probs: Array, grad: Array, out: Array, threads: int | None = None) -> None:
        """Compute a call that is too large for a small call, needs a task that is not compiled, or may overflow."""
        team, enter = pool.team_for(3 * probs.nbytes, threads), pool.enter.compiled
        for careful in (False, True):
            words = _words(self, team, sizes.NONTEMPORAL_FROM, careful)
            if enter(probs, grad, out, words[1]) == sizes.DONE:
                return
            compiled = self._compile(probs, team[0], careful)  # False, too, if another thread was faster
            if (compiled or careful) and enter(probs, grad, out, words[1]) == sizes.DONE:
                return

    def _compile(self, probs: Array, threads: int, careful: bool) -> bool:
        """Compile the tasks of a call; return False if they were compiled before."""
        dim, width = probs.shape[-1], sizes.VECTOR_BYTES // probs.itemsize
        if _is_shared(probs.size // dim, 3 * probs.itemsize * dim, threads):
            kinds = [rows.PART, rows.SHARED]
        elif careful:
            kinds = [rows.CAREFUL]
        else:
            kinds = [rows.kind_of(dim, width, 3 * probs.nbytes > _nontemporal_above(sizes.NONTEMPORAL_FROM, threads))]
        missing = [kind for kind in kinds if not self._addresses[rows.place(kind, width)]]
        for kind in missing:
            self._addresses[rows.place(kind, width)] = self._tasks[kind].address(probs.dtype)
        return bool(missing)


@functools.lru_cache(1024)
def _words(tasks: Tasks, team: pool.Team, nontemporal_from: int, careful: bool) -> tuple[Any, Any]:
    """Return the words of a call, see `pool.pack`. If `careful`, it is computed as if `out` were an input."""
    (threads, leader, memory), above = team, _nontemporal_above(nontemporal_from, team[0])
    words = {pool.TABLE: tasks.table, pool.FIRST: choose.address(WORD), pool.ALIASED: 1, pool.IN_PLACE: careful}
    return pool.pack(words | {pool.NONTEMPORAL: above, pool.THREADS: threads, pool.LEAD: leader, pool.POOL: memory})


def _nontemporal_above(nontemporal_from: int, threads: int) -> int:
    return int(nontemporal_from * (sizes.NONTEMPORAL_SHARED if threads > 1 else 1))


@inner(forceinline=True)
def _is_shared(items: int, row_bytes: int, threads: int) -> bool:
    """Whether threads compute each row together, because rows are few and long."""
    return threads > 1 and items < 2 * threads and row_bytes >= 2 * sizes.MIN_CHUNK_BYTES


@task()
def choose(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute a call by the task for its rows, if that is compiled.

    INNER is the number of lanes of a vector, THREADS is 0 in a small call, and NONTEMPORAL is the number of bytes moved
    above which a call uses non-temporal stores.
    """
    dim, width, threads = call[pool.DIM], call[pool.INNER], call[pool.THREADS]
    row_bytes, table = 3 * sizes.VECTOR_BYTES // width * dim, vec.pointer_to(call[pool.TABLE], np.int64(0))
    if threads == 0 and row_bytes * stop >= sizes.SHARED_FROM:
        return start
    call[pool.NONTEMPORAL] = row_bytes * stop > call[pool.NONTEMPORAL]
    kind = rows.CAREFUL if call[pool.IN_PLACE] else rows.kind_of(dim, width, call[pool.NONTEMPORAL] != 0)
    if _is_shared(stop, row_bytes, threads):
        kind = rows.SHARED
    first = table[rows.place(kind, width)]
    if first == 0:
        return start
    if kind == rows.SHARED:
        call[pool.TASK] = table[rows.place(rows.PART, width)]
    elif threads > 1:
        smallest = max(sizes.MIN_CHUNK_BYTES // row_bytes, min(sizes.MIN_CHUNK_ROWS, max(1, stop // threads)))
        call[pool.STEP] = max(smallest, stop // min(sizes.CHUNKS_PER_THREAD * threads, MAX_THREADS))
        call[pool.TASK], first = first, call[pool.LEAD]
    return call_task(first, call, probs, grad, out, start, stop)  # type: ignore[no-any-return]
