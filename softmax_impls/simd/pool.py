"""A pool of threads that share the work of one call.

`run` computes a task (see `jit.task`) on a number of items: rows, elements, or other units of the task. It cuts the
items into chunks. The threads are the caller and its helpers. Each thread begins with its own chunks: when a call is
repeated, the cache of the thread still holds their data. Then it computes chunks that other threads have not taken. A
helper that wakes up late computes fewer chunks. So sharing makes a call longer by at most the time to wake the helpers.
After a call, helpers poll for the next call before they sleep.

A task ``task(call, probs, grad, out, start, stop)`` computes the items from `start` to `stop`, and returns `stop`. If
not all items are computed, it returns another number. Define a task with the decorator ``@jit.task()``, and call it by
``pool.run(task, probs, grad, out, team, words)``. The team states how many threads take part, see `team_for`. The
dictionary `words` describes the call by numbers, such as ``words[ITEMS]``, the number of items. In a task, the three
arrays are pointers to elements (see `vectors`). `call` points to an array of 64-bit words on the caller's stack: the
numbers given to `run`, such as ``call[ITEMS]``, and further words. ``call[IN_PLACE]`` is 1 if `out` is an input.

The task `lead` runs a loop: the threads go through the items once, chunk by chunk. Most calls have a single loop, and
begin with `lead`. A call with several loops begins with the task ``words[FIRST]``, which calls `lead` for each loop.

Numba's own threads are not used. With Numba's default threading layer, the process aborts when two threads call at
once. With the layer of GNU OpenMP, a forked child process ends when it calls. In every layer, each call waits for all
threads. This pool serves a single call at a time; a second caller computes all chunks alone. Compiled code acquires and
releases the pool, so that Ctrl-C cannot interrupt in between.

The threads share 64-bit words::

    TICKET           number of the loop, then 32 bits, one per chunk: 0 if the chunk exists and is not taken, else 1
    COMPLETED        number of completed chunks of this loop
    CALL, CHUNKS, …  the call, and the number of chunks of the loop, written before the loop's ticket
    BUSY             1 during a loop

To take a chunk, a thread sets the chunk's bit in TICKET by a compare_exchange, which fails if the ticket has changed.
If the exchange succeeds, the words that the thread has read belong to the current loop. They do not change before
COMPLETED counts the chunk.
"""

import contextlib
import os
import threading
from array import array
from typing import Any

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.simd import arrays, sizes
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.arrays import Entry
from softmax_impls.simd.jit import DISABLE_JIT, WORD, Task, task
from softmax_impls.simd.sizes import CHUNKS_PER_THREAD, DONE, IDLE_POLLS, LARGE, POLLS_PER_YIELD, UNFIT, VECTOR_BYTES
from softmax_impls.simd.vectors import Pointer, call_task
from softmax_impls.threads import MAX_THREADS, available_cores, num_threads

# Words of a call: for the task, for `lead`, for `enter`. TABLE is the address of a table of addresses of other tasks.
DIM, INNER, NONTEMPORAL, IN_PLACE, TABLE, LEAD, POOL, TASK, SMALLEST, THREADS = range(10)
FIRST, SEPARATE, ITEMS = range(10, 13)  # the first task, 1 if `out` must not be an input, and the number of items
GIVEN = 13  # the words above are given; tasks, `enter` and `lead` write the words below
PROBS, GRAD, OUT, START, STOP, STEP, FAILED, SUMS = range(GIVEN, GIVEN + 8)
CALL_WORDS = GIVEN + 8

# Indices of the words of the pool. TICKET and COMPLETED have a cache line each, because threads poll them.
LINE = 8  # words of a cache line
TICKET, COMPLETED, BUSY, CALL, CHUNKS, WORKERS = 0, LINE, *range(2 * LINE, 2 * LINE + 4)
WORDS = 3 * LINE
MAX_CHUNKS = 2 * MAX_THREADS
ALL_CHUNKS = (1 << MAX_CHUNKS) - 1


