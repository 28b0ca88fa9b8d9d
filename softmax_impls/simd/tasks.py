"""Calls on rows: the choice of the task, of the number of chunks, and of plain or non-temporal stores.

A task is compiled when a call first needs it.
"""

import functools
from typing import Any

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.simd import pool, rows, sizes
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.arrays import UnfitError
from softmax_impls.simd.jit import DISABLE_JIT, WORD, Task, task
from softmax_impls.simd.vectors import Pointer, call_task

SMALL: pool.Team = (0, 0, 0)  # the team of a small call


class Tasks:
    """A task for each kind of rows (such as `rows.TINY`), and a table of the tasks' addresses.

    The table has two addresses per task: for float32 and for float64. An address is 0 until the task is compiled.
    """

    def __init__(self, *tasks: Task) -> None:
        self._tasks, self._kept = tasks, list[Any]()
        addresses: Any = np.zeros(2 * len(tasks), np.int64)
        self._addresses = [task.function for task in tasks for _ in range(2)] if DISABLE_JIT else addresses
        self.table = self._addresses if DISABLE_JIT else addresses.ctypes.data

    @functools.cached_property
    def small(self) -> Any:
        """The argument `words` with which to call `pool.enter` for small arrays.

        In such a call, the calling thread computes all rows alone, and keeps the GIL. `enter` returns LARGE if the
        call moves `sizes.SHARED_FROM` bytes or more, if its task is not compiled, or if a result may overflow. Then
        use `run`.
        """
        words = _words(self, SMALL, sizes.NONTEMPORAL_FROM, False)
        self._kept.append(words)  # all, not only the last: two threads may make words at once, and use both addresses
        return words[1]

    def run(self, probs: Array, grad: Array, out: Array, threads: int | None = None) -> None:
        """Compute the rows of arrays of any size in at most `threads` threads; the default is `num_threads`.

        The tasks that the call needs are compiled if they are missing. If the tasks find that a row may overflow,
        `careful_rows` computes all rows again; see `rows`.
        """
        team, state, careful = pool.team_for(3 * probs.nbytes, threads), sizes.LARGE, False
        while state >= sizes.LARGE:
            words = _words(self, team, sizes.NONTEMPORAL_FROM, careful)
            state = pool.enter.compiled(probs, grad, out, words[1])
            if (missing := state - sizes.LARGE - 1) >= 0:
                self._addresses[missing] = self._tasks[missing // 2].address(probs.dtype)
            assert not (careful and state == sizes.LARGE)  # the tasks of a careful call compute all rows
            careful |= state == sizes.LARGE
        if state == sizes.UNFIT:
            raise UnfitError("the arrays do not fit: a kernel takes plain arrays of one shape and dtype")


@functools.lru_cache(1024)
def _words(tasks: Tasks, team: pool.Team, nontemporal_from: int, careful: bool) -> tuple[Any, Any]:
    """Return the words of a call, see `pool.words_of`. If `careful`, the call is computed as if `out` were an input."""
    above = nontemporal_from * (1 + min(max(1, team[0]), sizes.NONTEMPORAL_THREADS)) // 2
    first = {pool.FIRST: choose.address(WORD), pool.TABLE: tasks.table}
    return pool.words_of(team, first | {pool.NONTEMPORAL: above, pool.IN_PLACE: careful})


@task()
def choose(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Choose the task for the rows of a call, run the task, and return its result.

    If the task with index i in the table is not compiled, return -1 - i. In a call by `Tasks.small`, call[THREADS] is
    0. Such a call returns `start` if its arrays are not small, or if its task is not compiled. call[INNER] is the
    number of lanes of a vector. call[NONTEMPORAL] is a limit: a call that moves more bytes uses non-temporal stores.
    This task replaces the limit by 1 if the call uses them, else by 0.
    """
    dim, width, threads = call[pool.DIM], call[pool.INNER], call[pool.THREADS]
    row_bytes, table = 3 * sizes.VECTOR_BYTES // width * dim, vec.pointer_to(call[pool.TABLE], np.int64(0))
    if threads == 0 and row_bytes * stop >= sizes.SHARED_FROM:
        return start
    call[pool.NONTEMPORAL] = row_bytes * stop > call[pool.NONTEMPORAL]
    kind = rows.kind_of(dim, width, call[pool.NONTEMPORAL] != 0)
    first = rows.CAREFUL if call[pool.IN_PLACE] else kind
    shared = False
    if threads > 1 and stop < 2 * threads:
        whole = (stop + threads - 1) // threads * row_bytes  # moved by the thread with the most rows
        shared = stop * (row_bytes // threads + sizes.TOGETHER_BYTES) < whole
    if shared:  # rows are few and long, so threads compute each row together
        kind, first = rows.PART, rows.SHARED
    kind, first = rows.place(kind, width), rows.place(first, width)
    if table[kind] == 0 or table[first] == 0:
        return start if threads == 0 else -1 - (first if table[kind] else kind)
    call[pool.TASK], first = table[kind if shared else first], table[first]
    if shared:
        call[pool.SMALLEST] = sizes.MIN_CHUNK_BYTES * dim // row_bytes
    elif threads > 1:
        call[pool.SMALLEST] = max(sizes.MIN_CHUNK_BYTES // row_bytes, min(sizes.MIN_CHUNK_ROWS, stop // threads))
        first = call[pool.LEAD]
    return call_task(first, call, probs, grad, out, start, stop)  # type: ignore[no-any-return]
