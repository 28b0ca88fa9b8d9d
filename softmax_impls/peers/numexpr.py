"""p (g - Σ p g) in two expressions of numexpr: the sums, which numexpr computes in a single thread, and the rest."""

from __future__ import annotations

import functools

import numexpr as library
import numpy as np

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import bind_and_call
from softmax_impls.registry import register


def _evaluate(p: Array, g: Array, out: Array | None) -> Array:
    dot = library.evaluate("sum(p * g, axis=1)", {"p": p, "g": g})
    result: Array = library.evaluate("p * (g - s)", {"p": p, "g": g, "s": dot[:, np.newaxis]}, out=out)
    return result


def bind(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    """Bind the NumPy arrays, which numexpr takes as they are."""
    return functools.partial(_evaluate, probs, grad_output, out), lambda result: result


def set_num_threads(number: int) -> int:
    """Set numexpr's number of threads; return the number that numexpr reports."""
    library.set_num_threads(number)
    return int(library.get_num_threads())


@register(
    summary="the closed form, by numexpr",
    family="peer",
    temporaries=lambda batch, dim, itemsize: 2 * batch * 8,
    requires=("numexpr",),
    threaded=True,
    bind=bind,
    set_num_threads=set_num_threads,
)
def numexpr(probs: Array, grad_output: Array, out: Array) -> None:
    """p (g - Σ p g)."""
    bind_and_call(bind, probs, grad_output, out)
