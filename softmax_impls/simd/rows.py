"""How rows of each length go through the passes, waiting neither for memory nor for each other.

Where B rows of D lie in one stretch, so does the result: it is written in whole vectors, which may begin in one row and
end in the next.
"""

from __future__ import annotations

import numpy as np

from softmax_impls.simd.jit import jit
from softmax_impls.simd.passes import (
    better,
    needs_shift,
    shifted_dot,
    store_vector,
    to_line,
    write,
    write_and_look,
    write_singly,
)
from softmax_impls.simd.vectors import (
    Pointer,
    argmax,
    first_lanes,
    lanes,
    load,
    masked_load,
    masked_store,
    reduce_add,
    select,
    splat,
    store,
)

FEW = 8  # vectors; up to these, rows one by one took 0.7 to 0.9 of the time that being behind takes
ALIGNED = 16  # vectors, from which on it pays to write whole cache lines: up to 1.2 times faster
SHORT = 32  # vectors, up to which it pays to be two rows behind: 256×256 float32 took 0.9 of the time, 6144×512 1.1


@jit(nogil=True)
def long_rows(
    probs: Pointer, grad: Pointer, out: Pointer, classes: int, start: int, stop: int, streaming: bool
) -> None:
    """Do rows of a vector and more.

    While a row is looked at, which waits for memory, an earlier one is written, which the cache still has: the one
    before, or if rows are short the one before that, since what the look finds takes a while to become one number.
    """
    width = lanes(probs)
    behind = 2 if classes < SHORT * width else 1
    done, end = start * classes, stop * classes
    # Of the row that is written, of the one before it, of the one that was looked at last, and of the one before that.
    shift = old_shift = last_shift = next_shift = 0.0
    total = old_total = last_total = next_total = 0.0
    for i in range(start, stop + behind):
        here, written = i * classes, (i - behind) * classes
        until = done
        if i - behind >= start:
            until = written + classes
            old_shift, old_total = shift, total
            shift, total = (last_shift, last_total) if behind == 1 else (next_shift, next_total)
            if i - behind == start and (streaming or classes >= ALIGNED * width):
                aligned = done + to_line(out, done)
                write_singly(probs, grad, out, done, aligned, shift, total)
                done = aligned
            if done < written:  # a vector that begins in the row before
                mine = first_lanes(probs, written - done)
                c = select(mine, splat(probs, old_shift), splat(probs, shift))
                s = select(mine, splat(probs, old_total), splat(probs, total))
                store_vector(out, done, load(probs, done) * ((load(grad, done) - c) - s), streaming)
                done += width
        if i < stop:
            done, _, top_g, dot = write_and_look(probs, grad, out, done, until, shift, total, streaming, here, classes)
            next_shift, next_total = last_shift, last_total
            last_shift, last_total = 0.0, dot
            if needs_shift(top_g, dot):
                last_shift = np.float64(top_g)
                last_total = shifted_dot(probs, grad, here, classes, last_shift)
        else:
            done = write(probs, grad, out, done, until, shift, total, streaming)
            next_shift, next_total = last_shift, last_total
    write_singly(probs, grad, out, done, end, shift, total)


