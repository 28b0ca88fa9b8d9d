"""The data that the page's script looks up: predictions of `choose`, and the raw results, as compact JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from softmax_impls import implementations
from softmax_impls.choice.answer import MEASURED, MORE_ACCURATE
from softmax_impls.choice.measurements import Measurements
from softmax_impls.choice.predictions import Prediction, predict_grid
from softmax_impls.choice.ranking import RankedRun
from softmax_impls.formatting import format_count
from softmax_impls.report.panels import Panel, panels, representative
from softmax_impls.timing.records import KernelResult

MAX_PREDICTIONS = 700_000  # characters of JSON
MAX_SAMPLES = 40_000
MAX_NOTE = 200  # characters of the note of a result
MAX_SIZE = 2**40  # of batch and of dim, as in `softmax_impls.timing.records`
DIGITS = 4  # significant digits of times and ratios

Json = Any
Shape = tuple[int, int]


class Table:
    """Different values, each with an index. Results refer to values that many of them share."""

    def __init__(self) -> None:
        self.values: list[Json] = []
        self._known: dict[str, int] = {}

    def index(self, value: Json) -> int:
        """Return the index of a value; append the value if it is new."""
        text = json.dumps(value, sort_keys=True)
        if text not in self._known:
            self._known[text] = len(self.values)
            self.values.append(value)
        return self._known[text]


def data(runs: Sequence[RankedRun], whole_runs: Sequence[RankedRun], notes: list[str]) -> dict[str, Json]:
    """Return the data of the page's script.

    Parameters
    ----------
    runs : sequence of RankedRun
        At least one run with at least one cell. The page shows these cells.
    whole_runs : sequence of RankedRun
        The same runs with all their cells. Predictions are based on them.
    notes : list of str
        A line is added for all that is rounded or left out.
    """
    names = sorted({name for run in whole_runs for cell in run.cells for name in cell.kernels})
    predictions = _predictions(whole_runs, {name: index for index, name in enumerate(names)}, notes)
    first = representative(runs[0].cells).key
    return {
        "names": names,
        "runs": [
            {"title": run.run.title, "panels": in_run} for run, in_run in zip(whole_runs, predictions, strict=True)
        ],
        "raw": _raw(runs, notes),
        "first": {"batch": first.batch, "dim": first.dim, "dtype": first.dtype, "threads": first.threads},
        "max_size": MAX_SIZE,
        "more_accurate": MORE_ACCURATE,
    }


def _predictions(runs: Sequence[RankedRun], index: Mapping[str, int], notes: list[str]) -> list[list[Json]]:
    """Return the predictions for each run and panel, newest run first, as far as they fit into the page."""
    left, left_out = MAX_PREDICTIONS, 0
    found: list[list[Json]] = []
    for run in runs:
        found.append([])
        for panel in panels(run.cells):
            if left > 0:
                predicted = _panel(run, panel, index)
                left -= len(json.dumps(predicted))
            if left > 0:
                found[-1].append(predicted)
            else:
                left_out += 1
    if left_out:
        notes.append(
            f"Predictions for {format_count(left_out, 'combination')} of run, dtype and threads would make this page "
            "too large. 'softmax-impls choose --from PATH' answers there."
        )
    return found


def _panel(run: RankedRun, panel: Panel, index: Mapping[str, int]) -> Json:
    found = predict_grid(run, panel.dtype, panel.threads, implementations())
    measured = [(prediction.batch, prediction.dim) for prediction in found if prediction.basis == MEASURED]
    errors = Measurements(run, panel.dtype, panel.threads).errors
    return {
        "dtype": panel.dtype,
        "threads": panel.threads,
        "errors": [rounded(errors.get(name, math.nan)) for name in index],
        "hull": hull(measured),
        "shapes": [_shape(prediction, index) for prediction in found],
    }


def _shape(prediction: Prediction, index: Mapping[str, int]) -> Json:
    """Return [batch, dim, measured, pick, ...] and, for each candidate, name, ns, ratio, low, high and tied."""
    flat: list[Json] = [prediction.batch, prediction.dim, int(prediction.basis == MEASURED), index[prediction.pick]]
    for candidate in prediction.candidates:
        times = (candidate.seconds * 1e9, candidate.ratio, candidate.low, candidate.high)
        flat += [index[candidate.name], *map(rounded, times), int(candidate.tied)]
    return flat


def hull(shapes: Sequence[Shape]) -> list[Shape]:
    """Return the corners of the convex hull of shapes over the logarithms of batch and dim, counterclockwise.

    The shapes of a line have two corners, a single shape has one. (Andrew's monotone chain algorithm.)
    """
    points = sorted(set(shapes))

    def half(ordered: Sequence[Shape]) -> list[Shape]:
        corners: list[Shape] = []
        for point in ordered:
            while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
                corners.pop()
            corners.append(point)
        return corners[:-1]

    return half(points) + half(points[::-1]) if len(points) > 1 else points


def _turn(a: Shape, b: Shape, c: Shape) -> float:
    """Return a positive number if the way from a over b to c turns left, 0 if it is straight."""
    (ax, ay), (bx, by), (cx, cy) = ([math.log2(size) for size in shape] for shape in (a, b, c))
    turn = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    return turn if abs(turn) > 1e-9 else 0.0


def _raw(runs: Sequence[RankedRun], notes: list[str]) -> dict[str, Json]:
    """Return all results: each cell with its kernels, whose values are in the order of "fields"."""
    kernels = [kernel for run in runs for cell in run.cells for kernel in cell.kernels.values()]
    kept = _samples_per_kernel([len(kernel.samples) for kernel in kernels], notes)
    environments, errors = Table(), Table()
    cells = []
    for number, run in enumerate(runs):
        for ranked in run.cells:
            cell = ranked.cell
            cells.append({
                "run": number,
                "workload": cell.workload, "batch": cell.batch, "dim": cell.dim,
                "dtype": cell.dtype, "threads": cell.threads, "seed": cell.seed,
                "time": cell.time and cell.time.isoformat(),
                "file": cell.file,
                "roofline_seconds": cell.roofline and rounded(cell.roofline.seconds),
                "environment": environments.index(msgspec.to_builtins(cell.environment)),
                "kernels": [_values(kernel, kept, errors) for kernel in cell.kernels],
            })  # fmt: skip
    return {
        "fields": list(KernelResult.__struct_fields__),
        "environments": environments.values,
        "errors": errors.values,
        "cells": cells,
    }


def _values(kernel: KernelResult, max_samples: int, errors: Table) -> list[Json]:
    values = {name: getattr(kernel, name) for name in kernel.__struct_fields__}
    values["samples"] = [rounded(sample) for sample in kernel.samples[:max_samples]]
    values["note"] = kernel.note[:MAX_NOTE]
    values["errors"] = errors.index({kind: error and rounded(error) for kind, error in kernel.errors.items()})
    return [rounded(value) if isinstance(value, float) else value for value in values.values()]


def _samples_per_kernel(lengths: Sequence[int], notes: list[str]) -> int:
    """Return how many samples of each kernel fit into the page. Short series stay whole."""
    ordered, left = sorted(lengths), MAX_SAMPLES
    kept = ordered[-1]
    for number, length in enumerate(ordered):
        share = left // (len(ordered) - number)
        if length > share:
            kept = share
            notes.append(
                f"This page has the first {kept} samples of each result; the longest series has {ordered[-1]}."
            )
            break
        left -= length
    notes.append(f"Numbers in this page have {DIGITS} digits; the files have all.")
    return kept


def rounded(number: float) -> float | None:
    """Return a number with `DIGITS` significant digits, an integer if it is whole; None for NaN and infinity."""
    if not math.isfinite(number):
        return None
    short = float(f"{number:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
