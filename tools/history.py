"""What asv's history is worth: how often it cries wolf, what it can't hear, how long it takes; and a surer verdict.

``python docs/history.py verdict HEAD~1 HEAD`` says what a commit made slower, from samples that asv recorded of both.
``same`` measures this code against itself, ``timing`` times runs from a fresh clone, and ``report`` writes the figures
in docs/history.md from the results that are kept. All need ``pip install '.[compare,asv]'``.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from asv.commands.compare import _is_result_better
from asv.results import Results
from asv_runner.statistics import compute_stats
from blocks import replaced

from softmax_impls.timing import environment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "history.jsonl"
PAGE = ROOT / "docs" / "history.md"
RUNS = 3  # of asv's two rounds, one after the other, that are taken as one run of six
SLOWDOWNS = [1 + step / 100 for step in range(2, 301)]
FOUND = 0.95  # how often a slowdown is to be found
# Calls of up to so many seconds, and how many times as long their fastest sample has to be to count as slower: for one
# false alarm in 100 at most. Beyond the caches, a virtual environment's neighbours take part in every sample.
FACTORS = {
    "up to 10 µs": (1e-5, 1.3),
    "10 to 100 µs": (1e-4, 1.3),
    "100 µs to 1 ms": (1e-3, 1.3),
    "longer": (math.inf, 1.5),
}
(THRESHOLD,) = json.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))["regressions_thresholds"].values()
ASV_FACTOR = 1.1  # what asv takes if it isn't told
BENCHMARKS = r"Workload.*(sample-10|digits|imagenet|attention)'|PublicCall"

Row = dict[str, Any]
Samples = list[float]
Pair = tuple[Samples, Samples]


def run(*command: str, cwd: Path) -> str:
    """Run a command, and return what it printed; if it fails, that is the message."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def same(times: int, benchmarks: str) -> Iterator[Row]:
    """Yield the results of as many runs of asv in a clone, all of the same code, one after the other."""
    asv = (sys.executable, "-m", "asv")
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        run("git", "clone", "-q", str(ROOT), str(clone), cwd=ROOT)
        run(*asv, "machine", "--yes", cwd=clone)
        commit = run("git", "rev-parse", "HEAD", cwd=clone).strip()
        yield {"machine": environment.machine(), "versions": environment.versions(), "commit": commit}
        ours = (*asv, "run", "--python=same", "--set-commit-hash", commit, "--record-samples", "--bench", benchmarks)
        with click.progressbar(range(times), label="the same code again") as bar:
            for number in bar:
                run(*ours, cwd=clone)
                (file,) = (clone / ".asv" / "results").glob("*/*existing*.json")
                yield from ({"run": number, **row} for row in cells_of(file))
                file.unlink()


def cells_of(file: Path) -> Iterator[Row]:
    """Yield a row for each cell that was timed, from a file of asv's results."""
    results = Results.load(str(file))
    for name in sorted(results.get_all_result_keys()):
        params = results.get_result_params(name)
        values, stats, samples = (
            get(name, params)
            for get in (results.get_result_value, results.get_result_stats, results.get_result_samples)
        )
        for cell, seconds, told, taken in zip(itertools.product(*params), values, stats, samples, strict=True):
            if seconds is not None and not math.isnan(seconds) and told:
                yield {
                    "benchmark": name,
                    "cell": [one.strip("'") for one in cell],
                    "seconds": seconds,
                    "low": told["ci_99_a"],
                    "high": told["ci_99_b"],
                    "samples": [float(f"{sample:.4g}") for sample in taken or ()],
                }


def factor_for(seconds: float) -> float:
    """Return how many times as long a call of so many seconds has to take to count as slower."""
    return next(factor for most, factor in FACTORS.values() if seconds <= most)


def slower(before: Samples, after: Samples) -> bool:
    """Whether the fastest sample has become slower than chance makes it.

    What disturbs a environment makes samples longer, for seconds on end: that moves the median of all that were taken
    meanwhile, but not the fastest of several rounds.
    """
    return min(after) > factor_for(min(before)) * min(before)


def slower_by_asv(before: Samples, after: Samples, factor: float = ASV_FACTOR) -> bool:
    """Whether `asv continuous` calls it slower."""
    (_, a), (_, b) = compute_stats(before, 1), compute_stats(after, 1)
    return bool(_is_result_better(np.median(before), np.median(after), (a, before), (b, after), factor))


def slower_by_threshold(before: Samples, after: Samples) -> bool:
    """Whether it could be one of the regressions that `asv publish` lists."""
    return slower_by_asv(before, after, 1 + THRESHOLD)


