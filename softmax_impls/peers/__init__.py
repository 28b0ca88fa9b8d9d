"""Adapters for other libraries: one file for each implementation, imported only when its name is asked for."""

import functools
from collections.abc import Callable
from typing import Any

from softmax_impls.implementation import Array, Backward, Bind
from softmax_impls.registry import register


def register_peer(**record: Any) -> Callable[[Bind], Backward]:
    """Return a decorator that registers another library's implementation.

    The decorated function takes NumPy arrays `probs`, `grad_output` and `out`, and converts them to the library's own
    arrays before the timing starts. It returns two functions, see `Implementation.bind_call`: the first computes the
    gradient, and is timed; the second returns the first's result as a NumPy array. The classes are on axis 1, also in
    arrays of three dimensions. `record` has the other attributes of the implementation, as in `register`.
    """

    def add(bind: Bind) -> Backward:
        @functools.wraps(bind)
        def kernel(probs: Array, grad_output: Array, out: Array) -> None:
            call, read = bind(probs, grad_output, out)
            result = read(call())
            if result is not out:
                out[...] = result

        return register(family="peer", threaded=True, bind=bind, **record)(kernel)

    return add
