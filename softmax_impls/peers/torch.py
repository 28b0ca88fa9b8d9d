"""PyTorch's own kernel, which PyTorch's autograd calls for softmax."""

import functools
import warnings
from typing import Any

import torch as library

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import register_peer


def tensor(array: Array) -> Any:
    """Return a tensor that shares the memory of an array."""
    with warnings.catch_warnings(action="ignore"):  # about read-only inputs: PyTorch does not write to them
        return library.from_numpy(array)


def set_num_threads(number: int) -> int:
    """Set PyTorch's number of threads; return the number that PyTorch reports."""
    library.set_num_threads(number)
    return int(library.get_num_threads())


@register_peer(
    summary="PyTorch's _softmax_backward_data, which its autograd calls",
    requires=("torch",),
    set_num_threads=set_num_threads,
    usage=(
        "import torch\n\ntorch.set_num_threads({threads})\np, g, o = map(torch.from_numpy, (probs, grad_output, out))",
        "torch.ops.aten._softmax_backward_data.out(g, p, 1, p.dtype, grad_input=o)",
    ),
)
def torch(probs: Array, grad_output: Array, out: Array) -> BoundCall:
    """Return a call of PyTorch's operator of the backward pass on these arrays; the operator writes to `out`."""
    p, g, o = map(tensor, (probs, grad_output, out))
    operator = library.ops.aten._softmax_backward_data.out
    return functools.partial(operator, g, p, 1, p.dtype, grad_input=o), lambda _: out
