"""Measure `softmax_backward` beside other libraries, the original program's loop and the roofline.

``python tools/performance.py`` takes a quarter of an hour, and keeps the results in measurements/. It needs the peers:
``pip install '.[compare,peers]'``, with CPU builds. tools/performance_page.py makes the document.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from softmax_impls import softmax_backward
from softmax_impls.checks import gate, inputs
from softmax_impls.implementation import LARGEST_TEMPORARIES, Array, BoundCall, Implementation
from softmax_impls.registry import catalogue, get
from softmax_impls.results import store
from softmax_impls.threads import available_cores
from softmax_impls.timing import workloads
from softmax_impls.timing.environment import environment
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import Cell, Environment
from softmax_impls.timing.session import Session, Skipped
from softmax_impls.timing.workloads import CUSTOM, CellKey

MEASUREMENTS = Path(__file__).parents[1] / "measurements"
CELLS, REST = MEASUREMENTS / "performance.jsonl", MEASUREMENTS / "performance.json"
DTYPES = ("float32", "float64")
OURS, LOOP = "auto", "column_loop"
LOOP_CELL = CellKey(CUSTOM, 128, 1000, "float64", 1)  # the only cell in which the loop takes part
LOOP_POLICY = SamplingPolicy(admission_share=0.5)  # the loop takes a third of a second
SEEDS = range(10)  # of the inputs that errors are measured on


class Start(msgspec.Struct, frozen=True):
    """Seconds of a new process: imports, the first call, and the first call in several threads."""

    numpy: float
    softmax_impls: float
    first: float
    shared: float


class Rest(msgspec.Struct, frozen=True):
    """What is measured besides the times of calls.

    Attributes
    ----------
    environment : Environment
    rows : int
        Rows for each dtype that errors were measured on.
    errors : dict
        The worst error by implementation and by "dtype kind".
    start : dict
        By "cold" or "cached".
    memory : dict
        Bytes by which a call raises the peak memory of a process, by "out" or "plain".
    """

    environment: Environment
    rows: int
    errors: dict[str, dict[str, float]]
    start: dict[str, Start]
    memory: dict[str, int]


@functools.cache
def rest() -> Rest:
    """Return what is kept besides the times."""
    return msgspec.json.decode(REST.read_bytes(), type=Rest)


@functools.cache
def cells() -> dict[CellKey, Cell]:
    """Return the cells that are kept."""
    found, problems = store.read(CELLS)
    if problems:
        raise SystemExit("\n".join(problems))
    return {cell.key: cell for cell in found}


def _bind_public(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    """Bind the public call; a partial is faster than a lambda, but not with keywords."""
    if out is None:
        return functools.partial(softmax_backward, probs, grad_output), lambda result: result
    return lambda: softmax_backward(probs, grad_output, out=out), lambda result: result


def _plain(original: Implementation) -> Implementation:
    """Return the same implementation without `out`: each call allocates its result."""
    name = f"{original.name} (plain)"
    return replace(original, name=name, bind=lambda probs, grad, out: original.bind_call(probs, grad, None))


def peers() -> dict[str, Implementation]:
    """Return the implementations of other libraries; all of them have to be installed."""
    usable, missing = catalogue(peers=True)
    if missing:
        raise SystemExit("not installed: " + "; ".join(f"{name}: {why}" for name, why in missing.items()))
    return {name: found for name, found in usable.items() if found.family == "peer"}


def timed() -> dict[str, Implementation]:
    """Return all implementations that are timed."""
    auto = Implementation(OURS, get("numba_simd").kernel, "softmax_backward", accurate_for="logits", bind=_bind_public)
    both = [auto, _plain(auto)]
    for peer in peers().values():
        both += [peer] if peer.allocates else [peer, _plain(peer)]
    return {implementation.name: implementation for implementation in both}


def keys() -> list[CellKey]:
    """Return the named workloads and the grid, in both dtypes, in one thread and in two if there are two processors."""
    threads = [1, 2] if available_cores() > 1 else [1]
    return [
        CellKey(*shape, dtype, number)
        for number, shape, dtype in itertools.product(threads, workloads.select(), DTYPES)
    ]


def measure(selected: Sequence[CellKey], budget: float) -> Iterator[Cell]:
    """Yield the cells; a cell comes again when it has more samples."""
    share = budget / len(selected)
    for todo, implementations, policy in (
        ([key for key in selected if key != LOOP_CELL], timed(), SamplingPolicy()),
        ([key for key in selected if key == LOOP_CELL], {LOOP: get(LOOP), **timed()}, LOOP_POLICY),
    ):
        if todo:
            session = Session(implementations, share * len(todo), LARGEST_TEMPORARIES, policy=policy)
            session.prepare(DTYPES)
            for done in session.run(todo, lambda key: click.echo(f"{key} …", err=True)):
                if isinstance(done, Skipped):
                    click.echo(f"{done.key}: {done.why}", err=True)
                else:
                    yield done


def worst_errors() -> tuple[int, dict[str, dict[str, float]]]:
    """Return the number of rows for each dtype, and the worst errors against the gradient of the logits."""
    worst: dict[str, dict[str, float]] = {}
    for seed in SEEDS:
        for name, verdict in gate.judge({"numba_simd": get("numba_simd"), **peers()}, seed=seed).items():
            found = worst.setdefault(name, {})
            for dtype, errors in verdict.errors.items():
                for kind, error in errors.items():
                    found[f"{dtype} {kind}"] = max(error, found.get(f"{dtype} {kind}", 0.0))
    return sum(len(case.probs) for seed in SEEDS for case in inputs.cases("float32", seed)), worst


_START = """
import json, time
begin = time.perf_counter()
import numpy as np
numpy = time.perf_counter()
from softmax_impls import softmax_backward
imported = time.perf_counter()
small, large = np.full((1, 10), 0.1), np.full((300, 500), 0.002)
softmax_backward(small, small)
first = time.perf_counter()
softmax_backward(large, large)
shared = time.perf_counter()
print(json.dumps([numpy - begin, imported - numpy, first - imported, shared - first]))
"""

_MEMORY = """
import sys
import numpy as np
from softmax_impls import softmax_backward

