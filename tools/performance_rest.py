"""What tools/performance.py measures besides the times of calls: errors, start-up, compile times, memory, code."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from performance_calls import peers
from performance_records import Compiled, Errors, Record, Rest, Start, sources
from processes import output_of

from softmax_impls import softmax, softmax_backward
from softmax_impls.checks import inputs
from softmax_impls.checks.inputs import Case
from softmax_impls.implementation import Array, Implementation, invoke
from softmax_impls.simd.sizes import LAST_LEVEL_CACHE, SHARED_FROM
from softmax_impls.timing.environment import CHECKOUT, environment
from softmax_impls.timing.workloads import DTYPES

SEEDS = 10  # of the inputs that errors are measured on
LONG = 40_000  # classes of the path of few long rows, at least: threads share such a row
COLD, CACHED = "nothing cached", "cached"
FORWARD_PATH = "softmax"
STARTS = {COLD: 3, CACHED: 5}  # processes; the median counts

# Paths of ours. Each takes a case, and returns results (…, B, D) that have one exact value.
Way = Callable[[Case], Array]


def _in_place(case: Case) -> Array:
    out = case.grad_output.copy()
    return softmax_backward(case.probs, out, out=out)


def _columns(case: Case) -> Array:
    p, g = (np.ascontiguousarray(array.T) for array in (case.probs, case.grad_output))
    return softmax_backward(p, g, axis=0).T


def _many(case: Case, nbytes: int) -> Array:
    """Return the gradients of the rows, repeated until a call moves more than `nbytes`: (repetitions, B, D)."""
    times = 1 + nbytes // (3 * case.probs.nbytes)
    result = softmax_backward(*(np.tile(array, (times, 1)) for array in (case.probs, case.grad_output)))
    return result.reshape(times, *case.probs.shape)


def _long(case: Case) -> Array:
    """Return gradients of long rows, computed in one call for each row: (repetitions, B, D).

    A long row repeats the classes 2**n times, with probabilities divided by 2**n; the result is multiplied by 2**n.
    Rows where this division is not exact are not computed: they get the exact gradient.
    """
    times = 2 ** int(np.ceil(np.log2(LONG / case.probs.shape[1])))
    p, g = (case.probs / times).astype(case.probs.dtype), np.tile(case.grad_output, (1, times))
    exact = np.all(p.astype(np.float64) * times == case.probs, axis=-1)  # no probability becomes subnormal
    rows = [softmax_backward(np.tile(p[i], (1, times)), g[i : i + 1]) * times for i in range(len(p)) if exact[i]]
    result = np.tile(case.given_logits.high, (times, 1, 1))
    if rows:
        result[:, exact] = np.stack([row.reshape(times, -1) for row in rows], axis=1)
    return result


def _padded(case: Case) -> Array:
    """Return gradients of rows that are made long by classes with a probability of 0; each row in its own call."""
    (batch, dim), times = case.probs.shape, 1 + LONG // case.probs.shape[1]
    p, g = np.zeros((batch, times * dim), case.probs.dtype), np.tile(case.grad_output, (1, times))
    p[:, :dim] = case.probs
    return np.vstack([softmax_backward(p[i : i + 1], g[i : i + 1])[:, :dim] for i in range(batch)])


def _column_softmax(case: Case) -> Array:
    return softmax(np.ascontiguousarray(case.logits.T), axis=0).T


PATHS: dict[str, Way] = {
    "softmax_impls": lambda case: softmax_backward(case.probs, case.grad_output),
    "… in place": _in_place,
    "… other axis": _columns,
    "… many rows": lambda case: _many(case, SHARED_FROM),
    "… many rows, beyond the caches": lambda case: _many(case, LAST_LEVEL_CACHE + SHARED_FROM),
    "… few long rows": _long,
    "… few long rows, mostly zeros": _padded,
    FORWARD_PATH: lambda case: softmax(case.logits),
    f"{FORWARD_PATH}, other axis": _column_softmax,
}
ONCE = "… many rows, beyond the caches"  # only for the first seed: it takes long
LONG_ROWS = ("… few long rows", "… few long rows, mostly zeros")  # not for hostile inputs


def _of_peer(peer: Implementation) -> Way:
    def path(case: Case) -> Array:
        out = np.empty_like(case.probs)
        invoke(peer.kernel, case.probs.copy(), case.grad_output.copy(), out=out)
        return out

    return path


def row_errors(case: Case, path: Way, name: str) -> float:
    """Return the largest error that `path`, a way to call the package or a peer, makes in a row of this case.

    It is relative to the largest exact element of the row. `name` is the name of the path.
    """
    exact = case.exact_probs if name.partition(",")[0] == FORWARD_PATH else case.given_logits
    size = np.abs(exact.high).max(axis=-1, initial=0)
    rows = (size > 0) & (case.in_range.all(axis=-1) if name in peers() else case.finite)
    error = exact.error_of(path(case)).reshape(-1, *case.probs.shape).max(axis=0)[rows].max(axis=-1)
    return float(np.max(error / np.maximum(size[rows], float(np.finfo(case.probs.dtype).smallest_normal)), initial=0))


@np.errstate(all="ignore")
def measure_errors(seeds: int) -> Errors:
    """Measure the errors of each way to call the package and of other libraries, on inputs from this many seeds."""
    paths = {**PATHS, **{name: _of_peer(peer) for name, peer in peers().items()}}
    worst: dict[str, dict[str, float]] = {name: {} for name in paths}
    rows = 0
    for seed in range(seeds):
        for dtype in DTYPES:
            for case in inputs.cases(dtype, seed):
                rows += len(case.probs)
                for name, path in paths.items() if case.probs.size else ():
                    if (name != ONCE or seed == 0) and not (name in LONG_ROWS and case.kind == "hostile"):
                        dim = max(case.probs.shape[1], LONG if name in LONG_ROWS else 0)
                        place = f"{dtype} {case.kind} {dim} {case.family}"
                        error = float(f"{row_errors(case, path, name):.4g}")
                        worst[name][place] = max(error, worst[name].get(place, 0.0))
    return Errors(seeds, rows // len(DTYPES), worst, sources())


_START = """
import json, time
steps, last = {}, time.perf_counter()
def step(name):
    global last
    now = time.perf_counter()
    steps[name], last = now - last, now