def _take_chunk(words: Pointer, ticket: int, first: int) -> bool:
    """Compute the first free chunk, cyclically from the number `first` on; return False if no chunk is free.

    `ticket` is an earlier value of the word TICKET, which says which chunks are free. If the word has changed since, no
    chunk is computed, but the result is True: the caller has to read the word again.
    """
    chunks = words[CHUNKS]
    for i in range(first, first + chunks):
        chunk = i % chunks
        if not ticket >> chunk & 1:
            if vec.compare_exchange(words, TICKET, ticket, ticket | 1 << chunk):
                call, word = vec.pointer_to(words[CALL], np.int64(0)), np.int64(0)
                p, g = vec.pointer_to(call[PROBS], word), vec.pointer_to(call[GRAD], word)
                o = vec.pointer_to(call[OUT], word)
                start = call[START] + chunk * call[STEP]
                stop = call[STOP] if chunk == chunks - 1 else start + call[STEP]
                if call_task(call[TASK], call, p, g, o, start, stop) != stop:
                    call[FAILED] = 1
                vec.fetch_add(words, COMPLETED, 1)
            return True
    return False


@Entry
def _help(memory: int, thread: int, idle_polls: int) -> int:
    """Compute chunks, as helper number `thread`, until `idle_polls` polls in succession find no chunk; return 0."""
    words, state = vec.pointer_to(memory, np.int64(0)), vec.release_gil()
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
    vec.acquire_gil(state)
    return 0


