"""What a user waits for: the public call, importing, the first call, and the program that this project began with."""

from __future__ import annotations

import functools
from typing import Any

from benchmarks._cells import DTYPES, Call, Skipped, arrays
from softmax_impls import softmax_backward

BY = ("out", "plain")


def public(dtype: str, by: str) -> Call:
    """Return the public call at 1×10, after its first time."""
    probs, grad_output, out = arrays(1, 10, dtype)
    given = {"out": out} if by == "out" else {}
    softmax_backward(probs, grad_output, **given)
    if by == "out":
        return lambda: softmax_backward(probs, grad_output, out=out)
    return functools.partial(softmax_backward, probs, grad_output)


class PublicCall:
    """`softmax_backward` at 1×10: nearly all of it is what is around the kernel."""

    params = (DTYPES, list(BY))
    param_names = ("dtype", "result")
    skip_params = Skipped(public)
    version = "1"

    def time_call(self, *cell: Any) -> None:
        """Seconds of one call."""
        self.skip_params.run()


class Starting:
    """In new processes."""

    version = "1"
    repeat = (2, 3, 20.0)
    rounds = 1
    warmup_time = 0
    timeout = 300

    def timeraw_import(self) -> tuple[str, str]:
        """Seconds to import the package once NumPy is there."""
        return "import softmax_impls", "import numpy"

    def timeraw_first_call_compiled(self) -> tuple[str, str]:
        """Seconds of the first call where nothing is in the cache, importing Numba included."""
        return "call(probs, probs)", _FRESH_CACHE + _FIRST_CALL

    def timeraw_first_call_cached(self) -> tuple[str, str]:
        """Seconds of the first call where another process has compiled before."""
        return "call(probs, probs)", _FIRST_CALL

    def timeraw_source(self) -> tuple[str, str]:
        """Seconds of the source program, with the loop that it had."""
        return "with contextlib.redirect_stdout(io.StringIO()): main(['--impl', 'column_loop'])", _SOURCE


_FRESH_CACHE = """
import os, tempfile
cache = tempfile.TemporaryDirectory()
os.environ["NUMBA_CACHE_DIR"] = cache.name
"""
_FIRST_CALL = """
import numpy
from softmax_impls import softmax_backward as call
probs = numpy.full((1, 10), 0.1)
"""
_SOURCE = """
import contextlib, io
from softmax_impls.source import main
"""
