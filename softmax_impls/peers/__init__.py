"""Adapters for other libraries: one file for each implementation, imported only when its name is asked for."""

import functools
from collections.abc import Callable
from typing import Any

from softmax_impls.implementation import Array, Backward, Bind
from softmax_impls.registry import register


def register_peer(**record: Any) -> Callable[[Bind], Backward]:
    """Register another library's implementation by a function that binds it to arrays; see `Implementation.bind_call`.

    Other libraries have their own arrays. So the function converts the NumPy arrays before the timing starts. It
    returns a call, and a function that reads the result of the call. The classes are on axis 1, also in arrays of three
    dimensions. `record` has the other attributes of the implementation, as in `register`.
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
