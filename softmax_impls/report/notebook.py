"""Results in a notebook: the winners as a table, and a figure of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from softmax_impls.formatting import format_seconds
from softmax_impls.report import figures, plots
from softmax_impls.report.html.markup import html_table
from softmax_impls.report.runs import Run, in_panel, in_shape, panel, runs
from softmax_impls.results.frame import Loaded, load

KINDS = ("winners", "times", "accuracy", "memory")


@dataclass(frozen=True)
class Results:
    """What was measured, for a notebook: its last line shows a table of the winners.

    Attributes
    ----------
    loaded : Loaded
        The whole table is ``loaded.frame``, and what could not be read ``loaded.problems``.

    Examples
    --------
    ::

        results = Results.of(["softmax-impls-report"])
        results
        results.plot("times")
    """

    loaded: Loaded

    @classmethod
    def of(cls, paths: Iterable[str | Path]) -> Results:
        """Read files of results, or folders of them.

        Parameters
        ----------
        paths : iterable of str or Path
            By `compare`, asv or pytest-benchmark.
        """
        return cls(load(map(Path, paths)))

    @property
    def runs(self) -> list[Run]:
        """What each tool measured on each machine at each commit, the newest first."""
        return runs(self.loaded.frame)[0]

    def _repr_html_(self) -> str:
        """Return a table of winners for each run, and what could not be read."""
        head = ("Shape", "Dtype and threads", "Fastest (= ties)", "Time")
        parts = [f"<p>{escape(line)}</p>" for line in self.loaded.problems]
        for run in self.runs:
            body = [
                (in_shape(one.cell), in_panel(panel(one.cell)), " = ".join(one.winners), format_seconds(one.seconds))
                for one in run.cells
            ]
            parts += [f"<h4>{escape(run.title)}</h4>", html_table(run.title, head, body)]
        return "\n".join(parts) or "<p>no results</p>"

    def plot(self, kind: str = "winners", run: int = 0) -> Figure:
        """Draw a figure, which a notebook shows after ``%matplotlib inline`` and `Figure.savefig` keeps.

        Parameters
        ----------
        kind : str, optional
            "winners" for the map, "times" against size, "accuracy" for speed against error, or "memory".
        run : int, optional
            Which of `runs`; the newest by default.

        Raises
        ------
        ValueError
            If there is no such figure, nothing was measured, or the run has nothing for it.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        every = self.runs
        if not 0 <= run < len(every):
            raise ValueError(f"run must be less than {len(every)}, the number of runs, got {run}")
        one = every[run]
        styles = plots.looks(str(name) for other in every for name in other.rows["implementation"])
        if kind == "winners":
            return plots.winners_map(one.cells, styles)
        draw = {"times": figures.times, "accuracy": figures.accuracy, "memory": figures.memory}[kind]
        figure = draw(one, one.panels, styles)
        if figure is None:
            raise ValueError(f"nothing to draw of kind {kind!r}: {one.title} has no such column")
        return figure
