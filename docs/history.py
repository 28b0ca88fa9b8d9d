"""What asv's history is worth: how often it cries wolf, what it can't hear, how long it takes. Writes docs/history.md.

``python docs/history.py same`` measures this code against itself, ``timing`` times runs from a fresh clone, ``picture``
``report`` writes the document from the results that are kept. All need
``pip install '.[compare,asv]'``.
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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from asv.commands.compare import _is_result_better
from asv.results import Results

from softmax_impls.timing import machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "history.jsonl"
PAGE = ROOT / "docs" / "history.md"
FACTORS = (1.05, 1.1, 1.2, 1.3, 1.5, 2.0)
SLOWDOWNS = [1 + step / 100 for step in range(2, 301, 2)]
FOUND, ALARMS = 0.95, 0.01  # how often a slowdown is to be found, and how often one may be seen where there is none
CLASSES = {"up to 10 µs": 1e-5, "10 to 100 µs": 1e-4, "100 µs to 1 ms": 1e-3, "more than 1 ms": math.inf}
FACTOR = 1.3  # what is recommended: with it, one comparison in a hundred at the most is a false alarm
BENCHMARKS = r"Workload.*(sample-10|digits|imagenet|attention)'|PublicCall"

Row = dict[str, Any]
Result = tuple[float, dict[str, float]]  # seconds, and asv's statistics


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
        yield {"machine": machine.machine(), "versions": machine.versions(), "commit": commit}
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


def result(row: Row) -> Result:
    """Return what asv decides by."""
    return row["seconds"], {"ci_99_a": row["low"], "ci_99_b": row["high"], "repeat": len(row["samples"])}


def slower(before: Row, after: Row, factor: float, slowdown: float = 1.0) -> bool:
    """Whether asv calls `after` slower, had it taken so many times as long; by intervals: it keeps no samples."""
    (a, told_a), (b, told_b) = result(before), result(after)
    told_b = told_b | {end: told_b[end] * slowdown for end in ("ci_99_a", "ci_99_b")}
    return bool(_is_result_better(a, b * slowdown, (told_a, None), (told_b, None), factor))


def pairs(rows: Sequence[Row]) -> dict[str, list[tuple[Row, Row]]]:
    """Return each cell's results in one run and in the next, by the class of its time."""
    found: dict[str, list[tuple[Row, Row]]] = {name: [] for name in CLASSES}
    cells: dict[str, list[Row]] = {}
    for row in rows:
        cells.setdefault(f"{row['benchmark']} {row['cell']}", []).append(row)
    for told in cells.values():
        usual = float(np.median([row["seconds"] for row in told]))
        name = next(name for name, most in CLASSES.items() if usual <= most)
        found[name] += itertools.pairwise(sorted(told, key=lambda row: int(row["run"])))
    return found


def alarms(found: Sequence[tuple[Row, Row]], factor: float) -> float:
    """Return the share of comparisons that come out as slower, or as faster, though nothing changed."""
    return float(np.mean([slower(a, b, factor) or slower(b, a, factor) for a, b in found]))


def detected(found: Sequence[tuple[Row, Row]], factor: float) -> float:
    """Return the smallest slowdown that is found 19 times of 20, in results that are made so much longer."""
    for slowdown in SLOWDOWNS:
        if np.mean([slower(a, b, factor, slowdown) for a, b in found]) >= FOUND:
            return slowdown
    return math.inf


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
    everything = list(itertools.chain(*found.values()))
    runs = len({row["run"] for row in rows if "run" in row})
    told = ", ".join(f"{len(here) // (runs - 1)} of {name}" for name, here in found.items())
    table = [
        f"| {factor} | {alarms(everything, factor):.2%} | "
        + " | ".join(_percent(detected(here, factor)) for here in found.values())
        + " |"
        for factor in FACTORS
    ]
    return {
        "timing": [
            f"On a {where['cpu']} with {where['cores']} cores, `asv run` took {took['full'] / 60:.1f} minutes and",
            f"`asv run --quick` {took['quick']:.0f} s, environment included.",
        ],
        "verdicts": [
            f"Runs of the same code: {runs}, each compared with the next. Benchmarks: {told}.",
            "",
            "| factor | false alarms | found 19 times of 20: " + " | ".join(found) + " |",
            "|" + "---|" * (2 + len(found)),
            *table,
            "",
            f"Recommended: **{FACTOR}**, with {alarms(everything, FACTOR):.2%} false alarms.",
        ],
    }


def page(text: str, rows: Sequence[Row]) -> str:
    """Return docs/history.md with its blocks made anew."""
    for name, lines in blocks(rows).items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        if not (begin and end):
            raise SystemExit(f"{PAGE.name} has no block {name}")
        text = before + begin + "\n".join(lines) + "\n" + end + after
    return text


def _percent(slowdown: float) -> str:
    return "none" if math.isinf(slowdown) else f"{slowdown - 1:.0%}"


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


@main.command("same")
@click.option("--times", default=21, show_default=True, help="Runs: one more than there are comparisons.")
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
