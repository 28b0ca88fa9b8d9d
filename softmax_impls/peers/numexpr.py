"""The textbook form in two expressions of numexpr: the sums, which it takes in one thread, and the rest."""

from __future__ import annotations

import functools

import numexpr as library
import numpy as np

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import run
from softmax_impls.registry import register


def _evaluate(probs: Array, grad_output: Array, out: Array | None) -> Array:
    p, g = probs, grad_output
    total = library.evaluate("sum(p * g, axis=1)", {"p": p, "g": g})
    result: Array = library.evaluate("p * (g - s)", {"p": p, "g": g, "s": total[:, np.newaxis]}, out=out)
    return result


def bind(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    """Bind both; what numexpr compiles it keeps by itself."""
    return functools.partial(_evaluate, probs, grad_output, out), lambda result: result


def set_num_threads(number: int) -> int:
    """Set numexpr's number of threads, and return it as numexpr tells it."""
    library.set_num_threads(number)
    return int(library.get_num_threads())


@register(
    summary="the closed form, by numexpr",
    family="peer",
    temporaries=lambda rows, classes, itemsize: 2 * rows * 8,
    requires=("numexpr",),
    threaded=True,
    bind=bind,
    set_num_threads=set_num_threads,
)
def numexpr(probs: Array, grad_output: Array, out: Array) -> None:
    """p (g - p·g)."""
    run(bind, probs, grad_output, out)
