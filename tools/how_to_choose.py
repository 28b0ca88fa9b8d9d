"""Make the blocks of docs/how-to-choose.md from measurements/, and measure what `softmax-impls compare` does not.

``python tools/how_to_choose.py`` measures two threads and first calls. The functions without arguments return Markdown;
cog puts it into the page.
"""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path

import click
import kept
import msgspec
import numpy as np
from kept import MEASUREMENTS
from markdown import paragraph, table, terminal
from processes import output_of

from softmax_impls import implementations
from softmax_impls.choice.answer import Answer, Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.coverage import Coverage, cover
from softmax_impls.choice.fleet import at_cells, by_kind, summary
from softmax_impls.choice.ranking import Ranked, RankedRun, rank_run
from softmax_impls.choice.scaling import crossovers, exponents
from softmax_impls.choice.tradeoffs import calls_until_paid, front
from softmax_impls.formatting import format_bytes, format_seconds
from softmax_impls.report.terminal import answers
from softmax_impls.timing import environment
from softmax_impls.timing.first_calls import first_calls as measure_first_calls
from softmax_impls.timing.workloads import GRID

RESULTS = MEASUREMENTS / "results.jsonl"
THREADS = MEASUREMENTS / "threads" / "results.jsonl"
FIRST_CALLS = MEASUREMENTS / "first_calls.jsonl"
KINDS = MEASUREMENTS / "kinds"  # a file for each other kind of machine, from `softmax-impls compare` there

ACCURATE, FASTEST, PLAIN, LOOP = "numba_simd", "numba_rows", "pivoted", "column_loop"
COVERED = (ACCURATE, FASTEST, "numba_pivoted", PLAIN)
STARTED = (ACCURATE, FASTEST, "numba_pivoted", PLAIN, "closed_form_vecdot")
BATCH, DIM, DTYPE = 256, 1000, "float32"  # the shape of tables that show a single shape
ASKED = ((256, 1000, "float32"), (100, 20000, "float32"))  # measured, and predicted
CROSSING = (FASTEST, ACCURATE)
EXAMPLE = (4096, 512)  # float64: the shape for which temporary memory is stated
ACCURACY = {"logits": "the gradient", "probs": "the formula"}


class FirstCall(msgspec.Struct, frozen=True):
    """Seconds of the first call in a new process: with an empty cache, and with what another process compiled."""

    implementation: str
    compiled_seconds: float
    cached_seconds: float
    machine: str


@functools.cache
def measured(path: Path = RESULTS) -> RankedRun:
    """Return the cells of a results file, ranked."""
    return rank_run(kept.load(path)[0])


def named(path: Path = RESULTS, dtype: str = DTYPE) -> list[Ranked]:
    """Return the cells of named workloads with one dtype."""
    return [cell for cell in measured(path).cells if cell.key.workload != GRID and cell.key.dtype == dtype]


def coverage(name: str) -> Coverage:
    """Return the times of an implementation relative to the fastest, over all cells in which it was timed."""
    found = cover([cell for cell in measured().cells if cell.ratio(name)], name)
    if found is None:
        raise SystemExit(f"{name} was timed in no cell of {RESULTS}")
    return found


def worst_error(name: str, dtype: str) -> float:
    """Return the largest error of a row over all kinds of input."""
    return max(cell.kernels[name].error for cell in measured().cells if cell.key.dtype == dtype)


def ask(batch: int, dim: int, dtype: str) -> Answer:
    """Return what `softmax-impls choose` answers from these results."""
    run = measured()
    return choose(Question(batch, dim, dtype), [run], run.run.machine, implementations())


def machine() -> str:
    """Return the machine of the results as a sentence."""
    return paragraph(f"Measured on {measured().run.machine}.")


def overview() -> str:
    """Return a table of some implementations: their times relative to the fastest kernel, and their worst errors.

    A sentence below the table states the times of the original program's loop.
    """
    rows = []
    for name in COVERED:
        found = coverage(name)
        errors = " / ".join(f"{worst_error(name, dtype):.0e}" for dtype in ("float32", "float64"))
        fastest = f"{found.fastest_in} of {found.cells} cells"
        rows.append((f"`{name}`", fastest, f"{found.mean:.2f}x", f"{found.worst:.2f}x ({found.worst_cell})", errors))
    times = [cell.times_best(LOOP) for cell in measured().cells if cell.times_best(LOOP) < math.inf]
    headings = ("implementation", "fastest or tied", "time on average", "at worst", "worst error, float32 / float64")
    return table(headings, rows) + paragraph(
        f"The loop of the original program (`{LOOP}`) takes {min(times):,.0f} to {max(times):,.0f} times as long as "
        f"the fastest kernel in the {len(times)} cells where it was timed."
    )


def listing() -> str:
    """Return a table of the implementations that were measured."""
    measured_names = measured().cells[0].kernels
    rows = []
    for name, implementation in implementations().items():
        if name in measured_names:
            memory = format_bytes(implementation.temporary_bytes(*EXAMPLE, np.dtype(np.float64)))
            rows.append((f"`{name}`", implementation.summary, ACCURACY[implementation.accurate_for], memory))
    return table(("name", "description", "accurate for", "temporary memory"), rows) + paragraph(
        "*The formula*: right for the rounded probabilities that the kernel is given. *The gradient*: right for the "
        "gradient with respect to the logits, also on saturated rows. Temporary memory is that of a call at "
        f"{EXAMPLE[0]}×{EXAMPLE[1]} in float64."
    )


