"""The textbook form, compiled by torch.compile, which needs a C++ compiler."""

from __future__ import annotations

import functools
from typing import Any

import torch as library

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import run
from softmax_impls.peers.torch import set_num_threads, tensor
from softmax_impls.registry import register


@functools.cache
def _compiled(allocates: bool) -> Any:
    """Return the compiled form; shapes are variables in it, or else each new one would take seconds."""
    library._dynamo.config.recompile_limit = 64  # sizes of 1 are constants all the same; at the limit it would give up

    def value(p: Any, g: Any) -> Any:
        return p * (g - (p * g).sum(dim=-1, keepdim=True))

    def into(p: Any, g: Any, out: Any) -> None:
        out.copy_(value(p, g))

    return library.compile(value if allocates else into, dynamic=True, fullgraph=True)


def bind(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    """Compile for these arrays' shape and dtype, if nothing that fits has been."""
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
    """p (g - p·g)."""
    run(bind, probs, grad_output, out)
