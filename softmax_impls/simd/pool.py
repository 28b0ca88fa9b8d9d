"""A pool of threads that share the work of one call.

`run` computes a task (see `jit.task`) on a number of items: rows, elements, or other units of the task. It cuts the
items into chunks. Each thread begins with its own chunks, because in a loop of calls its cache still holds their data.
Then it computes chunks that other threads have not taken. A helper that wakes up late computes fewer chunks. So sharing
costs a call at most the time to wake the helpers. After a call, helpers poll for the next call before they sleep.

A task ``task(call, probs, grad, out, start, stop)`` computes the items from `start` to `stop`, and returns `stop`. If
not all items are computed, it returns another number. Define a task with the decorator ``@jit.task()``, and call it by
``pool.run(task, probs, grad, out, items, threads, ...)``. In a task, the three arrays are pointers to elements (see
`vectors`), and `call` points to the words of the call. The words DIM, INNER, NONTEMPORAL and IN_PLACE are the arguments
of `run`; IN_PLACE is 1 if `out` is an input. The words are on the caller's stack. A call with several loops has a first
task, which calls `lead` once for each loop, see `parts`.

Numba's own threads are not used. The default layer aborts the process when two threads call at once. GNU OpenMP ends a
forked child process that calls. In every layer, each call waits for all threads. This pool serves a single call at a
time; a second caller computes all chunks alone. Compiled code acquires and releases the pool, so that Ctrl-C cannot
interrupt in between.

The threads share 64-bit words::

    TICKET           number of the loop | 32 bits, one per chunk: 1 = taken, or there is no such chunk
    COMPLETED        number of completed chunks of this loop
    CALL … THREADS   description of the loop, written before its ticket
    BUSY             1 during a loop

To take a chunk, a thread sets the chunk's bit in TICKET by a compare_exchange, which fails if the ticket has changed.
If it succeeds, the words that the thread has read are of the current loop, and they do not change before COMPLETED
counts the chunk.
"""

import contextlib
import os
import threading
from array import array
from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from softmax_impls.implementation import Array
from softmax_impls.simd import arrays
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.arrays import reference
from softmax_impls.simd.jit import WORD, Task, call_task, entry, inner, task
from softmax_impls.simd.sizes import CHUNKS_PER_THREAD, DONE, IDLE_POLLS, LARGE, POLLS_PER_YIELD, UNFIT, VECTOR_BYTES
from softmax_impls.simd.vectors import Pointer
from softmax_impls.threads import MAX_THREADS, available_cores

# Words of a call: for the task, for `lead`, for `enter`. TABLE is the address of a table of addresses of other tasks.
DIM, INNER, NONTEMPORAL, IN_PLACE, CAREFUL, SUMS, TABLE, LEAD, POOL, TASK, STEP, THREADS = range(12)
FIRST, ALIASED, ITEMS = range(12, 15)  # the first task, whether `out` may be an input, and the number of items
CALL_WORDS = 15

# Words of the pool. TICKET and COMPLETED have a cache line each, because threads poll them.
LINE = 8  # words
TICKET, COMPLETED = 0, LINE
BUSY, FAILED, WORKERS, CHUNKS, CHUNK, TASK_OF, CALL, PROBS, GRAD, OUT, START, STOP = range(2 * LINE, 2 * LINE + 12)
WORDS = 4 * LINE
MAX_CHUNKS = 2 * MAX_THREADS
ALL_CHUNKS = (1 << MAX_CHUNKS) - 1


@inner(forceinline=True)
def _take_chunk(words: Pointer, ticket: int, first: int) -> bool:
    """Take the first free chunk from `first` on, cyclically, and compute it. Return whether there was one."""
    chunks = words[CHUNKS]
    for i in range(first, first + chunks):
        chunk = i % chunks
        if not ticket >> chunk & 1:
            if vec.compare_exchange(words, TICKET, ticket, ticket | 1 << chunk):
                call, word = vec.pointer_to(words[CALL], np.int64(0)), np.int64(0)
                p, g = vec.pointer_to(words[PROBS], word), vec.pointer_to(words[GRAD], word)
                o = vec.pointer_to(words[OUT], word)
                start = words[START] + chunk * words[CHUNK]
                stop = words[STOP] if chunk == chunks - 1 else start + words[CHUNK]
                if call_task(words[TASK_OF], call, p, g, o, start, stop) != stop:
                    words[FAILED] = 1
                vec.fetch_add(words, COMPLETED, 1)
            return True
    return False


