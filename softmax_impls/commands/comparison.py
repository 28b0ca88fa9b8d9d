"""Compare implementations: check them, time them cell by cell, and rank them."""

import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import DTypeLike

from softmax_impls.choice.coverage import recommend
from softmax_impls.choice.ranking import Ranked, RankedRun, rank_all
from softmax_impls.commands.arguments import dtype_name, integer, real, seed_from, several
from softmax_impls.commands.fleet.messages import Order
from softmax_impls.commands.fleet.sending import chosen
from softmax_impls.commands.kernels import Kernels, select_kernels
from softmax_impls.commands.outcome import Outcome, prepare
from softmax_impls.formatting import format_count
from softmax_impls.implementation import Implementation
from softmax_impls.report.notebook import Results
from softmax_impls.report.terminal.cells import exclusions
from softmax_impls.report.terminal.console import kernels_to_stderr
from softmax_impls.report.terminal.progress import progress_line
from softmax_impls.report.terminal.tables import failures
from softmax_impls.results import store
from softmax_impls.results.runs import Run
from softmax_impls.threads import available_cores
from softmax_impls.timing.environment import environment, fingerprint, largest_temporaries
from softmax_impls.timing.records import Cell
from softmax_impls.timing.session import Session, Skipped, plan
from softmax_impls.timing.workloads import DTYPES, CellKey, cell_keys


def compare(
    kernels: Kernels | None = None,
    shapes: Iterable[tuple[int, int]] = (),
    *,
    workloads: Iterable[str] = (),
    dtypes: DTypeLike | Iterable[DTypeLike] = DTYPES,
    threads: int | Iterable[int] = (1,),
    budget: float = 60.0,
    peers: bool = False,
    max_memory: float | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    machine: str | None = None,
    seed: int = 0,
    progress: bool = True,
    scheduler: str | None = None,
) -> Results:
    """Check and time implementations, as ``softmax-impls compare`` does.

    Ctrl-C, or the stop button of a notebook, ends the measurement. The finished cells are returned.

    Parameters
    ----------
    kernels : iterable or dict, optional
        The implementations to compare: names, your own functions ``kernel(probs, grad_output, out)``, or text such as
        "package.module:function". A dictionary maps names to kernels. By default, all implementations.
    shapes : iterable of (int, int), optional
        The shapes (batch, dim) to time.
    workloads : str or iterable of str, optional
        Named shapes, see ``softmax-impls compare --help``. Without `shapes` and `workloads`, all of them whose classes
        are on the last axis.
    dtypes : dtype or iterable of dtype, optional
        float32, float64 or both.
    threads : int or iterable of int, optional
        Numbers of threads that a call may use.
    budget : float, optional
        Seconds for the whole comparison.
    peers : bool, optional
        Add the other libraries that are installed: torch, torch_compile, jax, numexpr.
    max_memory : float, optional
        Temporary memory in bytes that a call may use. By default 4 GB, or half of the free memory.
    output : path, optional
        A folder that the results are written to, each cell as soon as it is measured. By default, nothing is written.
    resume : bool, optional
        Continue with the results in `output`: measure the missing cells.
    machine : str, optional
        The name of this machine in the results; "hash" for a hash of its name. By default, its name in the network.
    seed : int, optional
        Seed of the inputs, and of the orders in which the kernels are timed.
    progress : bool, optional
        Show progress in a line, at a terminal and in a notebook.
    scheduler : str, optional
        The address of a Dask scheduler: measure on each kind of machine among its workers. The modules of your
        functions are sent to the workers. The recommendation states which implementation to use on which kind.

    Returns
    -------
    Results
        As the last line of a notebook's cell, it shows a table. ``print`` shows the tables of the command line.

    Raises
    ------
    ValueError
        If there is no such implementation or workload, or if another argument has a value that is not possible.
    TypeError
        If an argument has another type than stated.
    ResultsError
        If another comparison writes to `output`. With `resume`, also if the results in `output` can't be continued.
    ImportError, OSError
        With `scheduler`, if Dask is not installed, or if there is no scheduler at the address.

    Examples
    --------
    >>> from softmax_impls import compare
    >>> def mine(probs, grad_output, out):
    ...     out[...] = probs * (grad_output - (grad_output * probs).sum(-1, keepdims=True))
    >>> results = compare([mine, "numba_simd"], [(64, 1000)], dtypes=["float32"], budget=1)  # doctest: +SKIP
    """
    start = time.perf_counter()
    usable, unusable = select_kernels(kernels, peers)
    if resume and output is None:
        raise ValueError("resume needs output, the folder of the results")
    keys = _cells(workloads, shapes, dtypes, threads, anywhere=scheduler is not None)
    order = Order(keys, [], _seconds(budget), peers, _bytes(max_memory), machine, seed_from(seed))
    folder = None if output is None else Path(output)
    comparison: Outcome
    if scheduler is None:
        comparison = Comparison(usable, order, folder, start=start)
    else:
        comparison = prepare(scheduler, order if kernels is None else chosen(order, usable), usable, folder)
    comparison.open(resume)
    comparison.run(progress)
    if scheduler is None:
        comparison.problems += [f"{name} not available: {why}" for name, why in unusable.items()]
    elif folder and (comparison.interrupted or comparison.unfinished):
        comparison.problems.append("To continue, repeat the call with resume=True.")
    return comparison.results()


