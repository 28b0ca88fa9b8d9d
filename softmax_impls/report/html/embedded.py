"""What the page's script knows: rankings, and every raw row, as compact JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from softmax_impls.choice.interpolation import FEWEST_ERRORS, LIKELY, UNKNOWN
from softmax_impls.choice.ranking import Ranked
from softmax_impls.report.plots import Look
from softmax_impls.report.runs import RUN, Run, records, representative
from softmax_impls.results.values import LARGEST_SIZE
from softmax_impls.timing.statistics import SMALLEST_MARGIN
from softmax_impls.timing.workloads import CUSTOM, GRID

MOST_SAMPLES = 60_000  # in a page
DIGITS = 4  # of a sample


def data(runs: Sequence[Run], styles: Mapping[str, Look], notes: list[str]) -> dict[str, Any]:
    """Return what the script is given; says in `notes` what was rounded or left out.

    Parameters
    ----------
    runs : sequence of Run
        At least one, with at least one cell.
    styles : mapping of str to (str, str)
    notes : list of str
        Is added to.
    """
    columns = [str(column) for column in runs[0].rows.columns if column not in RUN]
    rows = {number: row for run in runs for number, row in records(run.rows).items()}
    files = list(dict.fromkeys(row["file"] for row in rows.values()))
    told = [dict(versions(row["versions"])) for row in rows.values()]
    different = list({tuple(one.items()): one for one in told}.values())
    most = _samples_per_row([len(row["samples"]) for row in rows.values()], notes)
    for row, its_versions in zip(rows.values(), told, strict=True):
        row["file"] = files.index(row["file"])
        row["versions"] = different.index(its_versions)
        row["samples"] = [float(f"{sample:.{DIGITS}g}") for sample in row["samples"][:most]]
    first = representative(runs[0].cells)
    return {
        "columns": columns,
        "rows": {number: [_plain(row[column]) for column in columns] for number, row in rows.items()},
        "files": files,
        "versions": different,
        "runs": [
            {"title": run.title, "tool": run.tool, "machine": run.machine, "commit": run.commit}
            | {"cells": [_cell(one) for one in run.cells]}
            for run in runs
        ],
        "looks": styles,
        "limits": {
            "size": LARGEST_SIZE,
            "margin": SMALLEST_MARGIN,
            "fewest": FEWEST_ERRORS,
            "likely": LIKELY,
            "unknown": UNKNOWN,
        },
        "first": _shape(first) | {"cell": runs[0].cells.index(first)},
    }


def versions(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return versions, which were checked when they were read, as names and texts."""
    return sorted((name, str(version)) for name, version in told.items())


def _samples_per_row(lengths: Iterable[int], notes: list[str]) -> int:
    """Return how many samples of a row fit, if each may have as many."""
    ordered = sorted(lengths)
    longest = most = ordered[-1]
    left = MOST_SAMPLES
    for number, length in enumerate(ordered):  # the short ones whole, and the others what that leaves them
        if length * (len(ordered) - number) > left:
            most = left // (len(ordered) - number)
            break
        left -= length
    notes.append(f"Samples are rounded to {DIGITS} digits, in this page only.")
    if most < longest:
        notes.append(f"Of each row, the first {most} samples are kept in this page; the longest has {longest}.")
    return most


def _shape(one: Ranked) -> dict[str, Any]:
    cell = one.cell
    return {"batch": cell.rows, "dim": cell.classes, "dtype": cell.dtype, "threads": cell.threads}


def _cell(one: Ranked) -> dict[str, Any]:
    assert one.standing is not None  # a row has a sample, or it would not be in the table
    limit = next(iter(one.rows.values()))["limit"]
    ranking = []
    for name in sorted(one.rows, key=one.times_best):
        ratio = one.standing.ratios.get(name)
        ends = [ratio.value, ratio.low, ratio.high] if ratio else [1.0, 1.0, 1.0]
        ranking.append([one.rows[name]["row"], *map(_plain, ends), int(name in one.winners)])
    name = "" if one.cell.workload in (GRID, CUSTOM) else one.cell.workload
    return _shape(one) | {
        "workload": name,
        "margin": _plain(one.standing.margin),
        "limit": _plain(limit),
        "ranking": ranking,
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, with as many digits as mean something."""
    if value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.6g}")