@entry(nogil=True)
def _help(memory: int, thread: int, idle_polls: int) -> int:
    """Compute chunks of calls until `idle_polls` polls in succession find none; return 0."""
    words = vec.pointer_to(memory, np.int64(0))
    idle = 0
    while idle < idle_polls:
        ticket = vec.load_acquire(words, TICKET)
        idle += 1
        if ticket & ALL_CHUNKS != ALL_CHUNKS and thread < words[WORKERS]:
            if _take_chunk(words, ticket, thread * words[CHUNKS] // words[WORKERS]):
                idle = 0
        elif idle % POLLS_PER_YIELD:
            vec.spin_pause()
        else:  # the caller may wait for this processor
            vec.yield_processor()
    return 0


@task()
def lead(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute the task call[TASK] in chunks of call[STEP] items, together with helpers if the pool is free."""
    words, step = vec.pointer_to(call[POOL], np.int64(0)), call[STEP]
    chunks = max(1, (stop - start) // step)
    if not vec.compare_exchange(words, BUSY, 0, 1):
        failed = 0
        for chunk in range(chunks):  # the same chunks as with helpers, so that the result is the same
            first = start + chunk * step
            last = stop if chunk == chunks - 1 else first + step
            failed |= call_task(call[TASK], call, probs, grad, out, first, last) ^ last
        return start if failed else stop
    # No thread can take a chunk until the next ticket, so the words may change.
    number = (vec.load_acquire(words, TICKET) >> MAX_CHUNKS) + 1
    vec.store_release(words, TICKET, vec.load_acquire(words, TICKET) | ALL_CHUNKS)
    words[CALL], words[TASK_OF], words[WORKERS] = vec.address(call), call[TASK], call[THREADS]
    words[PROBS], words[GRAD], words[OUT] = vec.address(probs), vec.address(grad), vec.address(out)
    words[START], words[STOP], words[CHUNK], words[CHUNKS], words[FAILED] = start, stop, step, chunks, 0
    vec.store_release(words, COMPLETED, 0)
    vec.store_release(words, TICKET, number << MAX_CHUNKS | (ALL_CHUNKS ^ ((1 << chunks) - 1)))
    while vec.load_acquire(words, COMPLETED) < chunks:
        if not _take_chunk(words, vec.load_acquire(words, TICKET), 0):
            vec.spin_pause()
    failed = words[FAILED]
    vec.store_release(words, BUSY, 0)
    return start if failed else stop


@entry()
def enter(probs: Any, grad: Any, out: Any, words: Any) -> int:
    """Compute a call on three C-contiguous arrays of one dtype, float32 or float64, which `words` describe.

    Each array is passed as the result of `arrays.reference`. Return DONE; UNFIT if the shapes differ or `out` partly
    overlaps an input; or LARGE if the task did not compute all items. If ITEMS is 0, it is a small call on all rows,
    see `tasks`.
    """
    size = arrays.common_size(probs, grad, out)
    if size <= 0:
        return UNFIT if size < 0 else DONE
    p, g, o = arrays.data(probs), arrays.data(grad), arrays.data(out)
    given, call, state = vec.pointer_to(words, np.int64(0)), vec.stack_words(CALL_WORDS), 0
    for k in range(CALL_WORDS):
        call[k] = given[k]
    if vec.address(o) == vec.address(p) or vec.address(o) == vec.address(g):
        if not call[ALIASED]:
            return LARGE
        call[IN_PLACE] = 1
    if call[ITEMS] == 0:
        call[DIM] = arrays.length(probs, arrays.dimensions(probs) - 1)
        call[ITEMS] = size // call[DIM]
        call[INNER] = VECTOR_BYTES // arrays.itemsize(probs)
    else:
        state = vec.release_gil()
    done = call_task(call[FIRST], call, p, g, o, 0, call[ITEMS])
    vec.acquire_gil(state)
    return DONE if done == call[ITEMS] else LARGE


class Pool:
    """At most `max_threads` - 1 helper threads, each started when it is first needed, and their shared memory."""

    def __init__(self, max_threads: int) -> None:
        self._max_threads, self._leader = max_threads, 0
        self.reset()

    def reset(self) -> None:
        """Begin with no helpers, as in a child process after a fork."""
        self._sleeping: list[Any] = []  # a lock per helper: the helper acquires it to sleep, a caller releases it
        self._starting = threading.Lock()
        memory = np.zeros(WORDS + LINE, np.int64)
        self._words = memory[-memory.ctypes.data // 8 % LINE :]  # it begins at a cache line
        self._words[TICKET] = ALL_CHUNKS
        self._memory = self._words.ctypes.data

    def prepare(self, threads: int) -> tuple[int, Any, int]:
        """Return the number of threads that a call gets, the address of `lead`, and the address of the pool's words."""
        threads = min(threads, self._max_threads)
        if threads > 1:
            self._wake(threads - 1)
            self._leader = self._leader or lead.address(WORD)
        return threads, self._leader, self._memory

    def _wake(self, helpers: int) -> None:
        """Wake helper threads that sleep; start those that were not needed before."""
        if len(self._sleeping) < helpers:
            _help.compiled(self._memory, 0, 0)  # compiled here: a helper never compiles
            with self._starting, contextlib.suppress(RuntimeError):  # "can't start new thread": fewer are enough
                while (number := len(self._sleeping) + 1) <= helpers:  # the caller is number 0
                    lock, name = threading.Lock(), f"softmax-impls-{number}"
                    threading.Thread(target=self._serve, args=(number, lock), name=name, daemon=True).start()
                    self._sleeping.append(lock)
        for lock in self._sleeping[:helpers]:
            if lock.locked():
                with contextlib.suppress(RuntimeError):  # another caller has just released it
                    lock.release()

    def _serve(self, number: int, lock: Any) -> None:
        while True:  # help with calls, and sleep in between
            lock.acquire()
            _help.compiled(self._memory, number, IDLE_POLLS)


_pool = Pool(min(available_cores(), MAX_THREADS))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _pool.reset())


def prepare(threads: int) -> tuple[int, Any, int]:
    """Wake the helpers of a call, see `Pool.prepare`."""
    return _pool.prepare(threads)


def words_of(
    task: Task, dtype: np.dtype[Any], items: int, team: tuple[int, Any, int], smallest: int = 1, dim: int = 0,
    inner: int = 0, nontemporal: bool = False, table: Any = 0, first: Task | None = None, in_place: bool = True,
    careful: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Return the words of a call, and their address as the argument of `enter`; `team` is the result of `prepare`.

    A chunk has at least `smallest` items. `first` is a task that calls `lead` for `task`. If `out` is an input and
    `in_place` is false, nothing is computed. If `careful`, every call is computed as if `out` were an input.
    """
    (threads, leader, memory), address = team, task.address(dtype)
    step = max(1, smallest, items // min(CHUNKS_PER_THREAD * threads, MAX_THREADS))  # at most MAX_CHUNKS chunks
    begin = first.address(dtype) if first else leader if threads > 1 else address
    return pack(
        dim, inner, nontemporal, careful, 0, 0, table, leader, memory, address, step, threads, begin, in_place, items
    )


def pack(*words: Any) -> tuple[Any, Any]:
    """Return an object that holds words, and their address."""
    packed: Any = words if DISABLE_JIT else array("q", words)
    return packed, packed if DISABLE_JIT else packed.buffer_info()[0]


def run(
    task: Task, probs: Array, grad: Array, out: Array, items: int, threads: int = 1, *rest: Any, **options: Any
) -> bool:
    """Compute the items of a call, see `words_of`; return whether the task computed them all."""
    words = words_of(task, probs.dtype, items, prepare(threads), *rest, **options)
    return bool(enter.compiled(reference(probs), reference(grad), reference(out), words[1]) == DONE)