def _cells(workloads: Any, shapes: Any, dtypes: Any, threads: Any, anywhere: bool) -> list[CellKey]:
    """Return the cells that these arguments of `compare` describe.

    Raise ValueError if a number in `threads` is below 1. A number above the number of this machine's processors is also
    an error, unless `anywhere` is true, as for a fleet.
    """
    counts = [integer("threads", number) for number in several("threads", threads, (int, np.integer))]
    cores = available_cores()
    if not all(1 <= number <= cores or (anywhere and number > cores) for number in counts):
        raise ValueError(f"threads must be from 1 to {cores}, the number of processors; got {counts}")
    names = [dtype_name("dtypes", dtype) for dtype in several("dtypes", dtypes, (str, type, np.dtype))]
    return cell_keys(several("workloads", workloads, str), several("shapes", shapes), names, counts)


def _seconds(budget: object) -> float:
    if not 0 < (seconds := real("budget", budget, "a positive number of seconds")) < math.inf:
        raise ValueError(f"budget must be a positive number of seconds, got {budget}")
    return seconds


def _bytes(max_memory: object) -> int | None:
    """Return a limit as a whole number of bytes. Infinity becomes `sys.maxsize`; None stays None."""
    return None if max_memory is None else int(min(real("max_memory", max_memory, "a number of bytes"), sys.maxsize))


class Comparison(Outcome):
    """Measures implementations on this machine, and compares their times.

    The time budget in seconds begins at `start`. The last `reserve` seconds of it are left for the caller.
    """

    def __init__(
        self,
        implementations: Mapping[str, Implementation],
        order: Order,
        folder: Path | None,
        *,
        start: float | None = None,
        reserve: float = 0.0,
    ) -> None:
        super().__init__(order, folder, start)
        memory = largest_temporaries() if order.max_memory is None else int(order.max_memory)
        self.session = Session(implementations, order.budget - reserve, memory, order.seed, start=self._start)
        self.environment = environment(order.machine)
        self.done: dict[CellKey, Cell] = {}  # all measured cells, also of the run that is resumed

    def load(self, file: Path) -> None:
        """Load the results to resume; ResultsError if the code, the versions, the machine or the seed have changed."""
        sources = {name: fingerprint(impl.kernel) for name, impl in self.session.implementations.items()}
        packages = {package for impl in self.session.implementations.values() for package in impl.requires}
        cells = store.continue_from(file, self.environment, self.session.seed, sources, packages)
        self.done = {cell.key: cell for cell in cells}
        store.write(file, cells)

    def run(self, progress: bool = True) -> None:
        """Measure the missing cells, and rank all cells. Ctrl-C ends the measurement."""
        try:
            with kernels_to_stderr():
                self._measure([key for key in self.order.keys if key not in self.done], progress)
        except KeyboardInterrupt:
            self.interrupted = True
        self.problems += self._stored.finish(self.done.values())
        self.wrong = failures(self.session.verdicts.values())
        if ranked := rank_all(self.done[key] for key in self.order.keys if key in self.done):
            here, cells = self.environment, tuple(cell.every_round for cell in ranked)
            self.runs = [RankedRun(Run("compare", here.machine, here.commit or "", cells, here.host), ranked)]
        self.problems += exclusions(ranked) if ranked else self.wrong
        if self.interrupted or self.is_partial:
            done = f"{len(ranked)} of {format_count(len(self.order.keys), 'cell')} are measured."
            self.problems.append(f"Interrupted: {done}" if self.interrupted else done)

    def _measure(self, keys: Sequence[CellKey], progress: bool) -> None:
        if not keys:
            return
        session, steps, done = self.session, len(plan(keys)), 0
        with progress_line(progress) as line:
            line.keep(f"comparing {format_count(len(keys), 'cell')} in about {self.order.budget:g} s")
            line.show("compiling and checking")

            def late(seconds: float) -> None:
                line.keep(f"it will take about {seconds:.0f} s: kernels are compiled and checked first")

            session.prepare(sorted({key.dtype for key in keys}), late)

            def starting(key: CellKey) -> None:
                line.show(f"{min(done, steps)}/{steps} {key}, at most {session.seconds_left:.0f} s left")

            for outcome in session.run(keys, starting):
                done += 1
                if isinstance(outcome, Skipped):
                    self.problems.append(f"{outcome.key} not measured: {outcome.why}")
                else:
                    self.done[outcome.key] = cell = structs.replace(outcome, environment=self.environment)
                    self._stored.append(cell, line.keep)

    @property
    def ranked(self) -> list[Ranked]:
        """The cells of `order` that are measured, each with its ranking. The list is empty before `run`."""
        return self.runs[0].cells if self.runs else []

    @property
    def is_partial(self) -> bool:
        """Whether some cells of `order` are not measured."""
        return len(self.ranked) < len(self.order.keys)

    def recommendation(self) -> list[str]:
        """Return sentences that say which implementation to use."""
        return recommend(self.ranked, {name: impl.family for name, impl in self.session.implementations.items()})