@jit(nogil=True, forceinline=True)
def _safe(classes: int, whole: int, start: int, stop: int, in_place: bool) -> int:
    """Return up to which row one may load and store `whole` elements, though a row has fewer.

    What is loaded too much is masked, and what is stored too much is stored again, rightly, with the rows it belongs
    to. Not so at the end, nor where that would overwrite an input.
    """
    if in_place and classes < whole:
        return start
    return max(start, stop - (whole - 1) // classes)


@jit(nogil=True)
def rows_of_one(
    probs: Pointer, grad: Pointer, out: Pointer, classes: int, start: int, stop: int, in_place: bool
) -> None:
    """Do rows of a vector or less, which stay in registers; two at a time, which don't wait for each other."""
    width = lanes(probs)
    zero = splat(probs, 0)
    mine = first_lanes(probs, classes)
    safe = _safe(classes, width, start, stop, in_place)
    safe -= (safe - start) % 2
    for i in range(start, safe, 2):
        at, there = i * classes, (i + 1) * classes
        p, g = select(mine, load(probs, at), zero), select(mine, load(grad, at), zero)
        q, f = select(mine, load(probs, there), zero), select(mine, load(grad, there), zero)
        c, d = argmax(p, g)[1], argmax(q, f)[1]
        h, e = g - splat(probs, c), f - splat(probs, d)
        s, t = reduce_add(p * h), reduce_add(q * e)
        store(out, at, p * (h - splat(probs, s)))
        store(out, there, q * (e - splat(probs, t)))
    for i in range(safe, stop):
        at = i * classes
        p, g = masked_load(probs, at, mine, zero), masked_load(grad, at, mine, zero)
        h = g - splat(probs, argmax(p, g)[1])
        masked_store(out, at, mine, p * (h - splat(probs, reduce_add(p * h))))


@jit(nogil=True)
def rows_of_two(
    probs: Pointer, grad: Pointer, out: Pointer, classes: int, start: int, stop: int, in_place: bool
) -> None:
    """Do rows of one to two vectors, likewise."""
    width = lanes(probs)
    zero = splat(probs, 0)
    mine = first_lanes(probs, classes - width)
    safe = _safe(classes, 2 * width, start, stop, in_place)
    for i in range(start, stop):
        at = i * classes
        p, g = load(probs, at), load(grad, at)
        if i < safe:
            q, f = select(mine, load(probs, at + width), zero), select(mine, load(grad, at + width), zero)
        else:
            q, f = masked_load(probs, at + width, mine, zero), masked_load(grad, at + width, mine, zero)
        c = splat(probs, argmax(*better(q, f, p, g))[1])
        h, e = g - c, f - c
        s = splat(probs, reduce_add(p * h + q * e))
        store(out, at, p * (h - s))
        if i < safe:
            store(out, at + width, q * (e - s))
        else:
            masked_store(out, at + width, mine, q * (e - s))


@jit(nogil=True)
def rows_of_few(probs: Pointer, grad: Pointer, out: Pointer, classes: int, start: int, stop: int) -> None:
    """Do rows of a few vectors one by one: the processor looks at the next ones while it writes this one.

    A row's last vector may share elements with the one before; it is computed before they are written.
    """
    width = lanes(probs)
    whole, tail = classes // width * width, classes - width
    again = first_lanes(probs, -classes % width)
    for i in range(start, stop):
        at = i * classes
        p, g = load(probs, at), load(grad, at)
        a = p * g
        for j in range(width, whole, width):
            p1, g1 = load(probs, at + j), load(grad, at + j)
            a = a + p1 * g1
            p, g = better(p1, g1, p, g)
        dot = np.float64(reduce_add(a))
        p1, g1 = load(probs, at + tail), load(grad, at + tail)
        if whole < classes:
            dot += reduce_add(select(again, splat(probs, 0), p1 * g1))
            p, g = better(p1, g1, p, g)
        g_top = np.float64(argmax(p, g)[1])
        shift = np.float64(0)
        if needs_shift(g_top, dot):
            shift = g_top
            dot = np.float64(shifted_dot(probs, grad, at, classes, shift))
        c, s = splat(probs, shift), splat(probs, dot)
        last = p1 * ((g1 - c) - s)
        for k in range(at, at + tail, width):
            store(out, k, load(probs, k) * ((load(grad, k) - c) - s))
        store(out, at + tail, last)


@jit(nogil=True)
def rows(
    probs: Pointer, grad: Pointer, out: Pointer, classes: int, start: int, stop: int, streaming: bool, in_place: bool
) -> None:
    """Do rows `start` to `stop` of (B, D) arrays, D being `classes`; `out` may be an input if `in_place` says so."""
    width = lanes(probs)
    if classes <= width:
        rows_of_one(probs, grad, out, classes, start, stop, in_place)
    elif classes <= 2 * width:
        rows_of_two(probs, grad, out, classes, start, stop, in_place)
    elif classes <= FEW * width and not streaming:
        rows_of_few(probs, grad, out, classes, start, stop)
    else:
        long_rows(probs, grad, out, classes, start, stop, streaming)
