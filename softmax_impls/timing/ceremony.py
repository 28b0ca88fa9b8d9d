"""What a public call costs beside its kernel: by the built-in rule, and where a rule is asked what to pick."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from softmax_impls import tuned
from softmax_impls.dispatch import COMPILED
from softmax_impls.tuned import Line

OTHER = "numba_pivoted"  # stands for all others: none of them has a way of its own into it

# A small call, by the public function less the kernel alone; the fastest of many samples of each, taken in turn.
_TIMES = """
import sys, time
import numpy as np
from softmax_impls import softmax_backward
from softmax_impls.backward import get
p = np.full((1, 8), 0.125); g = np.arange(8.0).reshape(1, 8); out = np.empty_like(p)
kernel, calls, best = get(sys.argv[1]).kernel, range(200), [1.0, 1.0]
for _ in range(500):
    start = time.perf_counter()
    for _ in calls: softmax_backward(p, g, out=out)
    middle = time.perf_counter()
    for _ in calls: kernel(p, g, out)
    best = [min(best[0], middle - start), min(best[1], time.perf_counter() - middle)]
print((best[0] - best[1]) / len(calls))
"""


@dataclass(frozen=True)
class Ceremony:
    """Seconds of a small call beside its kernel.

    Attributes
    ----------
    built_in : float
        By the built-in rule, which is not asked.
    default, other : float
        Where a rule is asked, and it picks `numba_simd`, or another.
    """

    built_in: float
    default: float
    other: float


def measure() -> Ceremony:
    """Measure it in new processes, in a second or two.

    Raises
    ------
    RuntimeError
        If one of them fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        rule = Path(folder) / tuned.FILE
        tuned.write(rule, [Line(OTHER, (("elements", 7),)), Line(COMPILED)])
        default = _seconds(COMPILED, str(rule))
        tuned.write(rule, [Line(OTHER)])
        return Ceremony(_seconds(COMPILED, tuned.BUILT_IN), default, _seconds(OTHER, str(rule)))


def _seconds(name: str, rule: str) -> float:
    command = [sys.executable, "-W", "error", "-c", _TIMES, name]
    environment = {**os.environ, tuned.VARIABLE: rule}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return float(done.stdout)
