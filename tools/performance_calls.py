"""The cells of tools/performance.py, their arrays, and the calls that are timed on them."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from performance_records import (
    BACKWARD,
    FORWARD,
    LOOP,
    LOOP_KEY,
    OURS,
    OURS_ALLOCATING,
    OURS_SATURATED,
    ROOFLINE,
    ROWS,
    ROWS_SATURATED,
    TORCH,
    TORCH_ALLOCATING,
    Key,
)

from softmax_impls import softmax, softmax_backward
from softmax_impls.checks import bounds, reference
from softmax_impls.implementation import Array, BoundCall, Implementation
from softmax_impls.registry import catalogue, get
from softmax_impls.simd.sizes import LAST_LEVEL_CACHE
from softmax_impls.threads import available_cores
from softmax_impls.timing import roofline, workloads
from softmax_impls.timing.environment import limit_all_threads
from softmax_impls.timing.workloads import DTYPES, LARGEST_DRAWN

Arrays = tuple[Array, Array, Array]  # probabilities, or logits in the forward pass; gradient; out

SATURATED = 12.0  # scale of the logits; most rows have a probability above 1/2
VERIFIED = 2**20  # elements; of larger arrays, only some rows are verified


def keys() -> list[Key]:
    """Return all cells: each workload in each dtype and direction, on one thread and, with two processors, on two.

    The workloads are the named ones, the grid, and arrays whose classes are not on the last axis.
    """
    last = [(name, (batch, dim), -1) for name, batch, dim in workloads.select()]
    other = [(name, shape, axis) for name, (shape, axis) in workloads.OTHER_AXES.items()]
    threads = (1, 2) if available_cores() > 1 else (1,)
    cells = itertools.product(threads, (BACKWARD, FORWARD), [*last, *other], DTYPES)
    return [LOOP_KEY, *(Key(direction, *shape, dtype, number) for number, direction, shape, dtype in cells)]


@functools.cache
def peers() -> dict[str, Implementation]:
    """Return the implementations of other libraries that are installed."""
    return {name: found for name, found in catalogue(peers=True)[0].items() if found.family == "peer"}


@contextmanager
def limit_threads(number: int) -> Iterator[dict[str, str]]:
    """Temporarily set the number of threads of all libraries.

    Yield the names of peers that run in a different number of threads, each with a text that says so.
    """
    setters = {name: peer.set_num_threads for name, peer in peers().items() if peer.set_num_threads}
    with limit_all_threads(number):
        obtained = {name: set_threads(number) for name, set_threads in setters.items()}
        yield {name: f"runs in {count} threads" for name, count in obtained.items() if count != number}
    for set_threads in setters.values():
        set_threads(available_cores())


class Problem:
    """The arrays of a cell, and the calls on them."""

    def __init__(self, key: Key, exclude: Mapping[str, str]) -> None:
        self.key, self._exclude = key, exclude
        kinds = (1.0, SATURATED) if self._in_caches and key.threads == 1 else (1.0,)
        self._drawn = [self._draw(scale) for scale in kinds]
        self.place()

    @property
    def _in_caches(self) -> bool:
        """Whether the cell is a backward pass over the last axis on arrays that fit the caches.

        Then numba_rows is a rival on one thread. If the arrays do not fit, the roofline is.
        """
        key = self.key
        return key.direction == BACKWARD and key.is_last and key.moved_bytes <= LAST_LEVEL_CACHE

    def _draw(self, scale: float) -> tuple[Array, Array]:
        """Return random inputs: probabilities (in the forward pass logits), and a gradient.

        They may have fewer rows than the cell. `place` repeats them along axis 0. `scale` multiplies the logits.
        """
        key, rest = self.key, self.key.shape[1:]
        first = key.shape[0] if key.axis == 0 else max(1, min(key.shape[0], LARGEST_DRAWN // math.prod(rest)))
        rng, dtype = np.random.default_rng(key.shape), np.float32 if key.dtype == "float32" else np.float64
        logits, grad = (rng.standard_normal((first, *rest), dtype=dtype) for _ in range(2))
        logits *= scale
        return (softmax(logits, axis=key.axis) if key.direction == BACKWARD else logits), grad

    def place(self) -> None:
        """Copy the arrays to new memory."""
        self.arrays: list[Arrays] = []
        for pair in self._drawn:
            p, g = (array.reshape(len(array), -1) for array in pair)
            rows, shape = workloads.place(p, g, self.key.shape[0]), self.key.shape
            self.arrays.append((rows[0].reshape(shape), rows[1].reshape(shape), rows[2].reshape(shape)))

    def calls(self) -> dict[str, BoundCall]:
        """Return the calls by side, each with a function that reads its result."""
        (p, g, out), axis = self.arrays[0], self.key.axis
        if self.key.direction == FORWARD:
            found: dict[str, BoundCall] = {
                OURS: (lambda: softmax(p, axis=axis, out=out), _same),
                OURS_ALLOCATING: (lambda: softmax(p, axis=axis), _same),
            }
        elif self.key.is_last:
            found = self._backward_rows()
        else:
            found = {OURS: (lambda: softmax_backward(p, g, axis=axis, out=out), _same)}
        if TORCH in peers() and self.key != LOOP_KEY:
            found |= self._torch()
        return {name: call for name, call in found.items() if name not in self._exclude}

    def is_right(self, side: str, call: BoundCall) -> bool:
        """Whether a call computes what it should, in some rows of large arrays."""
        p, g, out = self.arrays["saturated" in side]
        out.fill(np.nan)
        result = call[1](call[0]())
        if side == ROOFLINE:
            return np.array_equal(result, p * g)
        step = 1 + result.size // VERIFIED
        rows = [np.moveaxis(a, self.key.axis, -1).reshape(-1, self.key.shape[self.key.axis]) for a in (p, g, result)]
        p, g, result = (np.ascontiguousarray(array[::step]) for array in rows)
        if self.key.direction == BACKWARD:
            return not reference.worst(p, g, result, reference.row_sums(p, g), flush_to_zero=True).wrong
        powers = np.exp(p.astype(np.float64) - p.max(axis=-1, keepdims=True))
        exact = powers / powers.sum(axis=-1, keepdims=True)
        return bool(np.all(np.abs(result - exact) <= 2 * bounds.forward(p, exact)))

    def _backward_rows(self) -> dict[str, BoundCall]:
        p, g, out = self.arrays[0]
        found: dict[str, BoundCall] = {
            OURS: (lambda: softmax_backward(p, g, out=out), _same),
            OURS_ALLOCATING: (functools.partial(softmax_backward, p, g), _same),
        }
        if self.key == LOOP_KEY:
            return found | {LOOP: get(LOOP).bind_call(p, g, out)}
        found |= {name: peer.bind_call(p, g, out) for name, peer in peers().items() if name not in self._exclude}
        if len(self.arrays) == 2:
            p_sharp, g_sharp, out_sharp = self.arrays[1]
            found[OURS_SATURATED] = lambda: softmax_backward(p_sharp, g_sharp, out=out_sharp), _same
            found[ROWS] = lambda: softmax_backward(p, g, out=out, impl=ROWS), _same
            found[ROWS_SATURATED] = lambda: softmax_backward(p_sharp, g_sharp, out=out_sharp, impl=ROWS), _same
        elif not self._in_caches:
            found[ROOFLINE] = functools.partial(roofline.move_bytes, p, g, out), lambda _: out
        return found

    def _torch(self) -> dict[str, BoundCall]:
        import torch

        from softmax_impls.peers.torch import tensor

        (p, g, o), out, axis = map(tensor, self.arrays[0]), self.arrays[0][2], self.key.axis
        if self.key.direction == FORWARD:
            into: Any = functools.partial(torch.ops.aten._softmax.out, p, axis, False, out=o)
            allocating: Any = functools.partial(torch.softmax, p, axis)
        else:
            operator = torch.ops.aten._softmax_backward_data.out
            into = functools.partial(operator, g, p, axis, p.dtype, grad_input=o)
            allocating = functools.partial(torch._softmax_backward_data, g, p, axis, p.dtype)
        return {TORCH: (into, lambda _: out), TORCH_ALLOCATING: (allocating, lambda result: result.numpy())}


def _same(result: Any) -> Any:
    return result
