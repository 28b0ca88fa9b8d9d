"""What the first call costs in a new process: with nothing compiled yet, and with what another process compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

_FIRST_CALL = """
import sys, time
import numpy as np
from softmax_impls import softmax_backward
impl, dtype, batch, dim = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5])
probs = np.full((batch, dim), 1 / dim, dtype)
out = np.empty_like(probs)
start = time.perf_counter()
softmax_backward(probs, probs, out=out, impl=impl, threads=1)
print(time.perf_counter() - start)
"""


def first_calls(name: str, batch: int, dim: int, dtype: str) -> tuple[float, float]:
    """Return the seconds of the first call, compiled and from the cache, loading Numba included.

    Parameters
    ----------
    name : str
        A name that `softmax_backward` knows.
    batch, dim, dtype
        Of the call.

    Raises
    ------
    RuntimeError
        If the call failed in its process.
    """
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", _FIRST_CALL, name, dtype, str(batch), str(dim)]
        seconds = []
        for _ in range(2):
            done = subprocess.run(
                command, env={**os.environ, "NUMBA_CACHE_DIR": cache}, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RuntimeError(f"{name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
            seconds.append(float(done.stdout.split()[-1]))
    return seconds[0], seconds[1]
