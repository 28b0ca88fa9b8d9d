"""What each tool writes, as rows of one kind.

Files are data and nothing else: they are read as JSON, and each value is checked before it is used.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softmax_impls.choice import ranking
from softmax_impls.results import store, values
from softmax_impls.timing.entry import DROPPED, LIMIT, TIMED
from softmax_impls.timing.statistics import median_interval
from softmax_impls.timing.workloads import GRID, WORKLOADS, Cell

ASV_VERSION = 2
LONGEST_LINE = 200  # characters

Row = dict[str, Any]
Broken = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError, OSError)


def in_words(error: Exception) -> str:
    """Return what went wrong in a line, without the file's own content at any length."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, KeyError):
        return f"no {error.args[0]!r}"
    if isinstance(error, AttributeError | IndexError):
        return f"not built as expected: {error}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + "…"


def of_compare(file: Path) -> tuple[list[Row], list[str]]:
    """Return what `compare` keeps in store.jsonl, and what could not be used of it, a line each.

    What has no times comes with a note on why, and without samples.
    """
    try:
        cells, problems = store.read_whole(file)
    except store.ResultsError as error:
        raise ValueError(str(error).removeprefix(f"{file}, ").removeprefix(f"{file}: ")) from None
    found = []
    for cell, rows in cells.items():
        with _at(str(cell)):
            found += list(_of_cell(cell, rows))
    return found, problems


def _of_cell(cell: Cell, rows: Sequence[Row]) -> Iterator[Row]:
    ranked = ranking.rank(rows, cell)
    for row in rows:
        if row["control"] or row["status"] == LIMIT:
            continue
        if row["status"] not in (TIMED, DROPPED):
            yield _shape(cell) | {key: row[key] for key in ("implementation", "status", "note")}
        else:
            errors = [error for error in row["errors"].values() if error is not None]
            yield _row(
                "compare",
                row["implementation"],
                cell,
                row["samples"],
                visits=row.get("visits", []),
                status=row["status"],
                margin=ranked.standing.margin if ranked.standing else math.nan,
                limit=ranked.limit["seconds"] if ranked.limit else math.nan,
                temporary_bytes=row["temporary_bytes"],
                error=max(errors, default=math.nan),
                verified=True,
                machine=machine_name(row["machine"]),
                time=values.time(row.get("time")),
                commit=row.get("commit"),
                versions=row["versions"],
            )


