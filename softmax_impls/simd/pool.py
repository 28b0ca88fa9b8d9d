"""Threads that share the work of one call, and never hold it up.

A call is cut into blocks. The caller takes blocks and so do helpers, each from a place of its own on, so that in a loop
everyone meets the data that its cache still has; whoever is done takes what others have left. Then the caller waits for
blocks that helpers have at hand. A helper that is late, because the machine is busy, finds less to do or nothing:
sharing costs at worst what waking helpers costs. For a while after a call helpers stay awake, looking for the next one,
so that in a loop they are there within a microsecond; then they sleep.

Why not Numba's own threads: its default layer aborts the process when two threads call at once, GNU OpenMP's kills a
forked child that calls, and with either every call waits for every thread. Here a second caller finds the team taken
and works alone, and a forked child, in which threads don't live on, makes itself a new team. The team is taken and
given back in compiled code, and helpers are woken by a single call into C, so that Ctrl-C can't come in between.

What is shared is one stretch of memory: words, and behind them floats. TICKET holds the number of the call and a bit
for each block that is taken; a block is taken by exchanging the ticket for one with its bit, which fails if anything
changed meanwhile. So whoever holds a block has read this call's words, and they stay valid until FINISHED counts that
block.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

import numpy as np

from softmax_impls.implementation import Array
from softmax_impls.simd.atomics import compare_exchange, fetch_add, load_acquire, pointer_to, spin_pause, store_release
from softmax_impls.simd.jit import jit
from softmax_impls.simd.passes import move, needs_shift, shifted_dot, write_and_look, write_part
from softmax_impls.simd.rows import rows
from softmax_impls.simd.sizes import NONTEMPORAL_FROM
from softmax_impls.simd.vectors import Pointer, address, lanes, pointer
from softmax_impls.threads import MAX_THREADS, available_cores

# Words. The two that change while others look at them have a cache line each.
TICKET, FINISHED = 0, 8
BUSY = 29  # 1 while the team is at work for a caller
PHASE, ITEMSIZE, PROBS, GRAD, OUT, CLASSES, FROM, TO, STEP, BLOCKS, THREADS, STREAMING, IN_PLACE = range(16, 29)
WORDS = 32
LINE = 8  # words of a cache line
MOST_BLOCKS = 2 * MAX_THREADS
TAKEN = (1 << MOST_BLOCKS) - 1  # all blocks, and those there are not

ROWS, MOVE, LOOK, SUM, WRITE = range(5)  # whole rows; a measure of memory; or the passes of one row, by its parts
SHIFT, TOTAL, FOUND = 0, 1, LINE  # among floats: the row's; and from FOUND on, a LINE for what each block found

PATIENCE = 2000  # times that an idle helper looks for work: 20 to 100 µs
BLOCKS_EACH = 2  # for each thread, so that waiting for the last one is short
FEW_ROWS = 8  # of a block, below which nothing overlaps its first look and its last write
SMALLEST_BLOCK = 32_768  # bytes moved; shorter ones would be spent on taking them


@jit(nogil=True, forceinline=True)
def _shared(memory: int) -> tuple[Pointer, Pointer]:
    """Return the words and the floats at an address."""
    return pointer_to(memory, np.int64(0)), pointer_to(memory + 8 * WORDS, np.float64(0))


@jit(nogil=True)
def _free(ticket: int, start: int, blocks: int) -> int:
    """Return the first block that is not taken, from `start` on and around; there is one."""
    for i in range(start, start + blocks):
        if not ticket >> (i % blocks) & 1:
            return i % blocks
    return 0


@jit(inline="always")
def _work(words: Pointer, floats: Pointer, probs: Pointer, grad: Pointer, out: Pointer, block: int) -> None:
    """Do one block, of rows or of elements."""
    start = words[FROM] + block * words[STEP]
    stop = words[TO] if block == words[BLOCKS] - 1 else start + words[STEP]
    phase, streaming = words[PHASE], words[STREAMING] != 0
    if phase == ROWS:
        rows(probs, grad, out, words[CLASSES], start, stop, streaming, words[IN_PLACE] != 0)
    elif phase == MOVE:
        move(probs, grad, out, start, stop, streaming)
    elif phase == LOOK:
        _, p, g, dot = write_and_look(probs, grad, out, start, start, 0.0, 0.0, streaming, start, stop - start)
        place = FOUND + LINE * block
        floats[place], floats[place + 1], floats[place + 2] = p, g, dot
    elif phase == SUM:
        floats[FOUND + LINE * block] = shifted_dot(probs, grad, start, stop - start, floats[SHIFT])
    else:
        write_part(probs, grad, out, start, stop, floats[SHIFT], floats[TOTAL], streaming)


@jit(nogil=True)
def _help(memory: int, me: int, patience: int, like: Any, itemsize: int) -> None:
    """Take blocks of calls in the dtype of `like`, until there was no such call for a while."""
    words, floats = _shared(memory)
    idle = 0
    while idle < patience:
        ticket = load_acquire(words, TICKET)
        if ticket & TAKEN != TAKEN and me < words[THREADS] and words[ITEMSIZE] == itemsize:
            probs, grad, out = words[PROBS], words[GRAD], words[OUT]
            block = _free(ticket, me * words[BLOCKS] // words[THREADS], words[BLOCKS])
            if compare_exchange(words, TICKET, ticket, ticket | 1 << block):
                _work(words, floats, pointer_to(probs, like), pointer_to(grad, like), pointer_to(out, like), block)
                fetch_add(words, FINISHED, 1)
                idle = 0
        else:
            spin_pause()
            idle += 1


@jit(nogil=True)
def _lead(memory: int, probs: Array, grad: Array, out: Array, phase: int, threads: int, streamed_from: int) -> bool:
    """Do a whole call together with up to `threads` - 1 helpers, phase by phase; or nothing, if they are busy."""
    p, g, o = pointer(probs), pointer(grad), pointer(out)
    classes = probs.shape[-1]
    number = probs.size // classes
    words, floats = _shared(memory)
    if not compare_exchange(words, BUSY, 0, 1):
        return False
    store_release(words, TICKET, load_acquire(words, TICKET) | TAKEN)  # nobody looks at the words while they change
    words[PROBS], words[GRAD], words[OUT] = address(p), address(g), address(o)
    words[ITEMSIZE], words[THREADS], words[CLASSES] = probs.itemsize, threads, classes
    words[STREAMING] = 3 * probs.size * probs.itemsize > streamed_from
    words[IN_PLACE] = address(o) == address(p) or address(o) == address(g)
    smallest = SMALLEST_BLOCK // (3 * probs.itemsize)  # elements
    blocks = min(BLOCKS_EACH * threads, MAX_THREADS)  # or more, but less than twice as many
    row = 0
    if phase == MOVE:
        words[PHASE], words[FROM], words[TO] = MOVE, 0, probs.size
        words[STEP] = max(smallest, probs.size // blocks)
    elif number >= 2 * threads or classes < 2 * smallest:
        words[PHASE], words[FROM], words[TO] = ROWS, 0, number
        words[STEP] = max(1, number // blocks, min(FEW_ROWS, number // threads), smallest // classes)
    else:
        words[PHASE], words[FROM], words[TO] = LOOK, 0, classes
        words[STEP] = max(smallest, classes // blocks) // lanes(p) * lanes(p)
    while True:
        blocks = max(1, (words[TO] - words[FROM]) // words[STEP])
        words[BLOCKS] = blocks
        store_release(words, FINISHED, 0)
        number_of_call = (load_acquire(words, TICKET) >> MOST_BLOCKS) + 1
        store_release(words, TICKET, number_of_call << MOST_BLOCKS | (TAKEN ^ ((1 << blocks) - 1)))
        while True:
            ticket = load_acquire(words, TICKET)
            if ticket & TAKEN == TAKEN:
                break
            block = _free(ticket, 0, blocks)
            if compare_exchange(words, TICKET, ticket, ticket | 1 << block):
                _work(words, floats, p, g, o, block)
                fetch_add(words, FINISHED, 1)
        while load_acquire(words, FINISHED) < blocks:
            spin_pause()
        phase = words[PHASE]
        if phase == LOOK:
            best, total = 0, 0.0
            for block in range(blocks):
                if floats[FOUND + LINE * block] > floats[FOUND + LINE * best]:
                    best = block
                total += floats[FOUND + LINE * block + 2]
            shift = floats[FOUND + LINE * best + 1]
            if needs_shift(shift, total):
                floats[SHIFT] = shift
                words[PHASE] = SUM
            else:
                floats[SHIFT], floats[TOTAL] = 0.0, total
                words[PHASE] = WRITE
        elif phase == SUM:
            total = 0.0
            for block in range(blocks):
                total += floats[FOUND + LINE * block]
            floats[TOTAL] = total
            words[PHASE] = WRITE
        else:
            row += 1
            if phase in (ROWS, MOVE) or row == number:
                store_release(words, BUSY, 0)
                return True
            words[PHASE] = LOOK
        words[FROM], words[TO] = row * classes, (row + 1) * classes


class Team:
    """The helpers, which are started as they are asked for, and what they share."""

    def __init__(self) -> None:
        self._bells: list[Any] = []  # one for each helper, who sleeps while it is locked, and locks it again
        self._starting = threading.Lock()
        self._compiled: set[int] = set()  # for elements of so many bytes
        self._most = min(available_cores(), MAX_THREADS)
        space = np.zeros(WORDS + FOUND + LINE * 2 * MOST_BLOCKS + LINE, np.int64)
        self._words = space[-space.ctypes.data // 8 % LINE :]  # from the beginning of a cache line on
        self._words[TICKET] = TAKEN
        self._memory = self._words.ctypes.data

    def run(self, probs: Array, grad: Array, out: Array, threads: int, phase: int) -> bool:
        """Do a call on (..., D) arrays; returns False, having done nothing, if the team is at work for another."""
        if probs.itemsize not in self._compiled:
            self._help(0, 0, probs.itemsize)  # here, so that no helper ever compiles
            self._compiled.add(probs.itemsize)
        helpers = min(threads, self._most) - 1
        if len(self._bells) < helpers:
            self._start(helpers)
        for bell in self._bells[:helpers]:
            if bell.locked():
                with contextlib.suppress(RuntimeError):  # another caller has rung it
                    bell.release()
        return bool(_lead(self._memory, probs, grad, out, phase, helpers + 1, NONTEMPORAL_FROM))

    def _start(self, helpers: int) -> None:
        with self._starting, contextlib.suppress(RuntimeError):  # there may be no more threads: fewer will do
            while len(self._bells) < helpers:
                bell = threading.Lock()
                number = len(self._bells) + 1  # the caller is 0
                name = f"softmax-impls-{number}"
                threading.Thread(target=self._serve, args=(number, bell), name=name, daemon=True).start()
                self._bells.append(bell)

    def _serve(self, number: int, bell: Any) -> None:
        while True:
            bell.acquire()
            served = 0
            while (itemsize := int(self._words[ITEMSIZE])) != served and itemsize in self._compiled:
                self._help(number, PATIENCE, itemsize)
                served = itemsize

    def _help(self, number: int, patience: int, itemsize: int) -> None:
        like = np.float32(0) if itemsize == 4 else np.float64(0)
        _help(self._memory, number, patience, like, itemsize)


_team = Team()


def run(probs: Array, grad: Array, out: Array, threads: int, phase: int = ROWS) -> bool:
    """Do a call on (..., D) arrays; returns False, having done nothing, if the team is at work for another thread."""
    return _team.run(probs, grad, out, threads, phase)


def _new_team() -> None:
    global _team
    _team = Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_team)
