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

from softmax_impls.choice.coverage import recommend, rejected
from softmax_impls.choice.ranking import Ranked, RankedRun, rank_all
from softmax_impls.commands.arguments import dtype_name, integer, real, seed_from, several
from softmax_impls.commands.kernels import Kernels, select_kernels
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
        The implementations to compare: names, functions ``kernel(probs, grad_output, out)`` of yours, or functions'
        places as "package.module:function". A dictionary gives them names. By default, all implementations.
    shapes : iterable of (int, int), optional
        The shapes (batch, dim) to time.
    workloads : str or iterable of str, optional
        Named shapes, see ``softmax-impls compare --help``. Without `shapes` and `workloads`, all of them.
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
        Seed of the inputs and orders.
    progress : bool, optional
        Show progress in a line, at a terminal and in a notebook.
    scheduler : str, optional
        The address of a Dask scheduler: measure on each kind of machine among its workers. The modules of your
        functions are sent to them. The recommendation states which implementation to use on which kind.

    Returns
    -------
    Results
        As the last line of a notebook's cell, it shows a table. ``print`` shows the tables of the command line.

    Raises
    ------
    ValueError
        If an argument names no implementation, no workload or no possible shape, dtype or number of threads.
    TypeError
        If an argument has another type than stated.
    ResultsError
        With `resume`, if the results in `output` can't be continued.
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
    if not 0 < real("budget", budget, "a positive number of seconds") < math.inf:
        raise ValueError(f"budget must be a positive number of seconds, got {budget}")
    if resume and output is None:
        raise ValueError("resume needs output, the folder of the results")
    counts = [integer("threads", number) for number in several("threads", threads, (int, np.integer))]
    cores = available_cores()
    if not all(1 <= number <= cores or (scheduler and number > cores) for number in counts):
        raise ValueError(f"threads must be from 1 to {cores}, the number of processors; got {counts}")
    kinds = [dtype_name("dtypes", dtype) for dtype in several("dtypes", dtypes, (str, type, np.dtype))]
    keys = cell_keys(several("workloads", workloads, str), several("shapes", shapes), kinds, counts)
    folder = None if output is None else Path(output)
    # An infinite max_memory is no limit.
    memory = None if max_memory is None else int(min(real("max_memory", max_memory, "a number of bytes"), sys.maxsize))
    given: dict[str, Any] = {"max_memory": memory, "machine": machine, "seed": seed_from(seed)}
    if scheduler is not None:
        from softmax_impls.commands.fleet.call import compare_on_fleet

        given |= {"budget": budget, "peers": peers}
        return compare_on_fleet(scheduler, keys, usable, kernels is not None, folder, resume, progress, **given)
    comparison = Comparison(usable, keys, budget, folder, start=start, **given)
    comparison.open(resume)
    comparison.run(progress)
    comparison.problems += [f"{name} not available: {why}" for name, why in unusable.items()]
    return comparison.results()


class Comparison:
    """A run: the cells to measure, and, after `open` and `run`, the results.

    The budget in seconds counts from `start` on. `reserve` of it are left for the caller.
    """

    def __init__(
        self,
        implementations: Mapping[str, Implementation],
        keys: Sequence[CellKey],
        budget: float,
        folder: Path | None,
        *,
        max_memory: float | None = None,
        machine: str | None = None,
        seed: int = 0,
        start: float | None = None,
        reserve: float = 0.0,
    ) -> None:
        self._start, self.budget = time.perf_counter() if start is None else start, budget
        memory = largest_temporaries() if max_memory is None else int(max_memory)
        self.session = Session(implementations, budget - reserve, memory, seed, start=self._start)
        self.environment = environment(machine)
        self.keys, self.file = keys, folder and folder / store.FILE
        self._stored = store.ResultsFile(self.file)
        self.done: dict[CellKey, Cell] = {}  # all measured cells, also of the run that is resumed
        self.ranked: list[Ranked] = []  # the measured cells among `keys`
        self.problems: list[str] = []  # a line for each cell that was skipped
        self.interrupted = False  # by Ctrl-C

    def open(self, resume: bool) -> None:
        """Load the results to resume, or rename them; raises OSError or ResultsError if that is not possible."""
        if self.file is None:
            return
        if resume:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            sources = {name: fingerprint(impl.kernel) for name, impl in self.session.implementations.items()}
            packages = {package for impl in self.session.implementations.values() for package in impl.requires}
            cells = store.continue_from(self.file, self.environment, self.session.seed, sources, packages)
            self.done = {cell.key: cell for cell in cells}
            store.write(self.file, cells)
        else:
            store.start(self.file)

    def run(self, progress: bool = True) -> None:
        """Measure the missing cells, and rank all. Ctrl-C ends the measurement."""
        try:
            with kernels_to_stderr():
                self._measure([key for key in self.keys if key not in self.done], progress)
        except KeyboardInterrupt:
            self.interrupted = True
        self.problems += self._stored.finish(self.done.values())
        self.ranked = rank_all(self.done[key] for key in self.keys if key in self.done)
        self.problems += exclusions(self.ranked)
        if not self.ranked:
            self.problems += failures(self.session.verdicts.values())
        if self.interrupted or self.is_partial:
            done = f"{len(self.ranked)} of {format_count(len(self.keys), 'cell')} are measured."
            self.problems.append(f"Interrupted: {done}" if self.interrupted else done)

    def _measure(self, keys: Sequence[CellKey], progress: bool) -> None:
        if not keys:
            return
        session, steps, done = self.session, len(plan(keys)), 0
        with progress_line(progress) as line:
            line.keep(f"comparing {format_count(len(keys), 'cell')} in about {self.budget:g} s")
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
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    @property
    def is_partial(self) -> bool:
        """Whether cells are missing."""
        return len(self.ranked) < len(self.keys)

    @property
    def failed(self) -> bool:
        """Whether an implementation is wrong, no cell was measured, or the file lacks cells."""
        wrong = rejected(self.ranked) or any(not verdict.right for verdict in self.session.verdicts.values())
        return bool(wrong or not self.ranked or self._stored.lacks)

    def recommendation(self) -> list[str]:
        """Return sentences that say which implementation to use."""
        return recommend(self.ranked, {name: impl.family for name, impl in self.session.implementations.items()})

    def results(self) -> Results:
        """Return the measured cells as results of a single run."""
        here, cells = self.environment, tuple(cell.every_round for cell in self.ranked)
        run = Run("compare", here.machine, here.commit or "", cells, here.host)
        runs = (RankedRun(run, self.ranked),) if self.ranked else ()
        return Results(runs, tuple(self.problems), tuple(self.recommendation()))