import numpy as np
step("import numpy")
from softmax_impls import softmax, softmax_backward
step("import softmax_impls")
arrays = {(size, dtype): np.full(shape, 1 / shape[1], dtype) for dtype in ("float64", "float32")
          for size, shape in (("small", (1, 10)), ("large", (300, 500)))}
last = time.perf_counter()
for (size, dtype), p in arrays.items():
    softmax_backward(p, p)
    step(f"{size} {dtype}")
p = arrays["large", "float64"]
softmax(arrays["small", "float64"])
step("softmax, small float64")
softmax(p)
step("softmax, large float64")
softmax_backward(p, p, axis=0)
step("axis=0, float64")
"""
_PRINT = "print(json.dumps(steps))"

_COMPILED = """
from numba.core.event import install_recorder
with install_recorder("numba:compile") as recorder:
    exec(START)
seconds, running = {}, []
for now, event in recorder.buffer:  # compiling a function includes compiling the functions that it calls
    if event.is_start:
        running.append([now, 0.0])
    else:
        start, called = running.pop()
        function = event.data["dispatcher"].py_func
        name = function.__module__.removeprefix("softmax_impls.") + "." + function.__name__
        seconds[name] = seconds.get(name, 0.0) + now - start - called
        if running:
            running[-1][1] += now - start
seconds["all"] = sum(steps.values())
print(json.dumps(seconds))
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


def measure_starts(processes: Mapping[str, int]) -> Iterator[Start]:
    """Yield the time of each step of a new process, as a median. `processes` has the number of processes by `kind`."""
    for kind, number in processes.items():
        taken = []
        with tempfile.TemporaryDirectory() as cache:
            if kind == CACHED:
                _python(_START, NUMBA_CACHE_DIR=cache)
            for index in range(number):
                folder = cache if kind == CACHED else str(Path(cache, str(index)))
                taken.append(json.loads(_python(_START + _PRINT, NUMBA_CACHE_DIR=folder)))
        yield Start(kind, {step: round(float(np.median([t[step] for t in taken])), 3) for step in taken[0]}, sources())


def measure_compiled() -> Compiled:
    """Measure how long each function takes to compile; they are compiled when they are first called."""
    with tempfile.TemporaryDirectory() as cache:
        seconds = json.loads(_python(f"START = {_START!r}\n{_COMPILED}", NUMBA_CACHE_DIR=cache))
    return Compiled({name: round(taken, 3) for name, taken in seconds.items()}, sources())


def measure_rest() -> Rest:
    """Measure memory, and count the lines of `simd/`, with comments and docstrings."""
    memory = {how: int(_python(_MEMORY, how)) for how in ("out", "allocating")}
    files = [*(CHECKOUT / "softmax_impls" / "simd").glob("*.py"), CHECKOUT / "softmax_impls/backward/numba_simd.py"]
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    return Rest(environment(), memory, lines, sources())


def measure(kept: Collection[object], only: Collection[str], quick: bool) -> Iterator[Record]:
    """Measure the records that are not kept yet, and yield them. `kept` has the identities of the kept records.

    If `only` is not empty, measure instead the types of records that it names: rest, start, compiled or errors.
    `quick` measures errors with a single seed, and start-up with a single process.
    """
    steps: dict[tuple[type[Record], str], Callable[[], Iterable[Record]]] = {
        (Rest, ""): lambda: [measure_rest()],
        (Start, COLD): lambda: measure_starts({COLD: 1 if quick else STARTS[COLD]}),
        (Start, CACHED): lambda: measure_starts({CACHED: 1 if quick else STARTS[CACHED]}),
        (Compiled, ""): lambda: [measure_compiled()],
        (Errors, ""): lambda: [measure_errors(1 if quick else SEEDS)],
    }
    for name, step in steps.items():
        if name[0].__name__.lower() in only or not (only or name in kept):
            yield from step()


def _python(code: str, *arguments: str, **variables: str) -> str:
    """Run code in a new Python process with these arguments and environment variables; return what it prints.

    A warning that another kernel takes the place of numba_simd is an error.
    """
    return output_of(sys.executable, "-W", "error::RuntimeWarning", "-c", code, *arguments, variables=variables)
