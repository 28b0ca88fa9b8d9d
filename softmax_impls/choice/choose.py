"""Which one to use at a shape: from the table of what was measured to an answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from softmax_impls.choice.answer import INTERPOLATED, MEASURED, OUTSIDE, Answer, Contender, Question
from softmax_impls.choice.comparable import comparable, visits_of
from softmax_impls.choice.interpolation import Shape, Surface
from softmax_impls.formatting import format_bytes
from softmax_impls.implementation import Implementation
from softmax_impls.results.importers import Row
from softmax_impls.timing.statistics import SMALLEST_MARGIN, Ratio, Standing, stand

CELL = ["batch", "dim"]


def choose(
    question: Question,
    frame: pd.DataFrame,
    unranked: list[Row],
    here: str,
    implementations: Mapping[str, Implementation],
) -> Answer:
    """Answer from what was measured on this machine, or else on another.

    Parameters
    ----------
    question : Question
    frame : DataFrame
        With the columns of `softmax_impls.results.frame`.
    unranked : list of dict
        What has no times, as `Loaded` has it.
    here : str
        This machine, as the table names it.
    implementations : mapping of str to Implementation
        Those whose temporary memory can be told for any shape.
    """
    groups = list(_groups(frame[(frame.dtype == question.dtype) & (frame.threads == question.threads)], here))
    for group in groups:
        cell = group[(group.batch == question.batch) & (group.dim == question.dim)]
        if len(cell):
            return replace(_measured(question, cell, group, unranked), source=_source(cell, here))
    for group in groups:
        if found := _interpolated(question, group, implementations):
            return replace(found, source=_source(group, here))
    return Answer(question, OUTSIDE, source=_source(groups[0], here) if groups else {})


def _groups(frame: pd.DataFrame, here: str) -> Iterator[pd.DataFrame]:
    """Yield what one tool measured on one machine, the newest of each cell: first what was measured here, by `compare`.

    Only times of one run can be held against each other.
    """
    if frame.empty:
        return
    frame = frame.assign(time=frame.time.fillna(pd.Timestamp(0, tz="UTC")))
    runs = frame.groupby([*CELL, "tool", "machine", "file", "workload"]).time.max()
    newest = runs.reset_index().sort_values("time").groupby([*CELL, "tool", "machine"]).tail(1).drop(columns="time")
    frame = frame.merge(newest)
    order = [(m != here, tool != "compare", -one.time.max().timestamp(), one)
             for (m, tool), one in frame.groupby(["machine", "tool"])]  # fmt: skip
    for *_, one in sorted(order, key=lambda item: item[:3]):
        yield one


def _measured(question: Question, cell: pd.DataFrame, group: pd.DataFrame, unranked: list[Row]) -> Answer:
    rows: dict[str, Any] = {row["implementation"]: row for row in cell.sort_values("median").to_dict("records")}
    found = {
        name: Contender(name, row["median"], row["low"], row["high"], row["temporary_bytes"], _error(group, name))
        for name, row in rows.items()
    }
    allowed, ruled_out = _admitted(question, found)
    for row in unranked:
        same = row["batch"], row["dim"], row["dtype"], row["threads"], row["file"]
        if same == (question.batch, question.dim, question.dtype, question.threads, cell.file.iloc[0]):
            ruled_out.setdefault(row["implementation"], f"{row['status']}: {row['note']}")
    standing = None
    if allowed:
        samples, dropped = comparable(rows, allowed)
        standing = stand(samples, max(SMALLEST_MARGIN, cell.margin.max()), dropped, visits_of(rows.values()))
    rounds = len(rows[standing.best]["samples"]) if standing else 0
    return Answer(question, MEASURED, _fastest_first(allowed, standing), standing, ruled_out, rounds)


def _interpolated(
    question: Question, group: pd.DataFrame, implementations: Mapping[str, Implementation]
) -> Answer | None:
    """Answer from cells around that shape; None if it lies outside of them."""
    shape = question.batch, question.dim
    known: dict[str, dict[Shape, float]] = {
        str(name): dict(zip(zip(rows.batch, rows.dim, strict=True), rows["median"], strict=True))
        for name, rows in group.groupby("implementation")
    }
    found, ruled_out = {}, {}
    for name, times in known.items():
        surface = Surface(times)
        seconds = surface.at(shape)
        if math.isnan(seconds):
            ruled_out[name] = "measured in too few cells around that shape"
            continue
        off, one = surface.likely_error(), implementations.get(name)
        memory = one.temporary_bytes(*shape, np.dtype(question.dtype)) if one else math.nan
        found[name] = Contender(name, seconds, seconds / off, seconds * off, memory, _error(group, name))
    if not found:
        return None
    allowed, too_much = _admitted(question, found)
    standing = _stand_between(shape, {name: known[name] for name in allowed}) if allowed else None
    contenders = _fastest_first(allowed, standing)
    return Answer(question, INTERPOLATED, contenders, standing, too_much | ruled_out)


def _stand_between(shape: Shape, known: Mapping[str, Mapping[Shape, float]]) -> Standing:
    """Compare by ratios, which change less from cell to cell than times do."""
    best = min(known, key=lambda name: Surface(known[name]).at(shape))
    ratios = {}
    for name in known:
        both = {at: known[name][at] / known[best][at] for at in known[name] if at in known[best]}
        if name != best:
            ratio, off = Surface(both).at(shape), Surface(both).likely_error()
            ratio = Surface(known[name]).at(shape) / Surface(known[best]).at(shape) if math.isnan(ratio) else ratio
            ratios[name] = Ratio(ratio, ratio / off, ratio * off)
    ties = tuple(name for name in ratios if ratios[name].low <= 1 + SMALLEST_MARGIN)
    return Standing(best, ratios, SMALLEST_MARGIN, ties, behind=(), settled=not ties)


def _fastest_first(found: Mapping[str, Contender], standing: Standing | None) -> dict[str, Contender]:
    """Order them by their ratios, which count, rather than by medians."""
    if standing is None:
        return {}
    times = {standing.best: 0.0} | {name: ratio.value for name, ratio in standing.ratios.items()}
    return {name: found[name] for name in sorted(times, key=lambda name: times[name])}


def _admitted(question: Question, found: Mapping[str, Contender]) -> tuple[dict[str, Contender], dict[str, str]]:
    """Return those that keep within the limits of the question, and why the others don't."""
    ruled_out = {}
    for name, one in found.items():
        if not one.temporary_bytes <= question.max_memory and question.max_memory < math.inf:
            known = "unknown" if math.isnan(one.temporary_bytes) else format_bytes(one.temporary_bytes)
            ruled_out[name] = f"temporaries of {known}, more than {format_bytes(question.max_memory)}"
        elif not one.error <= question.max_error and question.max_error < math.inf:
            ruled_out[name] = f"its worst error is {one.error:.0e}, more than {question.max_error:g}"
    return {name: one for name, one in found.items() if name not in ruled_out}, ruled_out


def _error(group: pd.DataFrame, name: str) -> float:
    return float(group.loc[group.implementation == name, "error"].max())


def _source(rows: pd.DataFrame, here: str) -> dict[str, Any]:
    newest = rows.sort_values("time").iloc[-1]
    return {
        "tool": newest.tool,
        "machine": newest.machine,
        "here": newest.machine == here,
        "files": sorted(set(rows.file)),
        "versions": newest.versions,
        "time": newest.time.isoformat(),
        "cells": len(rows[CELL].drop_duplicates()),
        "batch": [int(rows.batch.min()), int(rows.batch.max())],
        "dim": [int(rows.dim.min()), int(rows.dim.max())],
    }
