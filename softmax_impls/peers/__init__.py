"""Adapters of other libraries' implementations: one file each, imported only when its name is asked for.

A library has arrays of its own. So an adapter has a function ``bind``, which converts the NumPy arrays before the
timing starts, and returns a call and a reader of its result; see `Implementation.bind_call`.
"""

from __future__ import annotations

from softmax_impls.implementation import Array, Bind


def bind_and_call(bind: Bind, probs: Array, grad_output: Array, out: Array) -> None:
    """Compute a single call, as the kernel contract demands: the result is in `out`."""
    call, read = bind(probs, grad_output, out)
    result = read(call())
    if result is not out:
        out[...] = result
