"""The table of results, taken apart into what may be compared: one tool, on one machine, at one commit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from softmax_impls.choice.comparable import comparable, visits_of
from softmax_impls.choice.ranking import Ranked
from softmax_impls.timing.statistics import SMALLEST_MARGIN, stand
from softmax_impls.timing.workloads import CUSTOM, GRID, Cell

RUN = ["machine", "commit", "tool"]
SHAPE = ["batch", "dim", "dtype", "threads"]
CELL = ["workload", *SHAPE]
TEXTS = ["tool", "implementation", "workload", "dtype", "machine", "commit", "file"]
MOST_COMMIT = 10  # characters of it that are shown

Panel = tuple[str, int]  # dtype and threads


@dataclass(frozen=True)
class Run:
    """What one tool measured on one machine at one commit.

    Attributes
    ----------
    tool, machine, commit : str
        The commit is empty where it is not known.
    rows : DataFrame
        As `softmax_impls.results.frame` has them; the index is a row's number in the whole report.
    cells : list of Ranked
        Each row of theirs has its number under "row".
    """

    tool: str
    machine: str
    commit: str
    rows: pd.DataFrame
    cells: list[Ranked]

    @property
    def title(self) -> str:
        """Machine, commit and tool in a line."""
        commit = self.commit.removesuffix("+changes")
        short = commit[:MOST_COMMIT] + self.commit[len(commit) :]
        return " · ".join(part for part in (self.machine, short, self.tool) if part)

    @property
    def panels(self) -> list[Panel]:
        """The dtypes and threads there are, in the order they are shown in."""
        return sorted({panel(one.cell) for one in self.cells}, key=lambda one: (one[1], one[0]))


def panel(cell: Cell) -> Panel:
    """Return the panel of a figure that a cell is shown in."""
    return cell.dtype, cell.threads


def in_panel(one: Panel) -> str:
    """Return a panel's title."""
    return f"{one[0]}, {one[1]} thread{'s' if one[1] > 1 else ''}"


def runs(frame: pd.DataFrame) -> tuple[list[Run], list[str]]:
    """Take the table apart, the newest run first.

    Parameters
    ----------
    frame : DataFrame
        With the columns of `softmax_impls.results.frame`.

    Returns
    -------
    list of Run
    list of str
        What was left out, a line each: of a cell that a run has more than once, the newest is kept.
    """
    frame = frame.reset_index(drop=True)
    frame = frame.assign(**{column: frame[column].fillna("").map(_printable) for column in TEXTS})
    newest = _newest(frame)
    again = len(frame) - len(newest)
    notes = [f"{again} rows of cells that were measured again later are left out."] if again else []
    if newest.empty:
        return [], notes
    newest = newest.reset_index(drop=True)
    groups = list(newest.groupby(RUN, sort=False))
    when = {key: rows["time"].max() for key, rows in groups}
    dated = [key for key in when if not pd.isna(when[key])]
    order = sorted(dated, key=lambda key: when[key], reverse=True) + [key for key in when if key not in dated]
    by_key = dict(groups)
    return [_run(by_key[key]) for key in order], notes


def _printable(text: str) -> str:
    """Return a text without what no text file may have, half characters and controls, nor what turns text round."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _newest(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the newest file's rows of each cell of a run, and of a file the last row of an implementation.

    Only samples of one file were taken in the same rounds.
    """
    frame = frame.drop_duplicates([*RUN, *CELL, "file", "implementation"], keep="last")
    dated = frame.assign(when=frame["time"].fillna(pd.Timestamp(0, tz="UTC")))
    per_file = dated.groupby([*RUN, *CELL, "file"], sort=False)["when"].max().reset_index()
    last = per_file.sort_values("when", kind="stable").drop_duplicates([*RUN, *CELL], keep="last")
    return frame.merge(last.drop(columns="when"))


def _run(rows: pd.DataFrame) -> Run:
    cells = [_ranked(cell) for _, cell in rows.groupby(CELL, sort=False)]
    cells.sort(key=lambda one: (one.cell.threads, one.cell.dtype, one.cell.elements, one.cell.rows))
    first = rows.iloc[0]
    return Run(str(first["tool"]), str(first["machine"]), str(first["commit"]), rows, cells)


def _ranked(rows: pd.DataFrame) -> Ranked:
    """Rank a cell from the table's rows."""
    named = {row["implementation"]: row | {"seconds": row["median"], "row": n} for n, row in records(rows).items()}
    first = next(iter(named.values()))
    margin = SMALLEST_MARGIN if math.isnan(first["margin"]) else float(first["margin"])
    samples, dropped = comparable(named, named)
    standing = stand(samples, margin, dropped, visits_of(named.values()))
    return Ranked(cell_of(first), named, standing)


def records(rows: pd.DataFrame) -> dict[int, dict[str, Any]]:
    """Return rows by their numbers, as Python's own types."""
    columns = [str(column) for column in rows.columns]
    values = zip(*(rows[column].tolist() for column in columns), strict=True)
    return {int(n): dict(zip(columns, row, strict=True)) for n, row in zip(rows.index, values, strict=True)}


def cell_of(row: Mapping[str, Any]) -> Cell:
    """Return the cell that a row of the table belongs to."""
    return Cell(*(row[key] for key in CELL))


def representative(cells: Sequence[Ranked]) -> Ranked:
    """Return the cell that shows most: with errors and times of the most implementations, then the largest."""

    def shows(one: Ranked) -> tuple[int, int]:
        return sum(row["error"] > 0 for row in one.rows.values()), len(one.rows)

    return max(cells, key=lambda one: (*shows(one), one.cell.elements))


def in_shape(cell: Cell) -> str:
    """Return a cell in words, with its name if it has one: "imagenet 256×1000"."""
    name = "" if cell.workload in (GRID, CUSTOM) else f"{cell.workload} "
    return f"{name}{cell.rows}×{cell.classes}"


def query(cell: Cell) -> str:
    """Return what follows the page's address to ask for a cell."""
    return f"#batch={cell.rows}&dim={cell.classes}&dtype={cell.dtype}&threads={cell.threads}"