def of_pytest(told: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what pytest-benchmark saves as JSON."""
    machine, commit = told["machine_info"], told.get("commit_info") or {}
    where = values.text(machine["cpu"].get("brand_raw", machine.get("machine", "?")))
    about: Row = {"machine": where, "time": values.time(told.get("datetime")), "commit": commit.get("id")}
    for number, one in enumerate(told["benchmarks"]):
        extra = one["extra_info"]
        if "implementation" not in extra:
            continue
        with _at(f"benchmark {number}"):
            workload = one["params"]["workload"]
            cell = Cell(workload, extra["batch"], extra["dim"], extra["dtype"], extra["threads"])
            yield _row(
                "pytest-benchmark",
                extra["implementation"],
                cell,
                one["stats"]["data"] if "data" in one["stats"] else (one["stats"]["median"],),
                verified=True,
                versions=extra["versions"],
                **about,
            )


def of_asv(told: Mapping[str, Any], machine: str) -> Iterator[Row]:
    """Yield what asv keeps of a commit: times, with the memory and errors that belong to them."""
    if told["version"] != ASV_VERSION:
        raise ValueError(f"asv's store of version {told['version']!r}, not {ASV_VERSION}")
    tables = {name: dict(_asv_cells(name, told)) for name in told["results"] if name.startswith("backward.")}
    memory = tables.get("backward.Memory.peakmem_kernel", {})
    errors: dict[tuple[str, str], float] = {}
    for params, (units, *_) in tables.get("backward.Accuracy.track_error", {}).items():
        with _at(f"backward.Accuracy.track_error{params}"):
            name, _, dtype = params
            error = values.not_negative(units) * float(np.finfo(values.dtype(dtype)).eps) / 2
            errors[name, dtype] = max(errors.get((name, dtype), 0.0), error)
    threads = int(told["env_vars"].get("NUMBA_NUM_THREADS", 1))
    about: Row = {"machine": values.text(machine), "time": values.time(told.get("date")), "commit": told["commit_hash"]}
    versions = {"python": told["python"], **told["requirements"]}
    for benchmark in ("backward.Grid.time_kernel", "backward.Workload.time_kernel"):
        for params, (median, low, high, samples) in tables.get(benchmark, {}).items():
            with _at(f"{benchmark}{params}"):
                name, *shape, dtype = params
                cell = _asv_cell(shape, dtype, threads)
                yield _row(
                    "asv",
                    name,
                    cell,
                    samples or [median],
                    median=median,
                    interval=(low, high),
                    peak_memory=_peak(memory.get((name, cell.workload, dtype))),
                    error=errors.get((name, dtype), math.nan),
                    verified=True,
                    versions=versions,
                    **about,
                )


def _asv_cell(shape: Sequence[str], dtype: str, threads: int) -> Cell:
    if len(shape) == 1:
        one = WORKLOADS[shape[0]]
        return Cell(one.name, one.rows, one.classes, dtype, threads)
    return Cell(GRID, int(shape[0]), int(shape[1]), dtype, threads)


def _peak(told: tuple[Any, ...] | None) -> float:
    return values.positive(told[0]) if told else math.nan


def _asv_cells(name: str, told: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
    """Yield the parameters of each cell that has a result, with value, interval and samples."""
    one = dict(zip(told["result_columns"], told["results"][name], strict=False))
    with _at(name):
        params = [[values.text(value).strip("'") for value in listed] for listed in one["params"]]
        found = one["result"]
        columns = [one.get(key) or [None] * len(found) for key in ("stats_ci_99_a", "stats_ci_99_b", "samples")]
        cells = math.prod(map(len, params))  # before they are made: a short file may ask for any number
        if not cells == len(found) == len(columns[0]) == len(columns[1]) == len(columns[2]):
            raise ValueError(f"{len(found)} store for {cells} cells")
    for cell, value, low, high, samples in zip(itertools.product(*params), found, *columns, strict=True):
        if value is not None and value == value:  # NaN is what asv has for n/a
            yield cell, (value, low, high, samples)


def _row(
    tool: str,
    implementation: str,
    cell: Cell,
    samples: object,
    median: float | None = None,
    interval: tuple[float | None, float | None] = (None, None),
    commit: str | None = None,
    versions: object = None,
    **others: Any,
) -> Row:
    """Return a row after checking all that a file says for it."""
    taken = values.seconds_of_each(samples)
    if not taken:
        raise values.expected("at least one time", samples)
    middle = values.seconds(float(np.median(taken)) if median is None else median)
    low, high = interval
    if low is None or high is None:
        low, high = median_interval(taken) if len(taken) > 1 else (math.nan, math.nan)
    elif not 0 < low <= high < math.inf:  # asv's, of few samples
        low = high = math.nan
    return {
        "tool": tool,
        "implementation": values.text(implementation),
        **_shape(cell),
        "median": middle,
        "low": float(low),
        "high": float(high),
        "samples": taken,
        "visits": [],
        "status": TIMED,
        "commit": values.optional_text(commit),
        "versions": values.facts(versions),
        **others,
    }


def _shape(cell: Cell) -> Row:
    return {
        "workload": values.text(cell.workload),
        "batch": values.size(cell.rows),
        "dim": values.size(cell.classes),
        "dtype": values.dtype(cell.dtype),
        "threads": values.size(cell.threads),
    }


@contextlib.contextmanager
def _at(place: str) -> Iterator[None]:
    """Say where in the file something was wrong."""
    try:
        yield
    except Broken as error:
        raise ValueError(f"{place}: {in_words(error)}") from None


def machine_name(told: Mapping[str, Any]) -> str:
    """Return how the table names a machine that `compare` describes."""
    return f"{told['cpu']}, {told['cores']} cores, {told['system']}"
