"""Run a comparison on a fleet, as `softmax_impls.commands.comparison` does on one machine."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path

import distributed
import msgspec
from distributed import Client, Lock, wait
from distributed.comm import CommClosedError

from softmax_impls.choice.coverage import recommend, rejected
from softmax_impls.choice.fleet import at_cells, kind_names, rank_runs, summary
from softmax_impls.choice.ranking import KindKey, kind_of
from softmax_impls.commands.fleet import messages, tasks
from softmax_impls.commands.fleet.kinds import KindRun, describe_workers
from softmax_impls.commands.fleet.messages import Order
from softmax_impls.commands.fleet.sending import files_of
from softmax_impls.commands.outcome import Outcome
from softmax_impls.formatting import format_count, one_line
from softmax_impls.implementation import Implementation
from softmax_impls.report.terminal.cells import exclusions
from softmax_impls.report.terminal.progress import ProgressLine, progress_line
from softmax_impls.results import store
from softmax_impls.results.runs import split
from softmax_impls.timing.environment import fingerprint
from softmax_impls.timing.records import Cell
from softmax_impls.timing.workloads import CellKey

CONNECT = 10.0  # seconds to find the scheduler
POLL = 0.5  # seconds between two checks of which workers are alive

ClosedClientError = getattr(distributed.client, "ClosedClientError", CommClosedError)  # old versions of Dask lack it
_DECODER = msgspec.json.Decoder(messages.Message)


class FleetComparison(Outcome):
    """A comparison on a fleet. After `run`, it has the results of all kinds of machines."""

    def __init__(self, scheduler: str, order: Order, usable: Mapping[str, Implementation], folder: Path | None) -> None:
        super().__init__(msgspec.structs.replace(order, files=files_of(order.specs)), folder)
        self._scheduler = scheduler
        self._sources = {name: fingerprint(record.kernel) for name, record in usable.items()}
        self.kinds: list[KindRun] = []
        self.done: dict[tuple[KindKey, CellKey], Cell] = {}

    def load(self, file: Path) -> None:
        """Load the cells of an interrupted comparison, of any machines, so that they are not measured again.

        Raise ResultsError if the seed or the source of an implementation differs from that of this comparison.
        """
        for cell in store.read_whole(file):
            then = {kernel.name: kernel.source for kernel in cell.kernels if kernel.name in self._sources}
            now = {name: source for name, source in self._sources.items() if name in then}
            store.refuse_if_different(file, "seed", cell.seed, self.order.seed)
            store.refuse_if_different(file, "implementations", then, now)
            self.done[kind_of(cell.environment), cell.key] = cell

    def run(self, progress: bool = True) -> None:
        """Measure the missing cells on each kind of machine. Raise OSError without a scheduler. Ctrl-C ends the run."""
        with Client(self._scheduler, timeout=CONNECT) as client, self._only_one(client):
            try:
                with progress_line(progress) as line:
                    self._find_kinds(client, line)
                    self._stop(client)
                    self._measure(client, line)
            except KeyboardInterrupt:
                self.interrupted = True
            except (CommClosedError, ClosedClientError) as error:
                self.unfinished = True
                self.problems.append(str(error))
            finally:
                self._stop(client)
        self.problems += self._stored.finish(self.done.values())
        self._conclude()

    @contextlib.contextmanager
    def _only_one(self, client: Client) -> Iterator[None]:
        """Hold the lock of all comparisons of this scheduler; ValueError if another comparison holds it."""
        lock = Lock("softmax-impls compare")
        if not lock.acquire(timeout=1):
            raise ValueError("another comparison uses the workers of this scheduler, or was killed seconds ago")
        try:
            yield
        finally:
            if client.status == "running":
                lock.release()

    def _stop(self, client: Client) -> None:
        """End all measuring processes, also processes of an earlier comparison that was killed."""
        for kind in self.kinds:
            kind.message = None
        if client.status == "running" and (workers := [address for kind in self.kinds for address in kind.workers]):
            with contextlib.suppress(OSError):  # the scheduler is gone
                client.run(tasks.stop, workers=workers, on_error="ignore")

    def _find_kinds(self, client: Client, line: ProgressLine) -> None:
        """Group the workers by kind of machine, and show a line for each kind and for each refused worker.

        `describe_workers` says which workers are refused. Workers of one host that have different versions of the
        libraries are of different kinds; only the first of these kinds is measured. ValueError if no worker is usable.
        """
        found, refused = describe_workers(client, client.nthreads(), self.order.machine)
        kinds: dict[KindKey, list[str]] = {}
        for address, about in found.items():
            kinds.setdefault(kind_of(about), []).append(address)
        for (kind, addresses), name in zip(kinds.items(), kind_names(list(kinds)), strict=True):
            missing = [key for key in self.order.keys if (kind, key) not in self.done]
            hosts = {address: found[address].host for address in addresses}
            same_machine = (other for other in self.kinds if other.key[0] == kind[0])
            if both := {host for other in same_machine for host in other.workers.values()} & {*hosts.values()}:
                refused.append(f"{name} not measured: {min(both)} has workers with other versions, too")
                continue
            self.kinds.append(KindRun(name, kind, missing, hosts, finished=not missing))
            workers = f"{format_count(len(hosts), 'worker')} on {', '.join(sorted(set(hosts.values())))}"
            line.keep(f"{name}: {format_count(len(missing), 'cell')} to measure; {workers}")
        for text in refused:
            line.keep(text)
        self.problems += refused
        self.unfinished = bool(refused)
        if not kinds:
            raise ValueError("; ".join(refused) or f"the scheduler at {self._scheduler} has no workers")

    def _measure(self, client: Client, line: ProgressLine) -> None:
        line.keep(f"comparing in about {self.order.budget:g} s on each kind")
        while active := [kind for kind in self.kinds if not kind.finished]:
            alive = self._alive(client)
            for kind in active:
                if kind.message and kind.worker not in alive:
                    why = f"its worker on {kind.busy_host} is gone"
                    line.keep(f"{kind.name}: {why}")
                    self._lose(kind, why)
                known = {address for other in self.kinds for address in other.workers}
                kind.update_workers(client, alive, known, self.order.machine)
                if kind.message is None and not kind.finished:
                    kind.start(client, self.order, [other.busy_host for other in self.kinds])
            left, cells = max(kind.seconds_left for kind in active), [str(kind.now) for kind in active if kind.now]
            line.show(f"{' | '.join(map(str, self.kinds))} | at most {left:.0f} s left | {', '.join(cells)}")
            awaited = [kind.message for kind in active if kind.message]
            with contextlib.suppress(TimeoutError, CancelledError):  # cancelled if the scheduler is gone
                wait(awaited, timeout=POLL, return_when="FIRST_COMPLETED") if awaited else time.sleep(POLL)
            for kind in active:
                if kind.message and kind.message.done() and client.status == "running":
                    self._receive(client, kind, line)

    def _alive(self, client: Client) -> dict[str, int]:
        """Return the number of threads of each live worker, by address; CommClosedError if the scheduler is gone."""
        with contextlib.suppress(OSError):
            if client.status == "running":
                return dict(client.nthreads())
        raise CommClosedError(f"the scheduler at {self._scheduler} is gone")

    def _lose(self, kind: KindRun, why: str) -> None:
        if problem := kind.lose(why):
            self.problems.append(problem)
            self.unfinished = True

    def _receive(self, client: Client, kind: KindRun, line: ProgressLine) -> None:
        """Handle the message from the worker that measures a kind of machine, and ask it for its next message."""
        assert kind.message
        try:
            message: messages.Message = _DECODER.decode(kind.message.result())
        except Exception as error:  # the process has ended, for instance
            self._lose(kind, one_line(error))
            return
        kind.ask(client, tasks.next_message)
        match message:
            case messages.Started():
                self._take_part(client, kind, message)
            case messages.Late():
                line.keep(f"{kind.name}: it will take about {message.seconds:.0f} s: kernels are compiled first")
            case messages.Measuring():
                kind.now, kind.seconds_left = message.key, message.seconds_left
            case messages.Measured():
                kind.steps_done += 1
                kind.settle(message.cell.key)
                self.done[kind.key, message.cell.key] = message.cell
                self._stored.append(message.cell, line.keep)
            case messages.NotMeasured():
                kind.settle(message.key)
                self.problems.append(f"{kind.name}: {message.key} not measured: {message.why}")
            case messages.Refused():
                self._refuse(kind, message.why)
            case messages.Ended():
                kind.message, kind.finished = None, True
                self.wrong += message.failures

    def _take_part(self, client: Client, kind: KindRun, message: messages.Started) -> None:
        """Begin with a kind of machine: store how many steps its measurement has, and which implementations it lacks.

        If an implementation's code on the worker differs from the code here, stop the worker: it measures nothing.
        """
        kind.steps = kind.steps_done + message.steps
        self.problems += [f"{kind.name}: {name} not available: {why}" for name, why in message.unusable.items()]
        both = self._sources.keys() & message.sources.keys()
        if different := sorted(name for name in both if self._sources[name] != message.sources[name]):
            client.run(tasks.stop, workers=[kind.worker], on_error="ignore")
            self._refuse(kind, f"the code differs from here: {', '.join(different)}")

    def _refuse(self, kind: KindRun, why: str) -> None:
        kind.message, kind.finished, self.unfinished = None, True, True
        self.problems.append(f"{kind.name} not measured: {why}")

    def _conclude(self) -> None:
        """Rank the results, and note the problems and the missing cells."""
        wanted = [cell for (_, key), cell in self.done.items() if key in self.order.keys]
        self.runs = rank_runs(split(wanted))
        for run in self.runs:
            self.problems += [f"{run.run.place}: {line}" for line in exclusions(run.cells)]
        self.problems += self.wrong
        for kind in self.kinds:
            if kind.missing and kind.is_gone:
                total = format_count(len(self.order.keys), "cell")
                done = f"{len(self.order.keys) - len(kind.missing)} of {total} are measured"
                self.problems.append(f"{kind.name} is gone: {done}.")
                self.unfinished = True
        self.problems = list(dict.fromkeys(self.problems))  # each line once, also if several workers measured a kind
        if self.interrupted:
            total = format_count(len(self.kinds) * len(self.order.keys), "cell")
            self.problems.append(f"Interrupted: {len(wanted)} of {total} are measured.")

    def recommendation(self) -> list[str]:
        """Return sentences that say which implementation to use on which kind of machine."""
        if not (for_all := [*summary(at_cells(self.runs))]):
            return recommend(self.runs[0].cells, {}) if self.runs else []
        wrong = {name: why for run in self.runs for name, why in rejected(run.cells).items()}
        return [*for_all, *(f"Do not use {name}: {why}." for name, why in sorted(wrong.items()))]
