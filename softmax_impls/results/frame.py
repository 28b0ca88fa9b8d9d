"""One table of all results, for pandas and for files that other programs read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from softmax_impls.results.runs import Run
from softmax_impls.timing.records import Cell, KernelResult
from softmax_impls.timing.statistics import median_interval

COLUMNS = {
    "tool": "compare, asv or pytest-benchmark",
    "machine": "the name that the tool has for the machine",
    "commit": "of the checkout that was measured; empty if not known",
    "time": "in UTC: of the measurement; for asv, of the commit",
    "workload": "name of the shape; grid or custom if it has none",
    "batch": "rows of the arrays",
    "dim": "columns of the arrays",
    "dtype": "float32 or float64",
    "threads": "that a kernel could use",
    "implementation": "name of the kernel",
    "status": "timed, eliminated, extrapolated, pruned, wrong or failed",
    "verified": "whether the result was right on the arrays that were timed",
    "seconds": "of a call: median of the samples, or the extrapolated time; NaN if there is none",
    "low": "lower end of a confidence interval of the median, in seconds",
    "high": "upper end of that interval",
    "samples": "seconds of a call, a list",
    "blocks": "number of rounds on each placement of the arrays, a list; empty if there was one placement",
    "calls_per_sample": "number of calls that a sample is the mean of",
    "roofline_seconds": "time that moving the bytes takes on this machine; NaN if it was not measured",
    "first_call_seconds": "of the first call, beyond those of a second call",
    "temporary_bytes": "temporary memory of a call",
    "peak_memory_bytes": "peak memory of the process",
    "error": "worst relative error against the gradient with respect to the logits, over all kinds of input",
    "note": "reason for a status other than timed",
    "versions": "of Python and packages, a dictionary",
    "file": "that the cell was read from",
}
NESTED = ("samples", "blocks", "versions")  # columns that are JSON in a CSV file


def to_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a table with a row for each kernel of each cell, and the columns of `COLUMNS`."""
    rows = [row for run in runs for cell in run.cells for row in _rows(cell)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.assign(time=frame["time"].astype("datetime64[us, UTC]"))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as text. Samples, blocks and versions become JSON."""
    nested = {column: frame[column].map(json.dumps) for column in NESTED}
    frame.assign(**nested).to_csv(path, index=False)


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet. Versions become JSON.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    """
    try:
        import pyarrow  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError:
        raise ImportError("a Parquet file needs pyarrow: pip install pyarrow") from None
    frame.assign(versions=frame["versions"].map(json.dumps)).to_parquet(path, engine="pyarrow")


def _rows(cell: Cell) -> Iterator[dict[str, Any]]:
    about = {
        "tool": cell.tool,
        "machine": cell.environment.machine,
        "commit": cell.environment.commit or "",
        "time": cell.time,
        **{name: getattr(cell, name) for name in ("workload", "batch", "dim", "dtype", "threads", "file")},
        "blocks": list(cell.blocks),
        "roofline_seconds": cell.roofline.seconds if cell.roofline else math.nan,
        "versions": dict(cell.environment.versions),
    }
    for kernel in cell.kernels:
        low, high = _interval(kernel)
        yield {
            **about,
            "implementation": kernel.name,
            "status": kernel.status,
            "verified": kernel.verified,
            "seconds": _or_nan(kernel.seconds),
            "low": low,
            "high": high,
            "samples": list(kernel.samples),
            "calls_per_sample": kernel.calls_per_sample,
            "first_call_seconds": kernel.first_call_seconds,
            "temporary_bytes": _or_nan(kernel.temporary_bytes),
            "peak_memory_bytes": _or_nan(kernel.peak_memory_bytes),
            "error": kernel.error,
            "note": kernel.note,
        }


def _interval(kernel: KernelResult) -> tuple[float, float]:
    """Return the interval that the tool states, or else the interval of the samples."""
    if kernel.interval is not None:
        return kernel.interval
    return median_interval(kernel.samples) if len(kernel.samples) > 1 else (math.nan, math.nan)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
