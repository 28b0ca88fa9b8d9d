"""p (g - Σ p g), compiled by torch.compile, which needs a C++ compiler."""

from __future__ import annotations

import functools
from typing import Any

import torch as library

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import bind_and_call
from softmax_impls.peers.torch import set_num_threads, tensor
from softmax_impls.registry import register


@functools.cache
def _compiled(allocates: bool) -> Any:
    """Return the compiled function. dynamic=True: otherwise each new shape would be compiled, which takes seconds."""
    library._dynamo.config.recompile_limit = 64  # sizes of 1 are compiled all the same; beyond the limit, nothing is

    def closed_form(p: Any, g: Any) -> Any:
        return p * (g - (p * g).sum(dim=-1, keepdim=True))

    def closed_form_into(p: Any, g: Any, out: Any) -> None:
        out.copy_(closed_form(p, g))

    return library.compile(closed_form if allocates else closed_form_into, dynamic=True, fullgraph=True)


def bind(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    """Bind the compiled function, and call it once, so that it is compiled for these arrays."""
    arguments = (tensor(probs), tensor(grad_output), *(() if out is None else (tensor(out),)))
    call = functools.partial(_compiled(out is None), *arguments)
    call()
    return call, lambda result: result.numpy() if out is None else out


@register(
    summary="the closed form, compiled by torch.compile",
    family="peer",
    requires=("torch",),
    threaded=True,
    bind=bind,
    set_num_threads=set_num_threads,
)
def torch_compile(probs: Array, grad_output: Array, out: Array) -> None:
    """p (g - Σ p g)."""
    bind_and_call(bind, probs, grad_output, out)