def pairs(rows: Sequence[Row]) -> dict[str, list[Pair]]:
    """Return what each benchmark took in every two times of six rounds, in both orders, by how long it takes."""
    cells: dict[str, list[Row]] = {}
    for row in rows:
        cells.setdefault(f"{row['benchmark']} {row['cell']}", []).append(row)
    found: dict[str, list[Pair]] = {name: [] for name in FACTORS}
    for told in cells.values():
        usual = float(np.median([row["seconds"] for row in told]))
        name = next(name for name, (most, _) in FACTORS.items() if usual <= most)
        taken = [row["samples"] for row in told]
        starts = range(0, len(taken) // RUNS * RUNS, RUNS)
        times = [list(itertools.chain(*taken[start : start + RUNS])) for start in starts]
        found[name] += itertools.permutations(times, 2)
    return found


def detected(found: Sequence[Pair]) -> float:
    """Return the smallest slowdown that is found 19 times of 20, in results that are made so much longer."""
    for slowdown in SLOWDOWNS:
        if np.mean([slower(a, [slowdown * sample for sample in b]) for a, b in found]) >= FOUND:
            return slowdown
    return math.inf


def recorded(commit: str) -> dict[str, Samples]:
    """Return the samples of each benchmark that asv has of a commit here."""
    full = run("git", "rev-parse", commit, cwd=ROOT).strip()
    files = sorted((ROOT / ".asv" / "results").glob(f"*/{full[:8]}-*.json"))
    if not files:
        raise click.UsageError(f"asv has no results of {commit}: asv run --record-samples -a rounds=6 {commit}^!")
    rows = itertools.chain.from_iterable(map(cells_of, files))
    found = {" ".join((row["benchmark"], *row["cell"])): row["samples"] for row in rows}
    if not any(found.values()):
        raise click.UsageError(f"asv has recorded no samples of {commit}: give it --record-samples")
    return {name: samples for name, samples in found.items() if samples}


def timing() -> Row:
    """Return what runs of asv take that begin with a fresh clone and a new environment."""
    with tempfile.TemporaryDirectory() as folder:
        clone, python = Path(folder) / "clone", str(Path(folder) / "venv" / "bin" / "python")
        run("git", "clone", "-q", str(ROOT), str(clone), cwd=ROOT)
        run(sys.executable, "-m", "venv", str(Path(folder) / "venv"), cwd=clone)
        run(python, "-m", "pip", "install", "-q", ".[asv]", cwd=clone)
        run(python, "-m", "asv", "machine", "--yes", cwd=clone)
        took = {}
        for kind, options in {"quick": ("--quick",), "full": ()}.items():
            begin = time.perf_counter()
            run(python, "-m", "asv", "run", *options, cwd=clone)
            took[kind] = time.perf_counter() - begin
            shutil.rmtree(clone / ".asv")
        return took


def blocks(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return what docs/history.md has from these rows, by the names that the places have there."""
    where = next(row for row in rows if "machine" in row)["machine"]
    took = next(row["timing"] for row in rows if "timing" in row)
    found = pairs([row for row in rows if "run" in row])
    times = len({row["run"] for row in rows if "run" in row}) // RUNS
    comparisons = times * (times - 1)
    everything = list(itertools.chain(*found.values()))
    table = [
        f"| {name} | {len(here) // comparisons} | {_share(slower_by_asv, here)} | {_share(slower, here)} | {factor} "
        f"| {detected(here):.2f} |"
        for (name, here), (_, factor) in zip(found.items(), FACTORS.values(), strict=True)
    ]
    return {
        "timing": [
            f"On a {where['cpu']} with {where['cores']} cores, `asv run` took {took['full'] / 60:.1f} minutes and",
            f"`asv run --quick` {took['quick']:.0f} s, environment included.",
        ],
        "verdicts": [
            f"The same code, {times} times six rounds; each compared with each other, in both orders: {comparisons}",
            f"comparisons of {len(everything) // comparisons} benchmarks.",
            "",
            f"| a call takes | benchmarks | false alarms, asv, factor {ASV_FACTOR} | false alarms, fastest samples "
            "| their factor | found 19 times of 20 |",
            "|---|---|---|---|---|---|",
            *table,
            f"| all | {len(everything) // comparisons} | {_share(slower_by_asv, everything)} "
            f"| {_share(slower, everything)} | | |",
            "",
            f"By a factor of {1 + THRESHOLD}, asv's false alarms are {_share(slower_by_threshold, everything)}.",
        ],
    }


def _share(verdict: Callable[[Samples, Samples], bool], found: Sequence[Pair]) -> str:
    return f"{np.mean([verdict(a, b) for a, b in found]):.1%}"


def page(text: str, rows: Sequence[Row]) -> str:
    """Return docs/history.md with its blocks made anew."""
    return replaced(text, {name: "\n".join(lines) + "\n" for name, lines in blocks(rows).items()})


def read() -> list[Row]:
    """Return the results that are kept."""
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def _keep(kind: str, rows: Iterable[Row]) -> None:
    """Put rows in the place of those of their kind, as they come."""
    kept = [row for row in (read() if RESULTS.exists() else ()) if ("timing" in row) != (kind == "timing")]
    with RESULTS.open("w", encoding="utf-8") as file:
        for row in itertools.chain(kept, rows):
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()


@click.group()
def main() -> None:
    """Measure what asv's history is worth, and write docs/history.md."""


@main.command()
@click.argument("before")
@click.argument("after")
def verdict(before: str, after: str) -> None:
    """Say what is slower in one commit than in another; exits with 1 if something is."""
    a, b = recorded(before), recorded(after)
    worse = [name for name in a if name in b and slower(a[name], b[name])]
    for name in worse:
        click.echo(f"slower: {min(b[name]) / min(a[name]):.2f}x {name}")
    click.echo(f"{len(worse)} of {len(a.keys() & b.keys())} benchmarks are slower")
    sys.exit(bool(worse))


@main.command("same")
@click.option("--times", default=21, show_default=True, help="Runs of two rounds each.")
@click.option("--bench", default=BENCHMARKS, help="Which benchmarks, as a regular expression.")
def same_command(times: int, bench: str) -> None:
    """Measure this commit against itself."""
    _keep("same", same(times, bench))


@main.command("timing")
def timing_command() -> None:
    """Time a quick and a full run of asv, each from a fresh clone."""
    _keep("timing", [{"timing": timing()}])


@main.command()
def report() -> None:
    """Write docs/history.md from the results that are kept."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read()), encoding="utf-8")


if __name__ == "__main__":
    main()
