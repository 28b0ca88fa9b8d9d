"""The kinds of machines of a fleet: the workers of each kind, and the measurement on one of its workers."""

import importlib.metadata
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from distributed import Client, Future

import softmax_impls
from softmax_impls.choice.ranking import KindKey, kind_of
from softmax_impls.commands.fleet.messages import Order
from softmax_impls.commands.fleet.tasks import start
from softmax_impls.formatting import one_line
from softmax_impls.timing.environment import environment
from softmax_impls.timing.records import Environment
from softmax_impls.timing.workloads import CellKey

GONE = 15.0  # seconds without a worker after which a kind is given up; Dask replaces a dead worker sooner
TRIES = 2  # a cell is skipped when this many workers or processes have died in it


@dataclass
class KindRun:
    """The measurement of a kind of machine."""

    name: str
    key: KindKey
    missing: list[CellKey]
    workers: dict[str, str]  # name of the host, by address of the worker; without workers that died
    worker: str = ""  # the address of the worker that measures
    message: Future | None = None  # the next message; None while nothing is measured
    now: CellKey | None = None  # the cell that is measured; None while kernels are compiled and checked
    steps_done: int = 0
    steps: int = 0  # done and planned
    seconds_left: float = 0.0  # of the budget
    lost: Counter[CellKey | None] = field(default_factory=Counter)  # how often a worker or a process died, by cell
    last_seen: float = field(default_factory=time.perf_counter)  # when the kind last had a worker
    finished: bool = False
    is_gone: bool = False  # it had no worker for `GONE` seconds

    def __str__(self) -> str:
        if self.finished:
            state = "gone" if self.is_gone else "done"
        elif not self.message:
            state = "waits for a worker"
        else:
            state = f"{self.steps_done}/{max(self.steps, self.steps_done)}" if self.now else "compiles"
        return f"{self.name}: {state}"

    @property
    def busy_host(self) -> str:
        """The host that measures; "" if no host measures."""
        return self.workers.get(self.worker, "") if self.message else ""

    def settle(self, cell: CellKey) -> None:
        """Note that a cell is measured or skipped."""
        self.missing = [key for key in self.missing if key != cell]

    def start(self, client: Client, order: Order, busy: Collection[str]) -> None:
        """Start to measure the missing cells on a worker whose host is not in `busy`; if there is none, do nothing.

        The budget of `order` is for all its cells. The measurement gets a share in proportion to the missing cells.
        """
        for address, name in self.workers.items():
            if name not in busy:
                share = len(self.missing) / len(order.keys)
                own = msgspec.structs.replace(order, keys=self.missing, budget=order.budget * share)
                self.worker, self.now = address, None
                self.ask(client, start, msgspec.json.encode(own))
                return

    def ask(self, client: Client, *call: Any) -> None:
        """Submit a call to the worker, without waiting. Its result will be the next message.

        `call` is a function and its arguments.
        """
        self.message = client.submit(*call, workers=[self.worker], pure=False)

    def lose(self, why: str) -> str:
        """Count a death of the worker or of its process; `why` is the reason.

        After `TRIES` deaths in the same cell, skip the cell. After `TRIES` deaths while kernels are compiled and
        checked, skip the kind of machine. Return a line that says what is skipped, or "" if another try follows.
        """
        now, self.message, self.now = self.now, None, None
        self.lost[now] += 1
        if self.lost[now] < TRIES:
            return ""
        if now is None:
            self.finished = True
            return f"{self.name} not measured: {why}"
        self.settle(now)
        self.finished = not self.missing
        return f"{self.name}: {now} not measured: {why}"

    def update_workers(
        self, client: Client, alive: Collection[str], known: Collection[str], machine: str | None
    ) -> None:
        """Remove the workers that died. If none is left, look for new workers of this kind.

        `alive` has the addresses of all workers that live now, `known` the addresses that were seen before. So workers
        that are only in `alive` are new. If the kind has no worker for `GONE` seconds, its measurement ends.
        `machine` is as in `describe_workers`.
        """
        self.workers = {address: name for address, name in self.workers.items() if address in alive}
        if not self.workers:
            found, _ = describe_workers(client, set(alive).difference(known), machine)
            self.workers = {address: about.host for address, about in found.items() if kind_of(about) == self.key}
        if self.workers:
            self.last_seen = time.perf_counter()
        elif time.perf_counter() - self.last_seen > GONE:
            self.finished = self.is_gone = True


def describe_workers(
    client: Client, addresses: Iterable[str], machine: str | None
) -> tuple[dict[str, Environment], list[str]]:
    """Return the machine and the software of each usable worker, by address, and a line for each refused worker.

    A worker is usable if it has the same version of the package as this process, and the same git commit if both are
    known. The line says why a worker is refused. `machine` is the name that the user gave to the machines, or None.
    """
    ask: Any = {"workers": list(addresses), "on_error": "return"}
    versions = client.run(importlib.metadata.version, "softmax-impls", **ask) if ask["workers"] else {}
    ask["workers"] = [address for address, version in versions.items() if version == softmax_impls.__version__]
    answers = client.run(environment, machine, **ask) if ask["workers"] else {}
    reasons = {address: _reason(version, answers.get(address)) for address, version in versions.items()}
    usable = {address: about for address, about in answers.items() if not reasons[address]}
    return usable, [f"worker {address} refused: {why}" for address, why in reasons.items() if why]


def _reason(version: object, about: object) -> str:
    """Return why a worker is refused; "" if it is not.

    `version` is the worker's version of the package, and `about` its `Environment`. If the worker could not state one
    of them, it is an exception. If the version is not the version of this process, `about` is None.
    """
    own, here = softmax_impls.__version__, environment().commit
    for answer in (version, about):
        if isinstance(answer, BaseException):  # the package is not installed, or the worker has died
            return one_line(answer)
    if not isinstance(about, Environment):
        return f"it has softmax-impls {version}, and this process {own}"
    if about.commit and here and about.commit != here:
        return f"{about.host} has softmax-impls at commit {about.commit[:10]}, and this process {here[:10]}"
    return ""
