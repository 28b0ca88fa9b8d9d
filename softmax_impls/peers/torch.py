"""PyTorch's own kernel, which its autograd calls for softmax."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch as library

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import bind_and_call
from softmax_impls.registry import register


def tensor(array: Array) -> Any:
    """Return a tensor that shares the memory of an array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that an input is read-only, but PyTorch does not write to inputs
        return library.from_numpy(array)


def bind(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    """Bind the operator that writes `out`, or the operator that allocates its result."""
    p, g = tensor(probs), tensor(grad_output)
    if out is None:
        return functools.partial(library._softmax_backward_data, g, p, -1, p.dtype), lambda result: result.numpy()
    operator = library.ops.aten._softmax_backward_data.out
    return functools.partial(operator, g, p, -1, p.dtype, grad_input=tensor(out)), lambda result: out


def set_num_threads(number: int) -> int:
    """Set PyTorch's number of threads; return the number that PyTorch reports."""
    library.set_num_threads(number)
    return int(library.get_num_threads())


@register(
    summary="PyTorch's _softmax_backward_data, which its autograd calls",
    family="peer",
    requires=("torch",),
    threaded=True,
    bind=bind,
    set_num_threads=set_num_threads,
)
def torch(probs: Array, grad_output: Array, out: Array) -> None:
    """p (g - Σ p g)."""
    bind_and_call(bind, probs, grad_output, out)
