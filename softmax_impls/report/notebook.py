"""Results in a notebook: a table of winners, figures, and a data frame."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd
from matplotlib.figure import Figure

from softmax_impls.choice.ranking import RankedRun, rank_run
from softmax_impls.formatting import format_count
from softmax_impls.report import figures
from softmax_impls.report.html.page import templates
from softmax_impls.report.style import styles_of
from softmax_impls.results.frame import to_frame
from softmax_impls.results.runs import load


@dataclass(frozen=True, repr=False)
class Results:
    """Measured results. As the last line of a notebook cell, they show a table of the winners.

    Attributes
    ----------
    runs : tuple of RankedRun
        The results of each tool, machine and commit, newest first.
    problems : tuple of str
        A line for each file, or part of a file, that could not be read.

    Examples
    --------
    In a notebook::

        results = Results.of(["softmax-impls-report"])
        results.plot("times")
        results.frame.query("dtype == 'float32'").to_csv("float32.csv")
    """

    runs: tuple[RankedRun, ...]
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, paths: Iterable[str | Path]) -> Self:
        """Read result files of `softmax-impls compare`, asv or pytest-benchmark, or folders of them.

        Parameters
        ----------
        paths : iterable of str or Path

        Raises
        ------
        FileNotFoundError
            If a path does not exist.
        """
        files = [Path(path) for path in paths]
        for file in files:
            if not file.exists():
                raise FileNotFoundError(f"no such file or folder: {file}")
        loaded = load(files)
        return cls(tuple(rank_run(run) for run in loaded.runs), tuple(loaded.problems))

    @property
    def frame(self) -> pd.DataFrame:
        """All results as a pandas data frame, with a row for each kernel in each cell.

        Write it with ``frame.to_csv(path)`` or, if pyarrow is installed, ``frame.to_parquet(path)``.
        `softmax_impls.results.frame` documents the columns.
        """
        return to_frame([run.run for run in self.runs])

    def plot(self, kind: str = "winners", run: int = 0) -> Figure:
        """Draw a figure. A notebook shows it after ``%matplotlib inline``; `Figure.savefig` writes it to a file.

        Parameters
        ----------
        kind : {"winners", "times", "accuracy", "memory", "samples"}, optional
            The map of winners, time against size, error against time, memory against size, or the samples of a cell.
        run : int, optional
            Index into `runs`; the newest run by default.

        Raises
        ------
        ValueError
            If there is no such kind or run, or if the run has no data for the figure.
        """
        if kind not in figures.KINDS:
            raise ValueError(f"kind must be one of {', '.join(figures.KINDS)}, got {kind!r}")
        if not 0 <= run < len(self.runs):
            raise ValueError(f"run must be less than {len(self.runs)}, the number of runs, got {run}")
        styles = styles_of(name for other in self.runs for cell in other.cells for name in cell.kernels)
        figure = figures.draw(kind, self.runs[run].cells, styles)
        if figure is None:
            raise ValueError(f"run {run} has no data for kind {kind!r}")
        return figure

    def __repr__(self) -> str:
        cells = format_count(sum(len(run.cells) for run in self.runs), "cell")
        return f"<Results: {cells} in {format_count(len(self.runs), 'run')}>"

    def _repr_html_(self) -> str:
        return templates().get_template("notebook.html.jinja").render(runs=self.runs, problems=self.problems)