def examples() -> str:
    """Return what `choose` prints for some shapes."""
    lines = []
    for batch, dim, dtype in ASKED:
        answer = ask(batch, dim, dtype)
        shape = f"--batch {batch} --dim {dim} --dtype {dtype} --threads 1"
        lines += [f"$ softmax-impls choose {shape} --from measurements/results.jsonl"]
        lines += [*answers.sentences(answer), answer.usage.line if answer.usage else "", ""]
    return terminal(lines[:-1])


def threads() -> str:
    """Return a table of the fastest kernels in one thread and in several."""
    several = {cell.key.workload: cell for cell in named(THREADS)}
    number = next(iter(several.values())).key.threads
    rows = []
    for cell in named():
        if other := several.get(cell.key.workload):
            shape = f"{cell.key.workload} {cell.key.batch}×{cell.key.dim}"
            rows.append((shape, *_fastest(cell), *_fastest(other)))
    return table((f"workload, {DTYPE}", "fastest, 1 thread", "time", f"fastest, {number} threads", "time"), rows)


def pareto_front() -> str:
    """Return a table of the kernels that no other kernel beats in time, error and memory, at one shape."""
    answer = ask(BATCH, DIM, DTYPE)
    front_candidates = [answer.candidates[name] for name in front(answer.candidates)]
    rows = [
        (f"`{c.name}`", f"{answer.ratio(c.name).value:.2f}x", f"{c.error:.0e}", format_bytes(c.temporary_bytes))
        for c in front_candidates
    ]
    takes = {n: found.temporary_bytes(BATCH, DIM, np.dtype(DTYPE)) for n, found in implementations().items()}
    most = max(takes, key=takes.__getitem__)
    return table((f"{BATCH}×{DIM} {DTYPE}", "time", "worst error", "temporary memory"), rows) + paragraph(
        f"`{most}` takes the most temporary memory there: {format_bytes(takes[most])}."
    )


def first_calls() -> str:
    """Return a table of first calls, and the number of calls after which compiling has saved time."""
    found: dict[str, FirstCall] = {call.implementation: call for call in kept.read(FIRST_CALLS, FirstCall)}
    rows = [
        (f"`{name}`", format_seconds(call.compiled_seconds), format_seconds(call.cached_seconds))
        for name, call in found.items()
    ]
    times = ask(BATCH, DIM, DTYPE).candidates
    compiled, cached = (
        calls_until_paid(fast - plain, times[ACCURATE].seconds, times[PLAIN].seconds)
        for fast, plain in (
            (found[ACCURATE].compiled_seconds, found[PLAIN].compiled_seconds),
            (found[ACCURATE].cached_seconds, found[PLAIN].cached_seconds),
        )
    )
    return table(("implementation", "first call, compiled", "from the cache"), rows) + paragraph(
        f"At {BATCH}×{DIM} {DTYPE}, it takes {compiled:,.0f} calls until `{ACCURATE}`, including its compilation, is "
        f"faster in total than `{PLAIN}`. If it is loaded from the cache, it takes {cached:,.0f} calls."
    )


def sizes() -> str:
    """Return a table of the sizes from which one implementation is faster than another.

    Sentences below the table state how time grows with batch and dim, as measured exponents and in theory.
    """
    run = measured()
    rows = [
        (
            f"{'dim' if c.along == 'batch' else 'batch'} {c.fixed}, {c.dtype}",
            c.along,
            f"`{c.before}`",
            f"`{c.after}`",
            f"{c.size:,.0f} ({c.low:,.0f} to {c.high:,.0f})",
        )
        for c in crossovers(run, CROSSING)
    ]
    found = exponents(run, {name: implementation.family for name, implementation in implementations().items()})
    return table(("fixed", "varied", "faster below", "faster above", "size, and interval"), rows) + paragraph(
        "In theory, time is proportional to B and to D; the time of the loop and the Jacobians is proportional to D². "
        f"Of {len(found)} exponents measured between the two largest sizes, {sum(e.differs for e in found)} differ "
        "from theory by more than the noise. They are smaller where the fixed cost of a call or a row still matters, "
        "and larger where arrays no longer fit a cache."
    )


def kinds() -> str:
    """Return, as a list, which implementations serve all measured kinds of machines, in how many cells.

    It serves a kind if it takes at most 1.1x the fastest time. The list also has the cells where none serves all kinds.
    """
    runs = [rank_run(run) for run in kept.load(RESULTS, *sorted(KINDS.glob("*.jsonl")))]
    names = list(by_kind(runs))
    if len(names) == 1:
        return paragraph(f"The results on this page are from one kind of machine: {names[0]}.")
    lines = (f"\n- {line}" for line in summary(at_cells(runs)))
    return paragraph(f"Measured on {'; '.join(names)}.") + "".join(lines) + "\n"


def _fastest(cell: Ranked) -> tuple[str, str]:
    return " = ".join(cell.winners), format_seconds(cell.seconds)


@click.command()
def main() -> None:
    """Run `softmax-impls compare` on two threads, which takes 60 s, and measure first calls in new processes."""
    folder = str(THREADS.parent)
    command = [sys.executable, "-m", "softmax_impls", "compare", "--threads", "2", "--dtype", DTYPE, "--output", folder]
    workloads = "sample-1000,digits,router,imagenet,attention,bert,gpt2"
    output_of(*command, "--workload", workloads)
    for picture in THREADS.parent.glob("*.png"):
        picture.unlink()
    where = environment.environment().machine
    with click.progressbar(STARTED, label="first calls", file=sys.stderr) as names:
        calls = (FirstCall(name, *measure_first_calls(name, BATCH, DIM, DTYPE), where) for name in names)
        kept.replace(FIRST_CALLS, calls)


if __name__ == "__main__":
    main()
