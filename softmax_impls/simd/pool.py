"""A pool of threads that share the work of one call.

A call is cut into chunks. Each thread begins with its own chunks, because in a loop of calls its cache still holds
their data, and goes on with chunks that other threads have left. Late helpers compute fewer chunks, so sharing costs a
call at most the time to wake the helpers. After a call they poll for the next call before they sleep.

Numba's own threads are not used: the default layer aborts the process when two threads call at once, GNU OpenMP ends a
forked child process that calls, and in every layer each call waits for all threads. This pool serves a single call at a
time; a second caller computes alone. Compiled code acquires and releases it, so that Ctrl-C cannot come in between.

The threads share 64-bit words, and floats behind them::

    words    TICKET                  number of the phase | 32 bits, one per chunk: 1 = taken, or there is no such chunk
             COMPLETED               number of completed chunks of this phase
             PHASE … BATCH           description of the phase, written before its ticket; BUSY is 1 during a call
    floats   SHIFT, DOT              of the row that all threads share
             RESULTS + 8 × chunk     the results of each chunk

To take a chunk, a thread exchanges the ticket for the ticket with the chunk's bit set, which fails if the ticket has
changed. So it has read the words of the current phase, and they do not change before COMPLETED counts the chunk.
"""

import contextlib
import os
import threading
from typing import Any

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.simd import vectors as vec
from softmax_impls.simd.jit import jit
from softmax_impls.simd.passes import move, needs_shift, overflows, scaled_row, shifted_dot, write, write_and_reduce
from softmax_impls.simd.rows import compute_rows
from softmax_impls.simd.sizes import CHUNKS_PER_THREAD, IDLE_POLLS, MIN_CHUNK_BYTES, MIN_CHUNK_ROWS, NONTEMPORAL_FROM
from softmax_impls.simd.vectors import Pointer
from softmax_impls.threads import MAX_THREADS, available_cores

# The phases of a call: whole rows; or p g, for the roofline; or, for few long rows, the passes of a row in parts.
ROWS, MOVE, REDUCE, SHIFTED_DOT, WRITE, END = range(6)

LINE = 8  # words of a cache line. TICKET and COMPLETED have a line each, because threads poll them.
TICKET, COMPLETED = 0, LINE
PHASE, ITEMSIZE, PROBS, GRAD, OUT, DIM, FROM, TO, STEP, CHUNKS, THREADS, NONTEMPORAL, IN_PLACE, BUSY, ROW, BATCH = (
    range(2 * LINE, 4 * LINE)
)
WORDS = 4 * LINE
SHIFT, DOT, RESULTS = 0, 1, LINE  # indices of floats
MAX_CHUNKS = 2 * MAX_THREADS
ALL_CHUNKS = (1 << MAX_CHUNKS) - 1
ZEROS = {4: np.float32(0), 8: np.float64(0)}  # by itemsize


@jit(nogil=True)
def _free_chunk(ticket: int, first: int, chunks: int) -> int:
    """Return a chunk that is not taken: the first from `first` on, cyclically."""
    for i in range(first, first + chunks):
        if not ticket >> (i % chunks) & 1:
            return i % chunks
    return 0


@jit(inline="always")
def _compute_chunk(words: Pointer, floats: Pointer, probs: Pointer, grad: Pointer, out: Pointer, chunk: int) -> None:
    """Compute a chunk (some rows, or some elements of a row), and count it as completed."""
    start = words[FROM] + chunk * words[STEP]
    stop = words[TO] if chunk == words[CHUNKS] - 1 else start + words[STEP]
    phase, nontemporal = words[PHASE], words[NONTEMPORAL] != 0
    results = RESULTS + LINE * chunk
    if phase == ROWS:
        compute_rows(probs, grad, out, words[DIM], start, stop, nontemporal, words[IN_PLACE] != 0)
    elif phase == MOVE:
        move(probs, grad, out, start, stop, nontemporal)
    elif phase == REDUCE:  # from start to start: nothing is written
        _, p, g, dot = write_and_reduce(probs, grad, out, start, start, (0.0, 0.0), False, start, stop - start)
        floats[results], floats[results + 1], floats[results + 2] = p, g, dot
    elif phase == SHIFTED_DOT:
        floats[results] = shifted_dot(probs, grad, start, stop - start, floats[SHIFT])
    else:
        write(probs, grad, out, start, stop, (floats[SHIFT], floats[DOT]), nontemporal)
    vec.fetch_add(words, COMPLETED, 1)