def peak():  # in bytes; unlike ru_maxrss, without that of the parent process
    with open("/proc/self/status") as file:
        return 1024 * int(next(line.split()[1] for line in file if line.startswith("VmHWM")))

softmax_backward(*[np.full((300, 500), 0.002)] * 2)
probs, grad, out = (np.full((512, 50257), 1 / 50257) for _ in range(3))
before = peak()
softmax_backward(probs, grad, out=out if sys.argv[1] == "out" else None)
print(peak() - before)
"""


def measure_rest() -> Rest:
    """Measure errors, and in new processes start-up times and memory."""
    start = {}
    with tempfile.TemporaryDirectory() as cache:
        for kind in ("cold", "cached", "cached"):
            start[kind] = Start(*json.loads(_python(_START, NUMBA_CACHE_DIR=cache)))
    memory = {how: int(_python(_MEMORY, how)) for how in ("out", "plain")}
    rows, errors = worst_errors()
    return Rest(environment(), rows, errors, start, memory)


def _python(code: str, *arguments: str, **variables: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True).stdout


@click.command()
@click.option("--budget", default=700.0, show_default=True, help="Seconds for the timing, shared by the cells.")
@click.option("--only-rest", is_flag=True, help="Measure only errors, start-up times and memory.")
@click.option("--again", metavar="TEXT", multiple=True, help="Measure only the cells with this text in their name.")
def main(budget: float, only_rest: bool, again: Sequence[str]) -> None:
    """Measure, and keep the results in measurements/."""
    if not again:
        REST.write_bytes(msgspec.json.format(msgspec.json.encode(measure_rest())) + b"\n")
    if only_rest:
        return
    selected = [key for key in (LOOP_CELL, *keys()) if not again or any(text in str(key) for text in again)]
    kept: Mapping[CellKey, Cell] = cells() if again else {}
    found = {**kept, **{cell.key: cell for cell in measure(selected, budget)}}
    store.write(CELLS, found.values())


if __name__ == "__main__":
    main()
