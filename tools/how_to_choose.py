"""Make docs/how-to-choose.md from store that are kept in docs/store.

``python docs/choosing.py measure`` measures what `compare` and `tune` have not: two threads, and first calls.
``python docs/choosing.py report`` writes the page.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from softmax_impls import implementations
from softmax_impls.choice import ranking
from softmax_impls.choice.answer import Answer, Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.ranking import Coverage, Ranked
from softmax_impls.choice.scaling import crossovers, exponents
from softmax_impls.choice.tradeoffs import calls_until_paid, front
from softmax_impls.cli.comparison import PICTURE
from softmax_impls.formatting import format_bytes, format_seconds
from softmax_impls.report.terminal import answers
from softmax_impls.results import store
from softmax_impls.results.frame import Loaded, load
from softmax_impls.timing import environment
from softmax_impls.timing.first_calls import first_calls

Row = dict[str, Any]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to-choose.md"
KEPT = ROOT / "docs" / "results"
RESULTS, THREADS = KEPT / store.FILE, KEPT / "threads" / store.FILE
STARTUP, RULE = KEPT / "startup.jsonl", KEPT / "rule.json"

EXACT, FASTEST, PLAIN, LOOP = "numba_simd", "numba_rows", "pivoted", "column_loop"
STARTED = (EXACT, FASTEST, "numba_pivoted", PLAIN, "closed_form_vecdot")
SHAPES = ((1, 1000, "float64"), (256, 1000, "float32"), (100, 20000, "float32"))
PAIRS = ((FASTEST, EXACT), ("numba_pivoted", EXACT), ("closed_form", PLAIN))
BATCH = (256, 1000, "float32")


def answer(loaded: Loaded, batch: int, dim: int, dtype: str, threads: int = 1, **limits: float) -> Answer:
    """Return what `softmax-impls choose` says from these store."""
    where = str(loaded.frame.machine.iloc[0])
    question = Question(batch, dim, dtype, threads, **limits)
    return choose(question, loaded.frame, loaded.unranked, where, implementations())


def covered(ranked: list[Ranked], name: str) -> Coverage:
    """Return how one does over all cells."""
    found = ranking.cover(ranked, name)
    assert found is not None  # it was timed in all
    return found


def worst_error(frame: pd.DataFrame, name: str, dtype: str) -> str:
    """Return the largest error of a row, on any inputs that were tried."""
    return f"{frame[(frame.implementation == name) & (frame.dtype == dtype)].error.max():.0e}"


def hurry(loaded: Loaded, ranked: list[Ranked], started: Mapping[str, Row]) -> Iterator[str]:
    """Yield the decision."""
    exact, fastest, plain = (covered(ranked, name) for name in (EXACT, FASTEST, PLAIN))
    error = worst_error(loaded.frame, EXACT, "float32"), worst_error(loaded.frame, FASTEST, "float32")
    loop = [one.times_best(LOOP) for one in ranked if one.times_best(LOOP) < math.inf]
    yield (
        f"1. **Call `softmax_backward(probs, grad_output)`.** It runs `{EXACT}`: right to {error[0]} in float32 on every "
        f"kind of row, and {exact.in_words()}."
    )
    yield (
        f'2. If rows are never saturated and only time counts, `impl="{FASTEST}"`: {fastest.in_words()}. Its worst error '
        f"on saturated rows is {error[1]}: they lose their gradient."
    )
    yield f'3. Without Numba, `impl="{PLAIN}"`, which "auto" picks there: as exact, {plain.in_words()}.'
    yield f"4. In a process that makes few calls, the same: {_paid(loaded, started)}"
    yield (
        f"5. Never the loop or a Jacobian: in the {len(loop)} cells where `{LOOP}` was timed, it took {min(loop):,.0f} to "
        f"{max(loop):,.0f} times as long as the fastest."
    )


def _paid(loaded: Loaded, started: Mapping[str, Row]) -> str:
    """Return when compiling has paid, at one shape."""
    times = answer(loaded, *BATCH).contenders
    cold, cached = (
        calls_until_paid(started[EXACT][kind] - started[PLAIN][kind], times[EXACT].seconds, times[PLAIN].seconds)
        for kind in ("cold", "cached")
    )
    batch, dim, dtype = BATCH
    return (
        f"the first call of `{EXACT}` takes {format_seconds(started[EXACT]['cold'])}, {format_seconds(started[EXACT]['cached'])} "
        f"once it is in Numba's cache; at {batch}×{dim} {dtype} that has paid after {cold:,.0f} calls, from the cache "
        f"after {cached:,.0f}."
    )


def asked(loaded: Loaded) -> Iterator[str]:
    """Yield what `choose` says about some shapes."""
    yield "```text"
    for batch, dim, dtype in SHAPES:
        found = answer(loaded, batch, dim, dtype)
        yield f"$ softmax-impls choose --batch {batch} --dim {dim} --dtype {dtype} --from docs/store/store.jsonl"
        yield from answers.sentences(found)
        yield f"{answers.code(found)}\n"
    yield "```"


def of_threads(ranked: list[Ranked], threaded: list[Ranked]) -> Iterator[str]:
    """Yield a table of winners in one thread and in several."""
    several = {one.cell.workload: one for one in threaded if one.cell.dtype == "float32"}
    number = threaded[0].cell.threads
    yield f"| workload, float32 | 1 thread | | {number} threads | |"
    yield "|---|---|---|---|---|"
    for one in ranked:
        other = several.get(one.cell.workload)
        if other and one.cell.dtype == "float32":
            cells = (f"{' = '.join(each.winners)} | {format_seconds(each.seconds)}" for each in (one, other))
            yield f"| {one.cell.workload} {one.cell.rows}×{one.cell.classes} | {' | '.join(cells)} |"


def of_memory(loaded: Loaded) -> Iterator[str]:
    """Yield who is beaten by no other, at one large shape."""
    batch, dim, dtype = BATCH
    found = answer(loaded, batch, dim, dtype)
    yield f"At {batch}×{dim} {dtype}, beaten by no other in time, error and memory alike:\n"
    yield "| implementation | × the fastest | worst error | temporaries |"
    yield "|---|---|---|---|"
    for name in front(found.contenders):
        one = found.contenders[name]
        times = found.standing.ratios[name].value if found.standing and name in found.standing.ratios else 1.0
        yield f"| `{name}` | {times:.2f} | {one.error:.0e} | {format_bytes(one.temporary_bytes)} |"
    takes = {name: one.temporary_bytes(batch, dim, np.dtype(dtype)) for name, one in implementations().items()}
    name = max(takes, key=takes.__getitem__)
    yield f"\nThe most is taken by `{name}`: {format_bytes(takes[name])}, which grow with the square of D."


def of_startup(started: Mapping[str, Row]) -> Iterator[str]:
    """Yield a table of first calls."""
    yield "| implementation | first call, compiled | from the cache |"
    yield "|---|---|---|"
    for name, row in started.items():
        yield f"| `{name}` | {format_seconds(row['cold'])} | {format_seconds(row['cached'])} |"


def of_size(loaded: Loaded) -> Iterator[str]:
    """Yield where one overtakes another, and exponents that theory would not expect."""
    yield "| along | at | dtype | up to there | beyond | size, and interval |"
    yield "|---|---|---|---|---|---|"
    for pair in PAIRS:
        for c in crossovers(loaded.frame, pair):
            where = f"{'dim' if c.along == 'batch' else 'batch'} {c.fixed}"
            size = f"{c.size:,.0f} ({c.low:,.0f} to {c.high:,.0f})"
            yield f"| {c.along} | {where} | {c.dtype} | `{c.before}` | `{c.after}` | {size} |"
    families = {name: one.family for name, one in implementations().items()}
    found = exponents(loaded.frame, families)
    off = [e for e in found if e.differs]
    yield (
        f"\nTime grows as a power of B and of D: with 1 and 1, Jacobians and the loop with 1 and 2. Of {len(found)} "
        f"exponents between the two largest sizes, {len(off)} are off by more than samples explain: below theory, the cost "
        f"of calls and rows still rules; above it, arrays leave a cache.\n"
    )
    yield "| implementation | dtype | along | sizes | measured | theory |"
    yield "|---|---|---|---|---|---|"
    for e in off:
        sizes = f"{e.sizes[0]} to {e.sizes[1]}"
        yield f"| `{e.implementation}` | {e.dtype} | {e.along} | {sizes} | {e.measured:.2f} ({e.low:.2f} to {e.high:.2f}) | {e.theory:g} |"


def of_rule(rule: Row) -> Iterator[str]:
    """Yield the rule that was made here, and what it costs to follow it."""
    yield "```text"
    for line in rule["rules"]:
        limits = ", ".join(
            f"{key.replace('_at_most', '')} at most {most}" for key, most in line.items() if key != "impl"
        )
        yield f"{line['impl']}: {limits or 'else'}"
    yield "```\n"
    r = rule["regret"]["unseen"]
    yield (
        f"On {r['cells']} cells of shapes that it was not made from, what it picks takes {r['median']:.2f} times the time of "
        f"the best in the median, {r['p95']:.2f} in the 95th percentile and {r['worst']:.2f} at worst."
    )


def page() -> str:
    """Return the page."""
    loaded = load([RESULTS])
    ranked, threaded = (ranking.rank_all(store.read(path)) for path in (RESULTS, THREADS))
    started = {row["implementation"]: row for row in map(json.loads, STARTUP.read_text().splitlines())}
    blocks = {
        "hurry": hurry(loaded, ranked, started),
        "asked": asked(loaded),
        "threads": of_threads(ranked, threaded),
        "memory": of_memory(loaded),
        "startup": of_startup(started),
        "size": of_size(loaded),
        "rule": of_rule(json.loads(RULE.read_text())),
        "machine": iter([f"All of it was measured on {loaded.frame.machine.iloc[0]}."]),
    }
    text = TEXT
    for name, lines in blocks.items():
        text = text.replace(f"<{name}>", "\n".join(lines))
    return text


TEXT = """# How to choose

