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
import pandas as pd

from softmax_impls.choice import ranking, results
from softmax_impls.timing.entry import DROPPED, LIMIT, TIMED
from softmax_impls.timing.statistics import median_interval
from softmax_impls.timing.workloads import GRID, WORKLOADS, Cell

LARGEST_SIZE = 2**40  # of a batch or a dim
LONGEST = 1e6  # seconds
LONGEST_NAME = 200  # characters
ASV_VERSION = 2

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
    return text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "…"


def of_compare(file: Path) -> Iterator[Row]:
    """Yield what `compare` keeps in results.jsonl; what has no times comes with a note on why, and without samples."""
    try:
        cells = results.read(file)
    except results.ResultsError as error:
        raise ValueError(str(error).removeprefix(f"{file}, ").removeprefix(f"{file}: ")) from None
    for cell, rows in cells.items():
        ranked = ranking.rank(rows, cell)
        for row in rows:
            if row["control"] or row["status"] == LIMIT:
                continue
            if not row["samples"]:
                yield _shape(cell) | {key: row[key] for key in ("implementation", "status", "note")}
            elif row["status"] in (TIMED, DROPPED):
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
                    time=_time(row.get("time")),
                    commit=row.get("commit"),
                    versions=row["versions"],
                )


def of_pytest(told: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what pytest-benchmark saves as JSON."""
    machine, commit = told["machine_info"], told.get("commit_info") or {}
    for number, one in enumerate(told["benchmarks"]):
        extra = one["extra_info"]
        if "implementation" not in extra:
            continue
        with _at(f"benchmark {number}"):
            cell = Cell(
                _text(one["params"]["workload"]), extra["batch"], extra["dim"], extra["dtype"], extra["threads"]
            )
            yield _row(
                "pytest-benchmark",
                extra["implementation"],
                cell,
                one["stats"]["data"] if "data" in one["stats"] else (one["stats"]["median"],),
                verified=True,
                time=_time(told.get("datetime")),
                machine=_text(machine["cpu"].get("brand_raw", machine.get("machine", "?"))),
                commit=commit.get("id"),
                versions=extra["versions"],
            )


def of_asv(told: Mapping[str, Any], machine: str) -> Iterator[Row]:
    """Yield what asv keeps of a commit: times, with the memory and errors that belong to them."""
    if told["version"] != ASV_VERSION:
        raise ValueError(f"asv's results of version {told['version']!r}, not {ASV_VERSION}")
    tables = {name: dict(_asv_cells(name, told)) for name in told["results"] if name.startswith("backward.")}
    memory = tables.get("backward.Memory.peakmem_kernel", {})
    errors: dict[tuple[str, str], float] = {}
    for (name, _, dtype), (units, *_) in tables.get("backward.Accuracy.track_error", {}).items():
        error = _positive(units) * float(np.finfo(dtype).eps) / 2
        errors[name, dtype] = max(errors.get((name, dtype), 0.0), error)
    threads = int(told["env_vars"].get("NUMBA_NUM_THREADS", 1))
    versions = {"python": told["python"], **told["requirements"]}
    for benchmark in ("backward.Grid.time_kernel", "backward.Workload.time_kernel"):
        for params, (median, low, high, samples) in tables.get(benchmark, {}).items():
            name, *shape, dtype = params
            if len(shape) == 1:
                one = WORKLOADS[shape[0]]
                cell = Cell(one.name, one.rows, one.classes, dtype, threads)
            else:
                cell = Cell(GRID, int(shape[0]), int(shape[1]), dtype, threads)
            with _at(f"{benchmark}{params}"):
                yield _row(
                    "asv",
                    name,
                    cell,
                    samples or (median,),
                    median=median,
                    interval=(low, high),
                    peak_memory=memory.get((name, cell.workload, dtype), (math.nan,))[0],
                    error=errors.get((name, dtype), math.nan),
                    verified=True,
                    machine=machine,
                    time=_time(told.get("date")),
                    commit=told["commit_hash"],
                    versions=versions,
                )


def _asv_cells(name: str, told: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
    """Yield the parameters of each cell that has a result, with value, interval and samples."""
    one = dict(zip(told["result_columns"], told["results"][name], strict=False))
    params = [[_text(value).strip("'") for value in values] for values in one["params"]]
    values = one["result"]
    columns = [one.get(key) or [None] * len(values) for key in ("stats_ci_99_a", "stats_ci_99_b", "samples")]
    cells = list(itertools.product(*params))
    if not len(cells) == len(values) == len(columns[0]) == len(columns[1]) == len(columns[2]):
        raise ValueError(f"{name}: {len(values)} results for {len(cells)} cells")
    for cell, value, low, high, samples in zip(cells, values, *columns, strict=True):
        if value is not None and value == value:  # NaN is what asv has for n/a
            yield cell, (value, low, high, samples)


def _row(
    tool: str,
    implementation: str,
    cell: Cell,
    samples: Sequence[float],
    median: float | None = None,
    interval: tuple[float | None, float | None] = (None, None),
    **others: Any,
) -> Row:
    """Return a row after checking all that is in it."""
    taken = [_positive(sample, LONGEST) for sample in samples]
    middle = _positive(float(np.median(taken)) if median is None else median, LONGEST)
    low, high = interval
    if low is None or high is None:
        low, high = median_interval(taken) if len(taken) > 1 else (math.nan, math.nan)
    row = {
        "tool": tool,
        "implementation": _text(implementation),
        **_shape(cell),
        "median": middle,
        "low": float(low),
        "high": float(high),
        "samples": taken,
        "visits": [],
        "status": TIMED,
        **others,
    }
    return {key: _encodable(value) if isinstance(value, str) else value for key, value in row.items()}


def _shape(cell: Cell) -> Row:
    if cell.dtype not in ("float32", "float64"):
        raise ValueError(f"expected float32 or float64, got {repr(cell.dtype)[:50]}")
    return {
        "workload": _text(cell.workload),
        "batch": _size(cell.rows),
        "dim": _size(cell.classes),
        "dtype": cell.dtype,
        "threads": _size(cell.threads),
    }


@contextlib.contextmanager
def _at(place: str) -> Iterator[None]:
    """Say where in the file something was wrong."""
    try:
        yield
    except Broken as error:
        raise ValueError(f"{place}: {in_words(error)}") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise TypeError(f"expected a name, got {repr(value)[:50]}")
    return value


def _encodable(text: str) -> str:
    """Put question marks for halves of characters, which JSON allows, and files and some tables don't."""
    return text.encode("utf-8", "replace").decode()


def _time(value: object) -> pd.Timestamp:
    """Return a time from what `datetime` writes, or from milliseconds since 1970; NaT if there is none."""
    if value is None:
        return pd.Timestamp("NaT")
    found = pd.Timestamp(_text(value)) if isinstance(value, str) else pd.Timestamp(_positive(value), unit="ms")
    return found.tz_localize("UTC") if found.tzinfo is None else found.tz_convert("UTC")


def _size(value: object) -> int:
    if type(value) is not int or not 0 < value < LARGEST_SIZE:
        raise ValueError(f"expected a size, got {repr(value)[:50]}")
    return value


def _positive(value: object, most: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < most:
        raise ValueError(f"expected a positive number, got {repr(value)[:50]}")
    return float(value)


def machine_name(told: Mapping[str, Any]) -> str:
    """Return how the table names a machine that `compare` describes."""
    return f"{told['cpu']}, {told['cores']} cores, {told['system']}"
