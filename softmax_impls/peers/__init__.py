"""Other people's implementations, as adapters: one file each, loaded only when asked for, usable where installed.

A peer has arrays of its own. So an adapter *binds*: it converts once, outside of what is timed, and returns a call and
a way to read what the call returned as NumPy. The kernel that the contract asks for does all that on every call.
"""

from __future__ import annotations

from softmax_impls.implementation import Array, Bind


def run(bind: Bind, probs: Array, grad_output: Array, out: Array) -> None:
    """Bind, call, and see that the result is in `out`."""
    call, read = bind(probs, grad_output, out)
    result = read(call())
    if result is not out:
        out[...] = result
