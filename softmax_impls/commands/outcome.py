"""The outcome of a comparison, on this machine or on a fleet."""

import time
from collections.abc import Mapping
from pathlib import Path

from softmax_impls.choice.coverage import rejected
from softmax_impls.choice.ranking import RankedRun
from softmax_impls.commands.fleet.messages import Order
from softmax_impls.implementation import Implementation
from softmax_impls.report.notebook import Results
from softmax_impls.results import store


class Outcome:
    """A comparison. `order` has the cells to measure and the options; `runs` has the results when `run` has ended.

    The results are written to a file in `folder`. If `folder` is None, no file is written.
    """

    def __init__(self, order: Order, folder: Path | None, start: float | None = None) -> None:
        self.order, self._start = order, time.perf_counter() if start is None else start
        self.file = folder and folder / store.FILE
        self._stored = store.ResultsFile(self.file)
        self.runs: list[RankedRun] = []  # the ordered cells that are measured, ranked
        self.problems: list[str] = []  # a line for each thing that is missing
        self.wrong: list[str] = []  # lines about implementations that the checks reject
        self.interrupted = False  # by Ctrl-C
        self.unfinished = False  # a kind of machine or a worker is missing

    def open(self, resume: bool) -> None:
        """Lock the folder. If `resume` is true, load the results in it; else rename their file and make an empty file.

        Raise OSError or ResultsError if this fails, for example if another comparison writes to the folder.
        """
        self._stored.lock()
        if self.file and resume:
            self.load(self.file)
        elif self.file:
            store.start(self.file)

    def load(self, file: Path) -> None:
        """Load results to resume; raises OSError or ResultsError if they cannot be continued."""
        raise NotImplementedError

    def run(self, progress: bool = True) -> None:
        """Measure the missing cells, and rank all cells. Ctrl-C ends the measurement."""
        raise NotImplementedError

    @property
    def seconds(self) -> float:
        """Seconds since the comparison started."""
        return time.perf_counter() - self._start

    @property
    def failed(self) -> bool:
        """Whether an implementation is wrong, or a kind of machine, a worker or results are missing: exit status 1."""
        wrong = self.wrong or any(rejected(run.cells) for run in self.runs)
        return bool(wrong or self.unfinished or self._stored.lacks or not self.runs)

    def recommendation(self) -> list[str]:
        """Return sentences that say which implementation to use."""
        raise NotImplementedError

    def results(self) -> Results:
        """Return the ranked runs, the problems and the recommendation as an object that a notebook shows."""
        return Results(tuple(self.runs), tuple(self.problems), tuple(self.recommendation()))


def prepare(scheduler: str, order: Order, usable: Mapping[str, Implementation], folder: Path | None) -> Outcome:
    """Return a new comparison on a fleet: on the machines of a Dask scheduler's workers. Its method `run` measures.

    `scheduler` is the scheduler's address. `usable` has the implementations that this process can use, by name. A kind
    of machine where the code of one of them differs is not measured. The results are written to `folder`, see
    `Outcome`.

    Raise ImportError if Dask is not installed. Raise ValueError if `order.machine` is the name of a machine, because a
    fleet has several machines, or if the user's modules, which are sent to the workers, are too large.
    """
    try:
        from softmax_impls.commands.fleet.comparison import FleetComparison
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed: pip install 'softmax-impls[distributed]'") from None
    if order.machine not in (None, "hash"):
        raise ValueError("machine names one machine: set SOFTMAX_IMPLS_MACHINE where each worker starts")
    return FleetComparison(scheduler, order, usable, folder)
