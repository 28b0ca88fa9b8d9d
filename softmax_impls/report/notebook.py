"""Results in a notebook: a table, figures, and a data frame."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from softmax_impls.choice.fleet import Fleet, at_cells, rank_runs
from softmax_impls.choice.ranking import RankedRun
from softmax_impls.formatting import format_count
from softmax_impls.results.runs import load
from softmax_impls.timing.workloads import CellKey

if TYPE_CHECKING:  # at run time, they are imported where they are needed
    import pandas as pd
    from matplotlib.figure import Figure

WIDTH = 110  # characters of a table as text


@dataclass(frozen=True, repr=False)
class Results:
    """Measured results. As the last line of a notebook's cell, they show a table; ``print`` shows it as text.

    Attributes
    ----------
    runs : tuple of RankedRun
        A run for each tool, machine and commit, in the order of the paths; the runs of a folder, the newest first.
    problems : tuple of str
        A line for each thing that could not be read, measured or ranked.
    recommendation : tuple of str
        Sentences that say which implementation to use. Only the results of `softmax_impls.compare` have them.

    Examples
    --------
    In a notebook::

        results = Results.of("softmax-impls-report")
        results.plot("times")
        results.frame.query("dtype == 'float32'").to_csv("float32.csv")
    """

    runs: tuple[RankedRun, ...]
    problems: tuple[str, ...] = ()
    recommendation: tuple[str, ...] = ()

    @classmethod
    def of(cls, paths: str | Path | Iterable[str | Path]) -> Self:
        """Read result files of `softmax-impls compare`, asv or pytest-benchmark, or folders of them.

        Parameters
        ----------
        paths : path or iterable of paths

        Raises
        ------
        FileNotFoundError
            If a path does not exist.
        """
        loaded = load(existing(paths))
        return cls(tuple(rank_runs(loaded.runs)), loaded.problems)

    @property
    def frame(self) -> "pd.DataFrame":
        """All results as a pandas data frame, with a row for each kernel in each cell.

        ``frame.to_csv(path)`` writes it, and so does ``frame.to_parquet(path)`` if pyarrow is installed.
        `softmax_impls.results.frame.COLUMNS` describes the columns.
        """
        from softmax_impls.results.frame import to_frame

        return to_frame([run.run for run in self.runs])

    @property
    def fleet(self) -> dict[CellKey, Fleet]:
        """The implementation to use on each kind of machine, for each cell that was measured on several kinds."""
        return at_cells(self.runs)

    def plot(self, kind: str = "winners", run: int = 0) -> "Figure":
        """Draw a figure. A notebook shows it after ``%matplotlib inline``; `Figure.savefig` writes it to a file.

        Parameters
        ----------
        kind : {"winners", "times", "accuracy", "memory", "samples"}, optional
            The map of winners, time against size, error against time, memory against size, or the samples of a cell.
        run : int, optional
            Index into `runs`; the first run by default.

        Raises
        ------
        ValueError
            If there is no such kind or run, or if the run has no data for the figure.
        """
        from softmax_impls.report import figures
        from softmax_impls.report.style import styles_of

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

    def __str__(self) -> str:
        from rich.console import Console

        from softmax_impls.report.terminal.cells import comparison_tables

        text = io.StringIO()
        screen = Console(file=text, width=WIDTH, highlight=False, emoji=False)
        for run in self.runs:
            screen.print(run.run.title, *comparison_tables(run.cells, details=False), sep="\n", markup=False)
        lines = [*self.problems, *self.recommendation] or ([] if self.runs else ["no results"])
        screen.print(*lines, sep="\n", markup=False)
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        from softmax_impls.report.html.page import templates

        template = templates().get_template("notebook.html.jinja")
        return template.render(runs=self.runs, problems=self.problems, recommendation=self.recommendation)


def existing(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return one path or several paths as a list; FileNotFoundError if a path does not exist."""
    files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"no such file or folder: {file}")
    return files
