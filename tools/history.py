"""Measure how reliable the comparison of commits is, by asv and by ``softmax-impls history``.

``python tools/history.py same`` measures the same code again and again, and ``timing`` times runs of asv from a fresh
clone. Both keep results in measurements/history.jsonl, and need ``pip install '.[compare,asv]'``. The functions
`timing_block` and `verdicts_block` return Markdown; cog puts it into docs/history.md.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import click
import kept
import msgspec
import numpy as np
from asv.commands.compare import _is_result_better
from asv_runner.statistics import compute_stats
from kept import ROOT
from markdown import paragraph, table
from processes import clone, output_of

from softmax_impls.results.slowdowns import SIZE_CLASSES, is_slower, read_commit, size_class
from softmax_impls.timing.environment import environment
from softmax_impls.timing.records import Environment

RESULTS = kept.MEASUREMENTS / "history.jsonl"
RUNS = 3  # of two rounds each, one after the other, that are joined to six rounds
SLOWDOWNS = [1 + step / 100 for step in range(2, 301)]
FOUND = 0.95  # share of the comparisons in which a slowdown must be found
ASV_FACTOR = 1.1  # the default of asv
BENCHMARKS = r"Workload.*(sample-10|digits|imagenet|attention)'|PublicCall"
(THRESHOLD,) = json.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))["regressions_thresholds"].values()

Samples = Sequence[float]
Pair = tuple[Samples, Samples]


class Where(msgspec.Struct, frozen=True, tag_field="kind", tag="environment"):
    """The environment in which ``tools/history.py same`` ran asv."""

    environment: Environment


class Times(msgspec.Struct, frozen=True, tag_field="kind", tag="times"):
    """The samples of a benchmark in one run, in seconds."""

    run: int
    benchmark: str
    params: tuple[str, ...]
    samples: tuple[float, ...]


class Durations(msgspec.Struct, frozen=True, tag_field="kind", tag="durations"):
    """Seconds of a quick and of a full run of asv, each from a fresh clone."""

    quick: float
    full: float


Record = Where | Times | Durations


def measure_same(times: int, benchmarks: str) -> Iterator[Record]:
    """Run asv several times in a clone, on the same commit, and yield the results."""
    asv = (sys.executable, "-m", "asv")
    with clone() as folder:
        output_of(*asv, "machine", "--yes", cwd=folder)
        commit = output_of("git", "rev-parse", "HEAD", cwd=folder).strip()
        yield Where(environment())
        options = ("--python=same", "--set-commit-hash", commit, "--record-samples", "--bench", benchmarks)
        with click.progressbar(range(times), label="measuring the same commit") as numbers:
            for number in numbers:
                output_of(*asv, "run", *options, cwd=folder)
                results = folder / ".asv" / "results"
                (recorded,), _ = read_commit(results, commit)
                for benchmark, samples in recorded.samples.items():
                    rounded = tuple(float(f"{sample:.4g}") for sample in samples)
                    yield Times(number, benchmark.name, benchmark.params, rounded)
                for file in results.glob(f"*/{commit[:8]}-*.json"):
                    file.unlink()


def measure_durations() -> Durations:
    """Time a quick and a full run of asv, each from a fresh clone and with a new environment."""
    with clone() as folder:
        python = str(folder.parent / "venv" / "bin" / "python")
        output_of(sys.executable, "-m", "venv", str(folder.parent / "venv"))
        output_of(python, "-m", "pip", "install", "-q", ".[asv]", cwd=folder)
        output_of(python, "-m", "asv", "machine", "--yes", cwd=folder)
        seconds = []
        for options in (("--quick",), ()):
            begin = time.perf_counter()
            output_of(python, "-m", "asv", "run", *options, cwd=folder)
            seconds.append(time.perf_counter() - begin)
            shutil.rmtree(folder / ".asv")
        return Durations(*seconds)


def is_slower_for_asv(before: Samples, after: Samples, factor: float = ASV_FACTOR) -> bool:
    """Whether `asv continuous` calls `after` slower than `before`, with `factor` as its threshold."""
    (_, a), (_, b) = compute_stats(before, 1), compute_stats(after, 1)
    return bool(_is_result_better(np.median(before), np.median(after), (a, before), (b, after), factor))


def is_regression(before: Samples, after: Samples) -> bool:
    """Whether `asv publish` can list `after` as a regression from `before`, with the threshold of asv.conf.json."""
    return is_slower_for_asv(before, after, 1 + THRESHOLD)


def pairs(records: Iterable[Record]) -> dict[str, list[Pair]]:
    """Return pairs of measurements of the same code, by the name of the size class.

    A measurement is the samples of a benchmark in six rounds. Each is paired with each other, in both orders.
    """
    by_benchmark: dict[tuple[str, tuple[str, ...]], list[Samples]] = {}
    for record in records:
        if isinstance(record, Times):
            by_benchmark.setdefault((record.benchmark, record.params), []).append(record.samples)
    found: dict[str, list[Pair]] = {size_class.name: [] for size_class in SIZE_CLASSES}
    for samples in by_benchmark.values():
        usual = float(np.median([np.median(values) for values in samples]))
        starts = range(0, len(samples) // RUNS * RUNS, RUNS)
        joined = [list(itertools.chain(*samples[start : start + RUNS])) for start in starts]
        found[size_class(usual).name] += itertools.permutations(joined, 2)
    return found


def smallest_found(found: Sequence[Pair]) -> float:
    """Return the smallest factor that `softmax-impls history` finds in 19 of 20 pairs, or inf.

    The samples of the second side of each pair are multiplied by the factor.
    """
    for slowdown in SLOWDOWNS:
        if np.mean([is_slower(a, [slowdown * sample for sample in b]) for a, b in found]) >= FOUND:
            return slowdown
    return math.inf


def timing_block() -> str:
    """Return a sentence about the duration of asv runs."""
    records = read()
    where = next(record.environment for record in records if isinstance(record, Where))
    took = next(record for record in records if isinstance(record, Durations))
    return paragraph(
        f"On {where.machine}, `asv run` took {took.full / 60:.1f} minutes and `asv run --quick` {took.quick:.0f} s, "
        "environment included."
    )


def verdicts_block() -> str:
    """Return a table of false alarms and of the slowdowns that are found."""
    records = read()
    times = len({record.run for record in records if isinstance(record, Times)}) // RUNS
    comparisons = times * (times - 1)
    found = pairs(records)
    everything = list(itertools.chain(*found.values()))
    headings = [
        "a call takes",
        "benchmarks",
        f"false alarms of asv, factor {ASV_FACTOR}",
        "false alarms of `softmax-impls history`",
        "its factor",
        "found 19 times of 20",
    ]
    rows = [
        (*_counts(kind.name, found[kind.name], comparisons), kind.factor, f"{smallest_found(found[kind.name]):.2f}")
        for kind in SIZE_CLASSES
        if found[kind.name]
    ]
    return (
        paragraph(
            f"The same code, {times} times six rounds, each compared with each other in both orders: {comparisons} "
            f"comparisons of {len(everything) // comparisons} benchmarks."
        )
        + table(headings, [*rows, (*_counts("all", everything, comparisons), "", "")])
        + paragraph(
            f"With a factor of {1 + THRESHOLD}, {_share(is_regression, everything)} of the results of asv are false "
            "alarms. asv.conf.json states it as `regressions_thresholds`, for the regressions that `asv publish` lists."
        )
    )


def _counts(name: str, found: Sequence[Pair], comparisons: int) -> tuple[object, ...]:
    return name, len(found) // comparisons, _share(is_slower_for_asv, found), _share(is_slower, found)


def _share(rule: Callable[[Samples, Samples], bool], found: Sequence[Pair]) -> str:
    return f"{np.mean([rule(a, b) for a, b in found]):.1%}"


def read() -> list[Record]:
    """Return the results that are kept."""
    return kept.read(RESULTS, Record)


def _keep(records: Iterable[Record], replaced: tuple[type, ...]) -> None:
    """Keep records in place of the kept records of the same types."""
    others = [record for record in read() if not isinstance(record, replaced)]
    kept.replace(RESULTS, itertools.chain(others, records))


@click.group()
def main() -> None:
    """Measure how reliable the comparison of commits is."""


@main.command()
@click.option("--times", default=21, show_default=True, help="Runs of two rounds each.")
@click.option("--bench", default=BENCHMARKS, help="Which benchmarks, as a regular expression.")
def same(times: int, bench: str) -> None:
    """Measure this commit against itself."""
    _keep(measure_same(times, bench), (Where, Times))


@main.command()
def timing() -> None:
    """Time a quick and a full run of asv, each from a fresh clone."""
    _keep([measure_durations()], (Durations,))


if __name__ == "__main__":
    main()
