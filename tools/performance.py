"""Measure "auto" against the other libraries, the source's loop and the environment's limit; write docs/performance.md.

``python docs/performance.py`` takes a quarter of an hour and keeps the raw results; ``--report`` only writes the page
from those that are kept. The peers have to be installed: ``pip install '.[compare,peers]'``, with CPU builds.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from softmax_impls import softmax_backward
from softmax_impls.checks import gate, inputs, verdict
from softmax_impls.formatting import format_seconds
from softmax_impls.implementation import LARGEST_TEMPORARIES, Array, BoundCall, Implementation
from softmax_impls.registry import catalogue, get
from softmax_impls.simd.sizes import NONTEMPORAL_FROM
from softmax_impls.threads import available_cores
from softmax_impls.timing import environment, sampler, workloads
from softmax_impls.timing.roofline import YARDSTICK
from softmax_impls.timing.session import FIRST_SHAPES
from softmax_impls.timing.statistics import Ratio, paired_ratio
from softmax_impls.timing.workloads import CUSTOM, GRID, WORKLOADS, Cell

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "performance.jsonl"
PAGE = ROOT / "docs" / "performance.md"
DTYPES = ("float32", "float64")
TOUCHED = 8  # arrays as large as the largest cell's: three of its own, and what allocating calls return
LOOP = Cell(CUSTOM, 128, 1000, "float64", 1)  # where the source's loop takes part
FEWEST_ROUNDS, MOST_ROUNDS = 7, 60
UNTOLD = 5.0  # times its lower end: an interval that wide tells nothing
SEEDS = range(10)  # of the inputs that errors are measured on
OURS, OURS_PLAIN, LIMIT = "auto", "auto (plain)", "limit"
BEYOND = NONTEMPORAL_FROM  # bytes moved that are more than the last-level cache holds

Row = dict[str, Any]


def _public(probs: Array, grad_output: Array, out: Array | None) -> BoundCall:
    # Each as it costs least: functools.partial is quicker than a lambda, but not with keywords.
    if out is None:
        return functools.partial(softmax_backward, probs, grad_output), lambda result: result
    return lambda: softmax_backward(probs, grad_output, out=out), lambda result: result


def _plain(one: Implementation) -> Implementation:
    """Return the same without `out`: the call that allocates its result."""
    return replace(one, name=f"{one.name} (plain)", bind=lambda probs, grad, out: one.bind_call(probs, grad, None))


def contestants() -> tuple[list[Implementation], dict[str, Implementation], dict[str, str]]:
    """Return all that is timed; and those whose errors are shown; and what is missing, with why."""
    usable, missing = catalogue(peers=True)
    peers = {name: one for name, one in usable.items() if one.family == "peer"}
    auto = Implementation(OURS, get("numba_simd").kernel, "softmax_backward(probs, grad_output, out=out)", bind=_public)
    timed = [auto, _plain(auto)]
    for one in peers.values():
        timed += [one] if one.allocates else [one, _plain(one)]
    judged = {"numba_simd": get("numba_simd"), **peers}
    return timed, judged, {name: why for name, why in missing.items() if name not in usable}


def cells() -> list[Cell]:
    """Return the workloads and the grid, in both dtypes, on one thread and on two if there are as many processors."""
    shapes = [*WORKLOADS.values(), *workloads.grid()]
    threads = [1, 2] if available_cores() > 1 else [1]
    return [LOOP, *(Cell(one.name, one.rows, one.classes, d, n) for n in threads for one in shapes for d in DTYPES)]


def measure(budget: float) -> Iterator[Row]:
    """Yield a row for each cell and contestant."""
    timed, judged, _ = contestants()
    yield {"machine": environment.machine(), "versions": environment.versions(), "commit": environment.commit()}
    yield from rest(judged)
    yield from times(cells(), timed, budget)


def times(todo: Sequence[Cell], timed: Sequence[Implementation], budget: float) -> Iterator[Row]:
    """Yield the samples of each cell and contestant, once all are compiled."""
    for one, dtype, shape in itertools.product([*timed, YARDSTICK], DTYPES, FIRST_SHAPES):
        probs = np.full(shape, 1 / shape[1], dtype)
        one.bind_call(probs, probs, np.empty_like(probs))[0]()
    # Once, all the memory that there is going to be: a virtual environment is given it at the first touch, 20 times as slowly.
    largest = max(cell.elements * np.dtype(cell.dtype).itemsize for cell in todo)
    touched = [np.ones(largest, np.uint8) for _ in range(TOUCHED)]
    del touched
    with click.progressbar(todo, label="measuring", item_show_func=lambda cell: str(cell or "")) as bar:
        for cell in bar:
            taking_part = [*timed, get("column_loop")] if cell == LOOP else timed
            with environment.limit_all_threads(cell.threads), np.errstate(all="ignore"):
                held = {one.name: one.set_num_threads(cell.threads) for one in taking_part if one.set_num_threads}
                if wrong := {name: n for name, n in held.items() if n != cell.threads}:
                    raise SystemExit(f"{cell}: these run in another number of threads: {wrong}")
                seconds = budget / len(todo)
                most = LARGEST_TEMPORARIES
                entries = sampler.measure(cell, taking_part, seconds, most, 0, FEWEST_ROUNDS, MOST_ROUNDS)
            for entry in entries:
                yield {
                    "workload": cell.workload,
                    "batch": cell.rows,
                    "dim": cell.classes,
                    "dtype": cell.dtype,
                    "threads": cell.threads,
                    "name": f"{entry.one.name} (control)" if entry.control else entry.one.name,
                    "status": entry.status,
                    "note": entry.note,
                    "samples": [float(f"{sample:.5g}") for sample in entry.samples],
                }


def errors(judged: Mapping[str, Implementation]) -> dict[str, dict[str, float]]:
    """Return the worst norm-wise error of a row against the logits' gradient, over every family of inputs."""
    found: dict[str, dict[str, float]] = {name: {} for name in judged}
    rows = 0
    for seed in SEEDS:
        for dtype in DTYPES:
            for case in inputs.cases(dtype, seed):
                rows += len(case.probs)
                for name, one in judged.items():
                    if case.probs.size:
                        note = verdict.Verdict(name, "logits")
                        note.note_error(
                            case, case.kind, *gate.logits_error(case, gate.run(one, case.probs, case.grad_output))
                        )
                        for kind, error in note.errors.get(dtype, {}).items():
                            key = f"{dtype} {kind}"
                            found[name][key] = max(found[name].get(key, 0.0), error)
    return {name: {"rows": rows // 2, **worst} for name, worst in found.items()}


STARTING = """
import json, sys, time
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
told = {"numpy": numpy - begin, "import": imported - numpy, "first": first - imported, "shared": shared - first}
print(json.dumps(told))
"""

CALLING = """
import resource, sys
import numpy as np
from softmax_impls import softmax_backward
softmax_backward(*[np.full((300, 500), 0.002)] * 2)
probs, grad, out = (np.full((512, 50257), 1 / 50257) for _ in range(3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
softmax_backward(probs, grad, out=out if sys.argv[1] == "out" else None)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def starting() -> Row:
    """Measure, in new processes, imports and first calls, cold and from a cache, and the memory that a large call takes."""
    found: Row = {}
    with tempfile.TemporaryDirectory() as cache:
        for kind in ("cold", "cached", "cached"):
            found[kind] = json.loads(_run(STARTING, NUMBA_CACHE_DIR=cache))
    return {"starting": found, "memory": {how: int(_run(CALLING, how)) for how in ("out", "plain")}}


def rest(judged: Mapping[str, Implementation]) -> Iterator[Row]:
    """Yield what there is besides times."""
    yield starting()
    yield from ({"errors": name, **worst} for name, worst in errors(judged).items())


def _run(code: str, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Measured:
    """The samples of one cell, by name."""

    cell: Cell
    samples: Mapping[str, Sequence[float]]

    def ratio(self, one: str, other: str) -> Ratio:
        """Return the time of one over that of the other."""
        return paired_ratio(self.samples[one], self.samples[other])

    @property
    def best_peer(self) -> str:
        """The fastest peer, with `out` or without."""
        peers = [name for name in self.samples if name not in (OURS, OURS_PLAIN, LIMIT, "column_loop")]
        return min(peers, key=lambda name: float(np.median(self.samples[name])))


def read(path: Path) -> tuple[Row, dict[str, Row], list[Measured]]:
    """Return where it was measured, the errors, and the cells."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found: dict[Cell, dict[str, Sequence[float]]] = {}
    for row in rows:
        if row.get("samples") and not row["name"].endswith("(control)"):
            found.setdefault(_cell(row), {})[row["name"]] = row["samples"]
    where = next(row for row in rows if "machine" in row) | next(row for row in rows if "starting" in row)
    told = {row["errors"]: row for row in rows if "errors" in row}
    return where, told, [Measured(cell, samples) for cell, samples in found.items()]


def _cell(row: Row) -> Cell:
    return Cell(row["workload"], row["batch"], row["dim"], row["dtype"], row["threads"])


def page(where: Row, told: Mapping[str, Row], measured: Sequence[Measured]) -> str:
    """Return docs/performance.md."""
    table = [one for one in measured if one.cell != LOOP]
    beyond = [one for one in table if one.cell.moved_bytes > BEYOND]
    against_peers = [(one.ratio(one.best_peer, OURS), one) for one in table]
    plain = [(one.ratio("torch (plain)", OURS_PLAIN), one) for one in table]
    share = [(one.ratio(LIMIT, OURS), one) for one in beyond]
    call = next(one for one in table if (one.cell.rows, one.cell.classes, one.cell.dtype) == (1, 10, "float64"))
    loop = next(one for one in measured if one.cell == LOOP)
    ours = told["numba_simd"]
    worst = {dtype: max(v for key, v in ours.items() if key.startswith(dtype)) for dtype in DTYPES}
    geometric = math.exp(sum(math.log(ratio.value) for ratio, _ in against_peers) / len(against_peers))
    median = float(np.median([ratio.value for ratio, _ in share]))
    at_1x10, faster = call.ratio("torch (plain)", OURS_PLAIN), loop.ratio("column_loop", OURS).value
    where_told = where["machine"]
    lines = [
        "# Performance",
        "",
        "Made by `python docs/performance.py` from [raw results](results/performance.jsonl) that are kept; nothing here is",
        f"typed by hand. Machine: {where_told['cpu']}, {where_told['cores']} cores, {where_told['system']}; "
        + ", ".join(f"{name} {version}" for name, version in where["versions"].items())
        + ".",
        "",
        "Ratios are formed within rounds in which all take part, in random order; the median, and a 95 % interval. More than",
        '1: "auto" is faster. The best peer of a cell is the fastest of torch, torch.compile, JAX and numexpr there, with',
        "`out` or allocating, whichever is faster. All are held to the same number of threads, read back.",
        "",
        "What was aimed at, and what came of it:",
        "",
        "| | must | aim | measured | |",
        "|---|---|---|---|---|",
        _goal(
            "`softmax_backward(…, out=out)` against the best peer, worst cell",
            1.0,
            1.1,
            *_worst(against_peers, 1.0),
        ),
        _goal("… geometric mean over cells", 1.25, 1.5, geometric, f"{geometric:.2f}"),
        _goal("`softmax_backward(…)` against torch's allocating call, worst cell", 1.0, 1.5, *_worst(plain, 1.0)),
        _goal(
            "share of the streaming limit, worst of the cells beyond the last-level cache",
            0.8,
            0.9,
            *_worst(share, 0.8),
        ),
        _goal("… their median", 0.8, 0.9, median, f"{median:.2f}"),
        _goal(
            "`softmax_backward(…)` at 1×10 float64 against torch's bare call", 1.0, 1.3, at_1x10.value, _told(at_1x10)
        ),
        _goal("against the source's loop, 128×1000 float64", 2000, 4000, faster, f"{faster:,.0f}"),
        _goal(
            f"worst error, float32, of {ours['rows']:,} rows",
            1e-6,
            2.4e-7,
            worst["float32"],
            f"{worst['float32']:.1e}",
            most=True,
        ),
        _goal(
            f"worst error, float64, of {ours['rows']:,} rows",
            2e-15,
            4.4e-16,
            worst["float64"],
            f"{worst['float64']:.1e}",
            most=True,
        ),
        "",
        "## Errors",
        "",
        "The worst row's error relative to its largest gradient with respect to the logits, over every family of inputs that",
        "`softmax-impls check` has:",
        "",
        "| | " + " | ".join(f"{d} {k}" for d in DTYPES for k in ("ordinary", "saturated")) + " |",
        "|---|" + "---|" * 4,
        *(
            f"| {name} | "
            + " | ".join(f"{row[f'{d} {k}']:.1e}" for d in DTYPES for k in ("ordinary", "saturated"))
            + " |"
            for name, row in told.items()
        ),
        "",
        "## Starting",
        "",
        "Seconds in a new process; the first calls compile, or load what was compiled before. A call that is large enough to be",
        "shared among threads compiles once more.",
        "",
        "| | import numpy | import softmax_impls | first call, 1×10 | first shared call, 300×500 |",
        "|---|---|---|---|---|",
        *(
            f"| {kind} | {t['numpy']:.2f} | {t['import']:.2f} | {t['first']:.2f} | {t['shared']:.2f} |"
            for kind, t in where["starting"].items()
        ),
        "",
        f"A call at 512×50257 float64, whose result takes {512 * 50257 * 8 / 1e6:.0f} MB, raises the process's peak memory by "
        f"{where['memory']['out'] / 1e6:.1f} MB with `out` and by {where['memory']['plain'] / 1e6:.0f} MB without.",
        "",
        "## Cells",
        "",
        "| batch×dim | dtype | threads | auto | best peer | its time ÷ auto's | plain: torch's ÷ auto's | share of limit |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(one) for one in sorted(table, key=lambda one: (one.cell.threads, one.cell.elements, one.cell.dtype))),
    ]
    return "\n".join(lines) + "\n"


def _line(one: Measured) -> str:
    cell, peer = one.cell, one.best_peer
    name = "" if cell.workload == GRID else f" ({cell.workload})"
    return (
        f"| {cell.rows}×{cell.classes}{name} | {cell.dtype} | {cell.threads} | {format_seconds(float(np.median(one.samples[OURS])))} "
        f"| {peer} | {_told(one.ratio(peer, OURS))} | {_told(one.ratio('torch (plain)', OURS_PLAIN))} "
        f"| {one.ratio(LIMIT, OURS).value:.2f} |"
    )


def _told(ratio: Ratio) -> str:
    if ratio.high > UNTOLD * ratio.low:
        return f"{ratio.value:.2f} (too few rounds for an interval)"
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _worst(found: Sequence[tuple[Ratio, Measured]], must: float) -> tuple[float, str]:
    """Return the smallest ratio; and told with where that was, and how many are surely less than they must be."""
    ratio, one = min(found, key=lambda pair: pair[0].value)
    less = sum(other.high < must for other, _ in found)
    return ratio.value, f"{_told(ratio)}, {one.cell}; surely less than {must:g} in {less} of {len(found)} cells"


def _goal(what: str, must: float, aim: float, value: float, told: str, most: bool = False) -> str:
    """Return a row that says whether a value is at least, or at most, what it must be and what was aimed at."""
    reached = [value <= goal if most else value >= goal for goal in (must, aim)]
    verdict = "aim reached" if all(reached) else "reached" if reached[0] else "**missed**"
    return f"| {what} | {must:,g} | {aim:,g} | {told} | {verdict} |"


def _write(rows: Iterable[Row]) -> None:
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    RESULTS.write_text(text, encoding="utf-8")


@click.command()
@click.option("--budget", default=700.0, show_default=True, help="Seconds for the timing, shared by the cells.")
@click.option("--report", "only_report", is_flag=True, help="Write the page from the results that are kept.")
@click.option("--rest", "only_rest", is_flag=True, help="Measure all but the times: errors, first calls, memory.")
@click.option("--again", metavar="TEXT", multiple=True, help="Measure the cells again that have this in their name.")
def main(budget: float, only_report: bool, only_rest: bool, again: tuple[str, ...]) -> None:
    """Measure, keep the results, and write docs/performance.md."""
    kept = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []
    if again:
        chosen = [cell for cell in cells() if any(text in f"{cell}, {cell.threads}" for text in again)]
        kept = [row for row in kept if "name" not in row or _cell(row) not in chosen]
        _write([*kept, *times(chosen, contestants()[0], budget)])
    elif only_rest:
        kept = [row for row in kept if not {"starting", "errors"} & row.keys()]
        _write([kept[0], *rest(contestants()[1]), *kept[1:]])
    elif not only_report:
        _, _, missing = contestants()
        if missing:
            raise SystemExit("not installed: " + "; ".join(f"{name}: {why}" for name, why in missing.items()))
        _write(measure(budget))
    PAGE.write_text(page(*read(RESULTS)), encoding="utf-8")
    click.echo(PAGE.read_text(encoding="utf-8").partition("## Cells")[0])


if __name__ == "__main__":
    main()
