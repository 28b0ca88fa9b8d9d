"""One table of all results, as a pandas data frame."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from msgspec.structs import asdict

from softmax_impls.results.runs import Run, interval_of
from softmax_impls.timing.records import Cell, KernelResult

COLUMNS = {
    "tool": "compare, asv or pytest-benchmark",
    "machine": "processor, number of cores and system",
    "host": "the name of the machine; empty if it is not known",
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


def to_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a table with a row for each kernel of each cell, and the columns of `COLUMNS`."""
    rows = [_row(cell, kernel) for run in runs for cell in run.cells for kernel in cell.kernels]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    optional = dict.fromkeys(("seconds", "temporary_bytes", "peak_memory_bytes"), "float64")  # None becomes NaN
    return frame.astype({"time": "datetime64[us, UTC]", **optional})


def _row(cell: Cell, kernel: KernelResult) -> dict[str, Any]:
    """Return the fields of a result by name, with a value for each of `COLUMNS`; pandas leaves out all other fields."""
    low, high = interval_of(kernel) or (math.nan, math.nan)
    fields = asdict(cell.environment) | asdict(cell) | asdict(kernel)
    return fields | {
        "commit": cell.environment.commit or "",
        "implementation": kernel.name,
        "low": low,
        "high": high,
        "samples": list(kernel.samples),
        "blocks": list(cell.blocks),
        "roofline_seconds": cell.roofline.seconds if cell.roofline else math.nan,
        "error": kernel.error,
    }