@task()
def lead(call: Pointer, probs: Pointer, grad: Pointer, out: Pointer, start: int, stop: int) -> int:
    """Compute items in chunks with the helpers, by calls of call[TASK]; return `stop`, or `start` if a chunk failed."""
    shared, own = vec.pointer_to(call[POOL], np.int64(0)), vec.stack(call, WORDS)
    # A call that finds the pool in use takes the same chunks alone, so that the result is the same.
    words = shared if vec.compare_exchange(shared, BUSY, 0, 1) else own
    most = min(CHUNKS_PER_THREAD * call[THREADS], MAX_THREADS)
    step = max(max(1, call[SMALLEST]), (stop - start) // most)
    chunks = max(1, (stop - start) // step)  # at most MAX_CHUNKS
    # All chunks count as taken until the next ticket is stored, so the other words may change.
    number = (vec.load_acquire(words, TICKET) >> MAX_CHUNKS) + 1
    vec.store_release(words, TICKET, vec.load_acquire(words, TICKET) | ALL_CHUNKS)
    call[PROBS], call[GRAD], call[OUT] = vec.address(probs), vec.address(grad), vec.address(out)
    call[START], call[STOP], call[STEP], call[FAILED] = start, stop, step, 0
    words[CALL], words[CHUNKS], words[WORKERS] = vec.address(call), chunks, call[THREADS]
    vec.store_release(words, COMPLETED, 0)
    vec.store_release(words, TICKET, number << MAX_CHUNKS | (ALL_CHUNKS ^ ((1 << chunks) - 1)))
    while vec.load_acquire(words, COMPLETED) < chunks:
        if not _take_chunk(words, vec.load_acquire(words, TICKET), 0):
            vec.spin_pause()
    vec.store_release(words, BUSY, 0)
    return start if call[FAILED] else stop


@Entry
def enter(probs: Any, grad: Any, out: Any, words: int) -> int:
    """Compute a call on three arrays, and return DONE, UNFIT, or a number from LARGE on.

    `words` is the address of the words that describe the call, see `words_of`. If the word ITEMS is 0, the items are
    all rows. DONE: all items are computed. UNFIT: the arrays do not fit, see `arrays.common_size`. LARGE: the items
    have to be computed in another way, for example because a result may overflow. LARGE + 1 + i: the task with index i
    in the table of `tasks.Tasks` is not compiled.
    """
    size = arrays.common_size(probs, grad, out)
    if size <= 0:
        return UNFIT if size < 0 else DONE
    p, g, o = arrays.data(probs), arrays.data(grad), arrays.data(out)
    given, state = vec.pointer_to(words, np.int64(0)), 0
    call = vec.stack(given, CALL_WORDS)
    for k in range(GIVEN):
        call[k] = given[k]
    if vec.address(o) == vec.address(p) or vec.address(o) == vec.address(g):
        if call[SEPARATE]:
            return LARGE
        call[IN_PLACE] = 1
    if call[ITEMS] == 0:  # a call on all rows
        call[DIM] = arrays.shape(probs)[arrays.dimensions(probs) - 1]
        call[ITEMS] = size // call[DIM]
        call[INNER] = VECTOR_BYTES // arrays.itemsize(probs)
    if call[THREADS] > 0:
        state = vec.release_gil()
    done = call_task(call[FIRST], call, p, g, o, 0, call[ITEMS])
    vec.acquire_gil(state)
    if done == call[ITEMS]:
        return DONE
    return LARGE if done >= 0 else LARGE - done


Team = tuple[int, Any, int]  # number of threads of a call, address of `lead`, address of the pool's words
ALONE: Team = (1, 0, 0)


class Pool:
    """At most `max_threads` - 1 helper threads, each started when it is first needed, and their shared memory."""

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self.reset()

    def reset(self) -> None:
        """Begin without helpers. After a fork, the child process has none."""
        self._sleeping: list[Any] = []  # a lock per helper: the helper acquires it to sleep, a caller releases it
        self._teams: dict[int, tuple[Team, list[Any]]] = {}  # key: threads; value: team, its helpers' locks
        self._starting = threading.Lock()
        memory = np.zeros(WORDS + LINE, np.int64)
        self._words = memory[-memory.ctypes.data // 8 % LINE :]  # it begins at a cache line
        self._words[TICKET] = ALL_CHUNKS

    def prepare(self, threads: int) -> Team:
        """Wake the helpers for a call in `threads` threads, and return the team of the call."""
        team, sleeping = self._teams.get(threads) or self._start(threads)
        for lock in sleeping:
            if lock.locked():
                with contextlib.suppress(RuntimeError):  # another caller has just released it
                    lock.release()
        return team

    def _start(self, threads: int) -> tuple[Team, list[Any]]:
        """Start the helpers that a call in `threads` threads lacks; return the team and the locks of the helpers."""
        memory, helpers = self._words.ctypes.data, min(threads, self._max_threads) - 1
        if helpers > 0:
            _help.compiled(memory, 0, 0)  # compiled here: a helper never compiles
            with self._starting, contextlib.suppress(RuntimeError):  # "can't start new thread": fewer helpers do
                while (number := len(self._sleeping) + 1) <= helpers:  # the caller is number 0
                    lock, name = threading.Lock(), f"softmax-impls-{number}"
                    threading.Thread(target=self._serve, args=(memory, number, lock), name=name, daemon=True).start()
                    self._sleeping.append(lock)
        team = (helpers + 1, lead.address(WORD) if helpers > 0 else 0, memory), self._sleeping[: max(helpers, 0)]
        self._teams[threads] = team
        return team

    @staticmethod
    def _serve(memory: int, number: int, lock: Any) -> None:
        while True:  # help with calls, and sleep in between
            lock.acquire()
            _help.compiled(memory, number, IDLE_POLLS)


_pool = Pool(min(available_cores(), MAX_THREADS))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _pool.reset())


def team_for(moved: int, threads: int | None = None) -> Team:
    """Return the team of a call that moves `moved` bytes, in at most `threads` threads, and wake its helpers."""
    # The arrays have pushed Python's own data out of the caches, so each operation counts: in a single thread, calls of
    # 0.4 to 0.8 MB take 0.92 to 0.95 of the time that they take with a call of `prepare`.
    most = 1 if DISABLE_JIT or moved < sizes.SHARED_FROM else threads or num_threads()
    if most > 2:
        most = min(most, MAX_THREADS, max(2, moved // sizes.BYTES_PER_THREAD))
    return _pool.prepare(most) if most > 1 else ALONE


def words_of(team: Team, words: dict[int, Any]) -> tuple[Any, Any]:
    """Return the 64-bit words that describe a call, and their address, which `enter` takes.

    `words` has the values of some words, by index, such as ``words[DIM]``. Other words are 0 or come from the team.
    """
    threads, leader, memory = team
    words = {FIRST: leader if threads > 1 else words.get(TASK)} | words
    words |= {THREADS: threads, LEAD: leader, POOL: memory}
    packed: Any = [words.get(k, 0) for k in range(GIVEN)]
    packed = packed if DISABLE_JIT else array("q", packed)
    return packed, packed if DISABLE_JIT else packed.buffer_info()[0]


def run(task: Task, probs: Array, grad: Array, out: Array, team: Team, words: dict[int, Any]) -> None:
    """Run a task on ``words[ITEMS]`` items of the arrays, in the threads of a team that `team_for` returned."""
    words_and_address = words_of(team, {TASK: task.address(probs.dtype)} | words)
    if enter.compiled(probs, grad, out, words_and_address[1]) != DONE:
        raise arrays.UnfitError("the arrays do not fit")
