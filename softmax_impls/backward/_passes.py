"""The three passes over a row: look for its top class, sum, and write.

With c = g at the top class and h = g - c (see `numba_pivoted`), they find c, s = Σ p h, and p (h - s). Positions count
elements from the arrays' beginning, as if B rows of D were one stretch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax_impls.backward._jit import jit
from softmax_impls.backward._lowering import BYTES
from softmax_impls.backward._vectors import (
    Pointer,
    Vector,
    address,
    first,
    get,
    lanes,
    load,
    put,
    splat,
    store,
    stream,
    top,
    total,
    where,
)

SEGMENT = 32  # terms that an element of a vector sums in the working precision, before the sum goes on in float64


@jit(nogil=True, forceinline=True)
def better(p: Vector, g: Vector, top_p: Vector, top_g: Vector) -> tuple[Vector, Vector]:
    larger = p > top_p
    return where(larger, p, top_p), where(larger, g, top_g)


@jit(nogil=True, forceinline=True)
def _look_on(probs: Pointer, grad: Pointer, at: int, j: Any, n: int, p: Vector, g: Vector) -> tuple[Any, Any]:
    """Look for the top of n elements from `at` on; of those before the j-th, p and g are the tops."""
    width = lanes(probs)
    q, f = p, g
    while j + 2 * width <= n:
        p, g = better(load(probs, at + j), load(grad, at + j), p, g)
        q, f = better(load(probs, at + j + width), load(grad, at + j + width), q, f)
        j += 2 * width
    if j + width <= n:
        p, g = better(load(probs, at + j), load(grad, at + j), p, g)
        j += width
    if j < n:  # the last vector may overlap the one before
        q, f = better(load(probs, at + n - width), load(grad, at + n - width), q, f)
    p, g = better(q, f, p, g)
    return top(p, g)


@jit(nogil=True, forceinline=True)
def look(probs: Pointer, grad: Pointer, at: int, n: int) -> tuple[Any, Any]:
    """Return the largest of n probabilities, and g there."""
    return _look_on(probs, grad, at, np.int64(0), n, load(probs, at), load(grad, at))


@jit(nogil=True)
def dot(probs: Pointer, grad: Pointer, at: int, n: int, shift: Any) -> float:
    """Return Σ p (g - shift) over n elements, in float64."""
    width = lanes(probs)
    zero, c = splat(probs, 0), splat(probs, shift)
    result = 0.0
    j = 0
    while j < n:
        stop = min(n, j + 4 * SEGMENT * width)
        a, b, d, e = zero, zero, zero, zero
        while j + 4 * width <= stop:
            k = at + j
            a = a + load(probs, k) * (load(grad, k) - c)
            b = b + load(probs, k + width) * (load(grad, k + width) - c)
            d = d + load(probs, k + 2 * width) * (load(grad, k + 2 * width) - c)
            e = e + load(probs, k + 3 * width) * (load(grad, k + 3 * width) - c)
            j += 4 * width
        while j + width <= stop:
            a = a + load(probs, at + j) * (load(grad, at + j) - c)
            j += width
        if j < n and stop == n:  # the last vector, without what it shares with the one before
            k = at + n - width
            b = b + where(first(probs, width - n + j), zero, load(probs, k) * (load(grad, k) - c))
            j = n
        result += total((a + b) + (d + e))
    return result


@jit(nogil=True, forceinline=True)
def to_line(out: Pointer, at: int) -> int:
    """Return how many elements there are from `at` to where the next cache line begins."""
    width = lanes(out)
    return (-(address(out) // (BYTES // width) + at)) % width


@jit(nogil=True, forceinline=True)
def _value(probs: Pointer, grad: Pointer, at: int, c: Vector, s: Vector) -> Vector:
    return load(probs, at) * ((load(grad, at) - c) - s)


@jit(nogil=True, forceinline=True)
def put_vector(out: Pointer, at: int, vector: Vector, streaming: bool) -> None:
    if streaming:
        stream(out, at, vector)
    else:
        store(out, at, vector)


@jit(nogil=True, forceinline=True)
def write(probs: Pointer, grad: Pointer, out: Pointer, at: int, end: int, c: Vector, s: Vector, streaming: bool) -> int:
    """Write whole vectors from `at` on that end by `end`; returns where the next one begins."""
    width = lanes(probs)
    while at + width <= end:
        put_vector(out, at, _value(probs, grad, at, c, s), streaming)
        at += width
    return at


@jit(nogil=True, forceinline=True)
def write_singly(probs: Pointer, grad: Pointer, out: Pointer, at: int, end: int, c: Vector, s: Vector) -> None:
    """Write the elements that are less than a vector."""
    shift, sum_ = top(c, s)  # any element of each: they are all the same
    for k in range(at, end):
        put(out, k, get(probs, k) * ((get(grad, k) - shift) - sum_))


@jit(nogil=True, forceinline=True)
def write_and_look(
    probs: Pointer,
    grad: Pointer,
    out: Pointer,
    at: int,
    end: int,
    c: Vector,
    s: Vector,
    streaming: bool,
    there: int,
    n: int,
) -> tuple[int, Any, Any]:
    """Write from `at` to `end`, and at once look for the top of n elements from `there` on.

    What is looked at comes from memory while what is written comes from the cache: neither waits for the other.
    """
    width = lanes(probs)
    p, g = load(probs, there), load(grad, there)
    j = 0
    if streaming:
        while at + width <= end and j + width <= n:
            p, g = better(load(probs, there + j), load(grad, there + j), p, g)
            stream(out, at, _value(probs, grad, at, c, s))
            at += width
            j += width
    else:
        while at + width <= end and j + width <= n:
            p, g = better(load(probs, there + j), load(grad, there + j), p, g)
            store(out, at, _value(probs, grad, at, c, s))
            at += width
            j += width
    p_top, g_top = _look_on(probs, grad, there, j, n, p, g)
    return write(probs, grad, out, at, end, c, s, streaming), p_top, g_top


@jit(nogil=True)
def move(probs: Pointer, grad: Pointer, out: Pointer, at: int, end: int, streaming: bool) -> None:
    """Write p g: the least that a pass over three arrays can do, and so a measure for all that does more."""
    width = lanes(probs)
    stop = min(end, at + to_line(out, at)) if streaming else at
    for k in range(at, stop):
        put(out, k, get(probs, k) * get(grad, k))
    at = stop
    if streaming:
        while at + width <= end:
            stream(out, at, load(probs, at) * load(grad, at))
            at += width
    else:
        while at + width <= end:
            store(out, at, load(probs, at) * load(grad, at))
            at += width
    for k in range(at, end):
        put(out, k, get(probs, k) * get(grad, k))


@jit(nogil=True)
def write_part(
    probs: Pointer, grad: Pointer, out: Pointer, at: int, end: int, shift: Any, total: Any, streaming: bool
) -> None:
    """Write any stretch of one row."""
    c, s = splat(probs, shift), splat(probs, total)
    if streaming:
        aligned = min(end, at + to_line(out, at))
        write_singly(probs, grad, out, at, aligned, c, s)
        at = aligned
    at = write(probs, grad, out, at, end, c, s, streaming)
    write_singly(probs, grad, out, at, end, c, s)
