"""The passes over a row: look at it, sum it once more where that is needed, and write.

The result is p (h - s) with h = g - c and s = Σ p h, for a c with which nothing cancels: g at the top class, see
`numba_pivoted`. The first look finds it, and Σ p g at once; where that has lost nothing either, c is 0 and the second
pass is spared. Positions count elements from the arrays' beginning, as if B rows of D were one stretch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax_impls.simd.jit import jit
from softmax_impls.simd.lowering import BYTES
from softmax_impls.simd.vectors import (
    Pointer,
    Vector,
    address,
    argmax,
    first_lanes,
    lanes,
    load,
    load_scalar,
    reduce_add,
    select,
    splat,
    store,
    store_nontemporal,
    store_scalar,
)

KEPT = 2.0  # where |g_top| is at most that many times |Σ p g - g_top|, shifting g would not make the sum much better
SEGMENT = 32  # terms that an element of a vector sums in the working precision, before the sum goes on in float64


@jit(nogil=True, forceinline=True)
def better(p: Vector, g: Vector, top_p: Vector, top_g: Vector) -> tuple[Vector, Vector]:
    larger = p > top_p
    return select(larger, p, top_p), select(larger, g, top_g)


@jit(nogil=True, forceinline=True)
def needs_shift(g_top: Any, dot: float) -> bool:
    """Whether Σ p g may have lost what matters, and the sum is to be taken of g - g_top: see `checks.bounds`."""
    return not abs(np.float64(g_top)) <= KEPT * abs(dot - np.float64(g_top))


@jit(nogil=True)
def shifted_dot(probs: Pointer, grad: Pointer, at: int, n: int, shift: float) -> float:
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
            b = b + select(first_lanes(probs, width - n + j), zero, load(probs, k) * (load(grad, k) - c))
            j = n
        result += reduce_add((a + b) + (d + e))
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
def store_vector(out: Pointer, at: int, vector: Vector, streaming: bool) -> None:
    if streaming:
        store_nontemporal(out, at, vector)
    else:
        store(out, at, vector)


@jit(nogil=True, forceinline=True)
def write(
    probs: Pointer, grad: Pointer, out: Pointer, at: int, end: int, shift: float, sum_: float, streaming: bool
) -> int:
    """Write whole vectors from `at` on that end by `end`; returns where the next one begins."""
    width = lanes(probs)
    c, s = splat(probs, shift), splat(probs, sum_)
    if streaming:
        while at + width <= end:
            store_nontemporal(out, at, _value(probs, grad, at, c, s))
            at += width
    else:
        while at + width <= end:
            store(out, at, _value(probs, grad, at, c, s))
            at += width
    return at


@jit(nogil=True, forceinline=True)
def write_singly(probs: Pointer, grad: Pointer, out: Pointer, at: int, end: int, shift: float, sum_: float) -> None:
    """Write the elements that are less than a vector."""
    c, s = argmax(splat(probs, shift), splat(probs, sum_))  # in the dtype of the computation, as in vectors
    for k in range(at, end):
        store_scalar(out, k, load_scalar(probs, k) * ((load_scalar(grad, k) - c) - s))


@jit(nogil=True, forceinline=True)
def _see(probs: Pointer, grad: Pointer, at: int, dot: Vector, p: Vector, g: Vector) -> tuple[Vector, Vector, Vector]:
    """Add a vector of p g to `dot`, and let the larger probabilities be p, with their g."""
    p1, g1 = load(probs, at), load(grad, at)
    larger = p1 > p
    return dot + p1 * g1, select(larger, p1, p), select(larger, g1, g)


@jit(nogil=True, forceinline=True)
def write_and_look(
    probs: Pointer,
    grad: Pointer,
    out: Pointer,
    at: int,
    end: int,
    shift: float,
    sum_: float,
    streaming: bool,
    there: int,
    n: int,
) -> tuple[int, Any, Any, float]:
    """Write from `at` to `end`, and at once look at n elements from `there` on.

    What is looked at comes from memory while what is written comes from the cache: neither waits for the other. Returns
    where writing got to; and of what was looked at, the largest probability, g there, and Σ p g, whose terms are added
    in an order that does not depend on what was written.
    """
    width = lanes(probs)
    zero = splat(probs, 0)
    c, s = splat(probs, shift), splat(probs, sum_)
    p, g = load(probs, there), load(grad, there)
    dot = 0.0
    j = 0
    while j + width <= n:
        stop = min(n, j + SEGMENT * width)
        a = zero  # one sum and one top: twice as many would not fit the registers of AVX2, where a vector takes two
        if streaming:  # two loops, since with the branch inside LLVM makes a mess of both kinds of stores
            while j + width <= stop and at + width <= end:
                a, p, g = _see(probs, grad, there + j, a, p, g)
                store_nontemporal(out, at, _value(probs, grad, at, c, s))
                at += width
                j += width
        else:
            while j + width <= stop and at + width <= end:
                a, p, g = _see(probs, grad, there + j, a, p, g)
                store(out, at, _value(probs, grad, at, c, s))
                at += width
                j += width
        while j + width <= stop:
            a, p, g = _see(probs, grad, there + j, a, p, g)
            j += width
        dot += reduce_add(a)
    if j < n:  # the last vector, without what it shares with the one before
        p1, g1 = load(probs, there + n - width), load(grad, there + n - width)
        dot += reduce_add(select(first_lanes(probs, width - n + j), zero, p1 * g1))
        p, g = better(p1, g1, p, g)
    p_top, g_top = argmax(p, g)
    return write(probs, grad, out, at, end, shift, sum_, streaming), p_top, g_top, dot


@jit(nogil=True)
def move(probs: Pointer, grad: Pointer, out: Pointer, at: int, end: int, streaming: bool) -> None:
    """Write p g: the least that a pass over three arrays can do, and so a measure for all that does more."""
    width = lanes(probs)
    stop = min(end, at + to_line(out, at)) if streaming else at
    for k in range(at, stop):
        store_scalar(out, k, load_scalar(probs, k) * load_scalar(grad, k))
    at = stop
    if streaming:
        while at + width <= end:
            store_nontemporal(out, at, load(probs, at) * load(grad, at))
            at += width
    else:
        while at + width <= end:
            store(out, at, load(probs, at) * load(grad, at))
            at += width
    for k in range(at, end):
        store_scalar(out, k, load_scalar(probs, k) * load_scalar(grad, k))


@jit(nogil=True)
def write_part(
    probs: Pointer, grad: Pointer, out: Pointer, at: int, end: int, shift: float, total: float, streaming: bool
) -> None:
    """Write any stretch of one row."""
    if streaming:
        aligned = min(end, at + to_line(out, at))
        write_singly(probs, grad, out, at, aligned, shift, total)
        at = aligned
    at = write(probs, grad, out, at, end, shift, total, streaming)
    write_singly(probs, grad, out, at, end, shift, total)
