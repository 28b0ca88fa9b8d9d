"""A kernel run on a caller's arrays: as rows, straight to where the result belongs if that can be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softmax_impls import registry
from softmax_impls.implementation import Array, Implementation, invoke, read_only
from softmax_impls.layout import Layout


def resolved(impl: object) -> Implementation:
    """Return the implementation that a name, a record or a kernel stands for."""
    if isinstance(impl, str):
        return registry.get(impl)
    if isinstance(impl, Implementation):
        return impl
    if callable(impl):
        return registry.from_kernel(impl)
    raise TypeError(f"impl must be a name, 'auto' or a kernel (probs, grad_output, out), got {type(impl).__name__}")


def run(
    kernel: Callable[..., Any],
    in_place: tuple[str, ...],
    arrays: dict[str, Array],
    layout: Layout,
    out: Array | None,
    guarded: bool = False,
) -> Array:
    """Run a kernel on rows of these arrays, writing its result straight to where it belongs if that can be done."""
    result = layout.new_out() if out is None else layout.checked_out(out)
    if not layout.empty:
        inputs = {name: layout.read(array) for name, array in arrays.items()}
        if guarded:
            inputs = {name: read_only(array) for name, array in inputs.items()}
        rows = layout.view(result)
        shared = [] if rows is None else [name for name in inputs if np.may_share_memory(rows, inputs[name])]
        # Straight to where it belongs, unless that would overwrite an input in a way the kernel can't stand.
        direct = not shared or (len(shared) == 1 and shared[0] in in_place and _is_same(rows, inputs[shared[0]]))
        if rows is None or not direct:
            rows, direct = np.empty((layout.rows, layout.classes), layout.compute), False
        if guarded and not (direct and shared):
            rows.fill(np.nan)  # a kernel that writes nothing is not to return whatever lay there
        invoke(kernel, *inputs.values(), out=rows)
        if not direct:
            with np.errstate(all="ignore"):  # float16 may overflow
                layout.write(rows, result)
    if out is not None:
        return out
    return result if result.ndim else result[()]


def _is_same(a: Array | None, b: Array) -> bool:
    """Whether two C-contiguous arrays of one shape and dtype are the very same memory."""
    return a is not None and bool(a.__array_interface__["data"][0] == b.__array_interface__["data"][0])