Made by `python docs/choosing.py report` from store that are kept in [store](store).
<environment>
On another one, `softmax-impls compare` says what is so there, and `softmax-impls choose` what to use for a shape.

## In a hurry

<hurry>

## The map

![Map of the fastest implementation over batch and dim](store/winners.png)

## Ask

<asked>

From store it has, or between them; `--measure` measures the very cell, `--workload imagenet:0.7,64x5000:0.3` asks for a
mix of shapes, `--startup` adds what the first call costs. `--max-memory` and `--max-error` rule out.

## When the answer changes

### Threads

<threads>

Only `numba_simd` uses several threads; the others keep to one, whatever they are allowed.

### Memory and accuracy

<memory>

### Cold processes

<startup>

### Size

Where one overtakes the other; the interval is that of the medians on both sides:

<size>

## In a program

`softmax_backward(probs, grad_output)` follows a rule, which `explain(shape, dtype)` shows. `softmax-impls tune` makes one
from measurements on your environment, among those that are exact where rows saturate; `--any-accuracy` lets it pick others.
Here it made this one:

<rule>
"""


@click.group()
def main() -> None:
    """Measure and write docs/how-to-choose.md."""


@main.command()
def measure() -> None:
    """Measure several threads and first calls; `tune` and `compare` have to be run for the rest."""
    folder = str(THREADS.parent)
    command = ["-m", "softmax_impls", "compare", "--threads", "2", "--dtype", "float32", "--output", folder]
    named = ["--workload", "sample-1000,digits,imagenet,attention,bert,gpt2"]
    subprocess.run([sys.executable, *command, *named], check=True, cwd=ROOT)
    (THREADS.parent / PICTURE).unlink()
    batch, dim, dtype = BATCH
    rows = []
    with click.progressbar(STARTED, label="first calls", file=sys.stderr) as names:
        for name in names:
            cold, cached = first_calls(name, batch, dim, dtype)
            made = {"machine": environment.machine(), "python": platform.python_version()}
            rows.append({"implementation": name, "cold": cold, "cached": cached, **made})
    STARTUP.write_text("".join(json.dumps(row) + "\n" for row in rows))


@main.command()
def report() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