@jit(nogil=True)
def _help(memory: int, thread: int, idle_polls: int, itemsize: int, like: Any) -> None:
    """Compute chunks of calls in the dtype of `like`, until `idle_polls` polls in succession find none."""
    words, floats = vec.pointer_to(memory, np.int64(0)), vec.pointer_to(memory + 8 * WORDS, np.float64(0))
    idle = 0
    while idle < idle_polls:
        ticket = vec.load_acquire(words, TICKET)
        if ticket & ALL_CHUNKS != ALL_CHUNKS and thread < words[THREADS] and words[ITEMSIZE] == itemsize:
            chunk = _free_chunk(ticket, thread * words[CHUNKS] // words[THREADS], words[CHUNKS])
            if vec.compare_exchange(words, TICKET, ticket, ticket | 1 << chunk):
                p, g = vec.pointer_to(words[PROBS], like), vec.pointer_to(words[GRAD], like)
                _compute_chunk(words, floats, p, g, vec.pointer_to(words[OUT], like), chunk)
                idle = 0
        else:
            vec.spin_pause()
            idle += 1


@jit(nogil=True)
def _lead(memory: int, probs: Array, grad: Array, out: Array, phase: int, threads: int, nontemporal_from: int) -> bool:
    """Compute a call together with up to `threads` - 1 helpers. Return False, with nothing done, if they are in use."""
    words, floats = vec.pointer_to(memory, np.int64(0)), vec.pointer_to(memory + 8 * WORDS, np.float64(0))
    if not vec.compare_exchange(words, BUSY, 0, 1):
        return False
    # No chunk can be taken from here on, so the words may change.
    vec.store_release(words, TICKET, vec.load_acquire(words, TICKET) | ALL_CHUNKS)
    p, g, o = vec.pointer(probs), vec.pointer(grad), vec.pointer(out)
    words[PROBS], words[GRAD], words[OUT] = vec.address(p), vec.address(g), vec.address(o)
    words[ITEMSIZE], words[THREADS], words[DIM] = probs.itemsize, threads, probs.shape[-1]
    words[BATCH], words[ROW], words[FROM] = probs.size // probs.shape[-1], 0, 0
    words[NONTEMPORAL] = 3 * probs.size * probs.itemsize > nontemporal_from
    words[IN_PLACE] = vec.address(o) == vec.address(p) or vec.address(o) == vec.address(g)
    _first_phase(words, phase, probs.size, vec.lanes(p))
    while words[PHASE] != END:
        chunks = words[CHUNKS] = max(1, (words[TO] - words[FROM]) // words[STEP])
        vec.store_release(words, COMPLETED, 0)
        number = (vec.load_acquire(words, TICKET) >> MAX_CHUNKS) + 1
        vec.store_release(words, TICKET, number << MAX_CHUNKS | (ALL_CHUNKS ^ ((1 << chunks) - 1)))
        ticket = vec.load_acquire(words, TICKET)
        while ticket & ALL_CHUNKS != ALL_CHUNKS:
            chunk = _free_chunk(ticket, 0, chunks)
            if vec.compare_exchange(words, TICKET, ticket, ticket | 1 << chunk):
                _compute_chunk(words, floats, p, g, o, chunk)
            ticket = vec.load_acquire(words, TICKET)
        while vec.load_acquire(words, COMPLETED) < chunks:
            vec.spin_pause()
        _next_phase(words, floats, p, g, o)
    vec.store_release(words, BUSY, 0)
    return True


@jit(nogil=True)
def _first_phase(words: Pointer, phase: int, size: int, width: int) -> None:
    """Choose the first phase of a call, and the length of its chunks in rows or elements."""
    batch, dim, threads = words[BATCH], words[DIM], words[THREADS]
    smallest = MIN_CHUNK_BYTES // (3 * words[ITEMSIZE])  # elements
    chunks = min(CHUNKS_PER_THREAD * threads, MAX_THREADS)  # rounding may double it, so MAX_CHUNKS is twice as large
    if phase == MOVE:
        words[PHASE], words[TO], words[STEP] = MOVE, size, max(smallest, size // chunks)
    elif batch >= 2 * threads or dim < 2 * smallest:
        words[PHASE], words[TO] = ROWS, batch
        words[STEP] = max(1, batch // chunks, min(MIN_CHUNK_ROWS, batch // threads), smallest // dim)
    else:
        words[PHASE], words[TO] = REDUCE, dim
        words[STEP] = max(smallest, dim // chunks) // width * width


@jit(nogil=True)
def _next_phase(words: Pointer, floats: Pointer, probs: Pointer, grad: Pointer, out: Pointer) -> None:
    """Combine the results of a phase's chunks, and set the next phase. A row that overflows is computed here."""
    phase, best, dot = words[PHASE], RESULTS, 0.0
    all_results = range(RESULTS, RESULTS + LINE * words[CHUNKS], LINE)
    if phase == REDUCE:
        for results in all_results:
            if floats[results] > floats[best]:
                best = results
            dot += floats[results + 2]
        shift = floats[best + 1]
        if needs_shift(shift, dot):
            floats[SHIFT], words[PHASE] = shift, SHIFTED_DOT
            return
        floats[SHIFT] = 0.0
    elif phase == SHIFTED_DOT:
        for results in all_results:
            dot += floats[results]
    if phase in (REDUCE, SHIFTED_DOT):
        if not overflows(probs, dot):
            floats[DOT], words[PHASE] = dot, WRITE
            return
        scaled_row(probs, grad, out, words[FROM], words[DIM])
        phase = WRITE
    if phase == WRITE and words[ROW] + 1 < words[BATCH]:
        words[ROW] += 1
        words[FROM], words[TO] = words[ROW] * words[DIM], (words[ROW] + 1) * words[DIM]
        words[PHASE] = REDUCE
    else:
        words[PHASE] = END


class Pool:
    """At most `max_threads` - 1 helper threads, which are started when they are first needed, and their memory."""

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self.reset()

    def reset(self) -> None:
        """Begin with no helpers, as in a child process after a fork."""
        self._sleeping: list[Any] = []  # a lock per helper: the helper acquires it to sleep, a caller releases it
        self._starting = threading.Lock()
        self._compiled: set[int] = set()  # itemsizes for which `_help` is compiled
        memory = np.zeros(WORDS + RESULTS + LINE * MAX_CHUNKS + LINE, np.int64)
        self._words = memory[-memory.ctypes.data // 8 % LINE :]  # it begins at a cache line
        self._words[TICKET] = ALL_CHUNKS
        self._memory = self._words.ctypes.data

    def run(self, probs: Array, grad: Array, out: Array, threads: int, phase: int = ROWS) -> bool:
        """Compute a call on C-contiguous (..., D) arrays. Return False, with nothing done, if the pool is in use."""
        if probs.itemsize not in self._compiled:
            _help(self._memory, 0, 0, probs.itemsize, ZEROS[probs.itemsize])  # compiled here: a helper never compiles
            self._compiled.add(probs.itemsize)
        helpers = min(threads, self._max_threads) - 1
        if len(self._sleeping) < helpers:
            with self._starting, contextlib.suppress(RuntimeError):  # "can't start new thread": fewer are enough
                while (number := len(self._sleeping) + 1) <= helpers:  # the caller is number 0
                    lock, name = threading.Lock(), f"softmax-impls-{number}"
                    threading.Thread(target=self._serve, args=(number, lock), name=name, daemon=True).start()
                    self._sleeping.append(lock)
        for lock in self._sleeping[:helpers]:
            if lock.locked():
                with contextlib.suppress(RuntimeError):  # another caller has just released it
                    lock.release()
        return bool(_lead(self._memory, probs, grad, out, phase, helpers + 1, NONTEMPORAL_FROM))

    def _serve(self, number: int, lock: Any) -> None:
        while True:  # help with calls, and sleep in between
            lock.acquire()
            served = 0
            while (itemsize := int(self._words[ITEMSIZE])) != served and itemsize in self._compiled:
                _help(self._memory, number, IDLE_POLLS, itemsize, ZEROS[itemsize])
                served = itemsize


_pool = Pool(min(available_cores(), MAX_THREADS))
run = _pool.run
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.reset)
