"""What a user waits for: the public call, the import, the first call, and the original program."""

from __future__ import annotations

import functools
from typing import Any

from benchmarks._cells import DTYPES, Call, Skipped, arrays, custom
from softmax_impls import implementations, softmax_backward

ARGUMENTS = ("out", "none", "threads", "impl", "kernel")  # besides the inputs; "kernel" passes a function as `impl`


def prepare_public(dtype: str, given: str) -> Call:
    """Return the public call at 1×10 with the arguments that `given` names. It has been called once."""
    probs, grad_output, out = arrays(custom(1, 10, dtype))
    arguments: dict[str, dict[str, Any]] = {
        "none": {},
        "out": {"out": out},
        "threads": {"out": out, "threads": 1},
        "impl": {"out": out, "impl": "numba_rows"},
        "kernel": {"out": out, "impl": implementations()["numba_rows"].kernel},
    }
    call = functools.partial(softmax_backward, probs, grad_output, **arguments[given])
    call()
    return call


class PublicCall:
    """`softmax_backward` at 1×10. Nearly all of its time is call overhead."""

    params = (DTYPES, list(ARGUMENTS))
    param_names = ("dtype", "arguments")
    skip_params = Skipped(prepare_public)
    version = "2"

    def time_call(self, *combination: Any) -> None:
        """Seconds of a call."""
        self.skip_params.run()


class Starting:
    """Times in new processes."""

    version = "1"
    repeat = (2, 3, 20.0)
    rounds = 1
    warmup_time = 0
    timeout = 300

    def timeraw_import(self) -> tuple[str, str]:
        """Seconds to import the package after NumPy."""
        return "import softmax_impls", "import numpy"

    def timeraw_first_call_compiled(self) -> tuple[str, str]:
        """Seconds of the first call with an empty cache of compiled code. They include the import of Numba."""
        return "call(probs, probs)", _EMPTY_CACHE + _FIRST_CALL

    def timeraw_first_call_cached(self) -> tuple[str, str]:
        """Seconds of the first call after another process has filled the cache."""
        return "call(probs, probs)", _FIRST_CALL

    def timeraw_source(self) -> tuple[str, str]:
        """Seconds of the original program, with its own loop over columns."""
        return "run_source()", _SOURCE


_EMPTY_CACHE = """
import os, tempfile
cache = tempfile.TemporaryDirectory()
os.environ["NUMBA_CACHE_DIR"] = cache.name
"""
_FIRST_CALL = """
import numpy
from softmax_impls import softmax_backward as call
probs = numpy.full((1, 10), 0.1)
"""
# `softmax_impls.source` is a module in old commits, and a package with a __main__ now. runpy runs both.
_SOURCE = """
import contextlib, io, runpy, sys, warnings
import softmax_impls.source
warnings.simplefilter("ignore", RuntimeWarning)  # runpy warns of a module that is already imported
sys.argv = ["source", "--impl", "column_loop"]

def run_source():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_module("softmax_impls.source", run_name="__main__")
    except SystemExit as end:
        assert not end.code
"""
