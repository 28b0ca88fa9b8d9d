"""The data that the page's script looks up: predictions of `choose`, and the raw results, as compact JSON."""

import json
import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import msgspec

from softmax_impls import implementations
from softmax_impls.choice.answer import MEASURED
from softmax_impls.choice.choose import predict_grid
from softmax_impls.choice.measurements import Measurements
from softmax_impls.choice.ranking import RankedRun
from softmax_impls.formatting import format_count
from softmax_impls.report.panels import Panel, address, by_panel, marks, representative
from softmax_impls.report.terminal.cells import EXPLANATIONS
from softmax_impls.timing.records import KernelResult

MAX_PREDICTIONS = 900_000  # characters of JSON
MAX_SAMPLES = 40_000  # of all results together
MAX_NOTE = 200  # characters of the note of a result
DIGITS = 4  # significant digits of times and ratios
PLACEHOLDER = "(batch, dim)"  # in the code to paste; the page writes the reader's shape in its place
CELL_FIELDS = ("workload", "batch", "dim", "dtype", "threads", "seed", "file")

Json = Any


def data(shown: Sequence[RankedRun], whole: Sequence[RankedRun], notes: list[str]) -> dict[str, Json]:
    """Return the data that the page's script looks up, and add lines to `notes` about rounding and omissions.

    `shown` has the runs and cells whose raw results are in the page. `whole` has the same runs with all of their cells;
    the predictions use all cells. The line about rounding is always added. If predictions or samples are left out, a
    line states it.
    """
    first = representative(shown[0].cells).key
    marked = marks(cell for run in whole for cell in run.cells)
    names = sorted(marked)
    return {
        "names": names,
        "marks": {name: mark for name, mark in marked.items() if mark},
        "explanations": {f" {mark}": EXPLANATIONS[mark] for mark in "†‡"},
        "runs": _predictions(whole, {name: index for index, name in enumerate(names)}, notes),
        "raw": _raw(shown, notes),
        "first": {"batch": first.batch, "dim": first.dim, "dtype": first.dtype, "threads": first.threads},
    }


def _predictions(runs: Sequence[RankedRun], index: Mapping[str, int], notes: list[str]) -> list[Json]:
    """Return a dictionary for each run: its title, and the answers of `choose` for each dtype and number of threads.

    Panels for which the page has no room are left out, and a line about them is added to `notes`. `index` has,
    for each implementation, its position in the list of names that `data` embeds.
    """
    left, left_out = MAX_PREDICTIONS, 0
    predictions: list[Json] = []
    for run in runs:
        predictions.append({"title": run.run.title, "panels": []})
        for panel in by_panel(run.cells):
            predicted = _panel(run, panel, index) if left > 0 else None
            left -= len(json.dumps(predicted))
            if left > 0:
                predictions[-1]["panels"].append(predicted)
            else:
                left_out += 1
    if left_out:
        notes.append(
            f"Predictions for {format_count(left_out, 'combination')} of run, dtype and threads would make this page "
            "too large. 'softmax-impls choose --from PATH' answers there."
        )
    return predictions


def _panel(run: RankedRun, panel: Panel, index: Mapping[str, int]) -> Json:
    """Return the predictions of a panel as a dictionary; `index` has the position of each name in "names" of `data`.

    "errors" has the worst error of each implementation's results. "code" has texts of code, each of which calls an
    implementation. "shapes" has a list for each shape: batch, dim, 1 if the shape was measured (else 0), pick, code,
    and the list of candidates. Pick is the implementation to use, as an index into "names"; code is an index into
    "code". Each is None if there is none.

    A candidate is a list: its name as an index into "names", the nanoseconds of a call, the ratio of its time to the
    fastest time, both ends of the ratio's interval, and 1 if the candidate is a winner (else 0).
    """
    measured, codes = Measurements(run, panel.dtype, panel.threads), dict[str, int]()
    shapes = []
    for answer in predict_grid(measured, implementations()):
        candidates = [
            [index[name], candidate.seconds * 1e9, *astuple(answer.ratio(name)), int(name in answer.winners)]
            for name, candidate in answer.candidates.items()
        ]
        shape = answer.question.batch, answer.question.dim
        text = str(answer.usage or "").replace(str(shape), PLACEHOLDER)
        code = codes.setdefault(text, len(codes)) if text else None
        pick = answer.pick and index[answer.pick.name]
        shapes.append([*shape, int(answer.basis == MEASURED), pick, code, candidates])
    errors = [measured.errors.get(name, math.nan) for name in index]
    return _rounded({**panel._asdict(), "errors": errors, "code": list(codes), "shapes": shapes})


def _raw(runs: Sequence[RankedRun], notes: list[str]) -> dict[str, Json]:
    """Return the raw results of the cells that the page can link to; a line about omitted samples goes to `notes`.

    The result of a kernel is a list of values, in the order of the list "fields". The environment of a cell and the
    errors of a kernel are indexes into lists, because many of them are equal.
    """
    records = [(i, ranked.every_round) for i, run in enumerate(runs) for ranked in run.cells if address(ranked.key)]
    kept = _samples_per_kernel([len(kernel.samples) for _, cell in records for kernel in cell.kernels], notes)
    environments, errors = dict[str, int](), dict[str, int]()  # indexes by JSON text

    def values(kernel: KernelResult) -> list[Json]:
        cut = {"samples": kernel.samples[:kept], "note": kernel.note[:MAX_NOTE]}
        return list((msgspec.structs.asdict(kernel) | cut | {"errors": _index(errors, kernel.errors)}).values())

    cells = [
        {
            "run": number,
            **{field: getattr(cell, field) for field in CELL_FIELDS},
            "time": cell.time and cell.time.isoformat(),
            "roofline_seconds": cell.roofline and cell.roofline.seconds,
            "environment": _index(environments, msgspec.to_builtins(cell.environment)),
            "kernels": [values(kernel) for kernel in cell.kernels],
        }
        for number, cell in records
    ]
    return {
        "cells": _rounded(cells),
        "fields": KernelResult.__struct_fields__,
        "environments": [json.loads(text) for text in environments],
        "errors": [json.loads(text) for text in errors],
    }


def _index(known: dict[str, int], value: Json) -> int:
    """Return the index of a value. `known` maps the JSON text of each rounded value to its index.

    Values that are equal after rounding have the same index. A new value is added to `known` with the next index.
    """
    return known.setdefault(json.dumps(_rounded(value), sort_keys=True), len(known))


def _samples_per_kernel(lengths: Sequence[int], notes: list[str]) -> int:
    """Return how many samples of each result fit into the page. A result with fewer samples keeps all its samples.

    `lengths` has the number of samples of each result, that is, of each kernel in each cell. Lines about the samples
    that are left out, and about rounded numbers, are added to `notes`.
    """
    longest = max(lengths, default=0)
    kept = bisect(range(longest + 1), MAX_SAMPLES, key=lambda kept: sum(min(length, kept) for length in lengths)) - 1
    if kept < longest:
        notes.append(f"This page has the first {kept} samples of each result; the longest series has {longest}.")
    notes.append(f"Numbers in this page have {DIGITS} digits; the files have all.")
    return kept


def _rounded(value: Json) -> Json:
    """Return a JSON value whose numbers have `DIGITS` significant digits; None in place of NaN and infinity."""

    def shorten(text: str) -> float:
        short = float(f"{float(text):.{DIGITS}g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short

    return json.loads(json.dumps(value), parse_float=shorten, parse_constant=lambda _: None)
