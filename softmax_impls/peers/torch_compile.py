"""p (g - Σ p g), compiled by torch.compile, which needs a C++ compiler."""

import functools
from typing import Any

import torch as library

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import register_peer
from softmax_impls.peers.torch import set_num_threads, tensor


def _closed_form(p: Any, g: Any, out: Any) -> None:
    out.copy_(p * (g - (p * g).sum(dim=1, keepdim=True)))


@functools.cache
def _compiled() -> Any:
    # Even with `dynamic`, sizes of 1 are compiled separately. Beyond this limit, PyTorch compiles nothing more. The
    # setting has this name in PyTorch 2.3 and later.
    library._dynamo.config.cache_size_limit = 64
    # Without `dynamic`, it would be compiled for each new shape, which takes seconds.
    return library.compile(_closed_form, dynamic=True, fullgraph=True)


@register_peer(
    summary="the closed form, compiled by torch.compile",
    requires=("torch",),
    set_num_threads=set_num_threads,
    usage=(
        "import torch\n\ntorch.set_num_threads({threads})\n\n\n"
        "@torch.compile(dynamic=True, fullgraph=True)\ndef closed_form(p, g, out):\n"
        "    out.copy_(p * (g - (p * g).sum(dim=1, keepdim=True)))\n\n\n"
        "p, g, o = map(torch.from_numpy, (probs, grad_output, out))",
        "closed_form(p, g, o)",
    ),
)
def torch_compile(probs: Array, grad_output: Array, out: Array) -> BoundCall:
    """Bind the compiled function, and call it once, so that it is compiled for these arrays."""
    call = functools.partial(_compiled(), *map(tensor, (probs, grad_output, out)))
    call()
    return call, lambda _: out
