"""Measure what Dask's scheduling costs: compare a worker process with a process that computes the same without Dask.

Each side has a process of its own. One computes row sums of tools/out_of_memory.py without Dask. The others have a Dask
scheduler each, and start a worker process that computes the row sums. While one side computes, the processes of the
others are stopped. All have the environment variables that Dask gives to workers, as those of malloc.
tools/out_of_memory_page.py shows the results.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

import click
import dask
import numpy as np
import psutil
from distributed import Client
from out_of_memory import lazily, run_of, timed, without_dask, workers
from out_of_memory_page import CHUNKS, SETTINGS, WITHOUT_DASK, Run, keep
from processes import SPAWN

from softmax_impls.implementation import Array

ROUNDS, SIZE = 10, 1.35e9
ENVIRONMENT = "distributed.nanny.pre-spawn-environ"


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True)
def main(rounds: int) -> None:
    """Compare workers with a process without Dask, in rounds of random order."""
    os.environ.update({name: str(value) for name, value in dask.config.get(ENVIRONMENT).items()})
    order = random.Random(0)
    for kind in CHUNKS:
        with ExitStack() as stack:
            sides = [stack.enter_context(side(by)) for by in (*SETTINGS, WITHOUT_DASK)]
            found = [[run(kind) for run in order.sample(sides, len(sides))] for _ in range(rounds + 1)]
        keep([run for of_round in found[1:] for run in of_round])  # the first one warms up


@contextmanager
def side(by: str) -> Iterator[Callable[[str], Run]]:
    """Yield a function that computes row sums in processes of its own, which are stopped at other times."""
    connection, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=serve, args=(theirs, by))
    process.start()
    theirs.close()  # so that `recv` fails if the process dies

    def send_signal(number: signal.Signals) -> None:
        for member in (own := psutil.Process(process.pid), *own.children(recursive=True)):
            member.send_signal(number)

    def run(kind: str) -> Run:
        send_signal(signal.SIGCONT)
        connection.send(kind)
        found: Run = connection.recv()
        send_signal(signal.SIGSTOP)
        return found

    try:
        yield run
    finally:
        send_signal(signal.SIGCONT)
        connection.send(None)
        process.join()


def serve(connection: Connection, by: str) -> None:
    """Compute row sums for each kind of chunks that is received, and send the runs; None is the end."""
    with ExitStack() as stack:
        client = None
        if by in SETTINGS:
            stack.enter_context(dask.config.set(SETTINGS[by]))
            client = stack.enter_context(workers(1))
        for kind in iter(connection.recv, None):
            before = processor_times(client)
            result, seconds = timed(lambda: row_sums(kind, client))  # noqa: B023
            cpu, of_tasks = np.subtract(processor_times(client), before).tolist()
            connection.send(run_of("scheduling", kind, by, SIZE, result, seconds, cpu=cpu, cpu_of_tasks=of_tasks))


def row_sums(kind: str, client: Client | None) -> Array:
    """Compute row sums on a worker, or without Dask."""
    return without_dask(kind, SIZE) if client is None else client.compute(lazily(kind, SIZE), sync=True).sum(axis=-1)


def processor_times(client: Client | None) -> tuple[float, float]:
    """Return the seconds of processor time that this process and its worker have taken, and those of the tasks.

    Those of the tasks are the seconds of all threads of the worker but its event loop. They include Dask's profiler.
    """
    if client is None:
        return time.process_time(), time.process_time()
    (worker,), (event_loop,) = (client.run(clock).values() for clock in (time.process_time, time.thread_time))
    return time.process_time() + worker, worker - event_loop  # `run` calls a clock in the thread of the event loop


if __name__ == "__main__":
    main()
