"""p (g - Σ p g) in two expressions of numexpr: the sums, which numexpr computes in a single thread, and the rest."""

from typing import Any

import numexpr as library
import numpy as np

from softmax_impls.implementation import Array, BoundCall
from softmax_impls.peers import register_peer


def set_num_threads(number: int) -> int:
    """Set numexpr's number of threads; return the number that numexpr reports."""
    library.set_num_threads(number)
    return int(library.get_num_threads())


@register_peer(
    summary="the closed form, by numexpr",
    temporaries=lambda batch, dim, itemsize: 2 * batch * 8,
    requires=("numexpr",),
    set_num_threads=set_num_threads,
    usage=(
        "import numexpr\n\nnumexpr.set_num_threads({threads})\n\n\ndef closed_form(p, g, out):\n"
        '    dot = numexpr.evaluate("sum(p * g, axis=1)")[:, np.newaxis]\n'
        '    return numexpr.evaluate("p * (g - dot)", out=out)',
        "closed_form(probs, grad_output, out)",
    ),
)
def numexpr(probs: Array, grad_output: Array, out: Array) -> BoundCall:
    """Return a call that evaluates the formula on these arrays; numexpr takes arrays of NumPy as they are."""

    def call() -> Any:
        dot = library.evaluate("sum(p * g, axis=1)", {"p": probs, "g": grad_output})[:, np.newaxis]
        return library.evaluate("p * (g - dot)", {"p": probs, "g": grad_output, "dot": dot}, out=out)

    return call, lambda result: result
