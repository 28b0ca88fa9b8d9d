"""Compute gradients of more logits than the memory holds, on worker processes, and measure time and memory.

``python tools/out_of_memory.py run`` computes 60 GB of float32 logits in two worker processes of 4 GB, once with whole
rows in each chunk and once with divided rows, each also with a worker that is killed; ``threads`` compares the time of
worker threads with and without threads of their own. tools/scheduling.py compares workers with a process without Dask.
tools/out_of_memory_page.py makes the block of docs/beyond-one-machine.md.
"""

from __future__ import annotations

import functools
import hashlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, futures_of
from out_of_memory_page import CALLS, CHUNKS, CLASSES, Run, keep

import softmax_impls
from softmax_impls.dask import chunks, softmax, softmax_backward
from softmax_impls.implementation import Array
from softmax_impls.timing.environment import environment

SIZE, WORKERS, MEMORY = 60e9, 2, "4GB"
KILLED_AFTER = 1 / 3  # of the row sums
ROUNDS, ROUND_SIZE = 8, 2.2e9  # of the comparison of times
T = TypeVar("T")


def draw(block_id: tuple[int, int], shape: tuple[int, int], scale: float) -> Array:
    """Return a chunk of uniform numbers from -scale/2 to scale/2."""
    rng = np.random.Generator(np.random.SFC64([*block_id, round(scale)]))
    drawn = rng.random(shape, np.float32)
    drawn -= np.float32(0.5)
    drawn *= np.float32(scale)
    return np.asarray(drawn)


def row_sums(gradient: Array) -> Array:
    """Return Σ |gradient| of each row, in float64."""
    return np.asarray(np.abs(gradient, out=gradient).sum(axis=-1, keepdims=True, dtype=np.float64))


def lazily(kind: str, size: float, threads_of_calls: int | None = 1) -> Any:
    """Return the row sums of each chunk as a Dask array. If chunks have whole rows, one task computes a chunk.

    `kind` is a key of `CHUNKS`, and `size` the bytes of logits. Each call uses one thread, or with
    `threads_of_calls=None` the default number of threads.
    """
    shape = CHUNKS[kind]
    rows = round(size / 4 / CLASSES / shape[0]) * shape[0]
    drawn = functools.partial(
        da.map_blocks, draw, chunks=da.core.normalize_chunks(shape, (rows, CLASSES)), dtype=np.float32, shape=shape
    )
    logits, grad = drawn(scale=20), drawn(scale=1)
    if threads_of_calls == 1:
        gradient = softmax_backward(softmax(logits), grad)
    else:
        gradient = da.map_blocks(_with_threads_of_their_own, logits, grad, dtype=np.float32)
    return gradient.map_blocks(row_sums, chunks=(gradient.chunks[0], (1,) * gradient.numblocks[1]), dtype=np.float64)


def _with_threads_of_their_own(logits: Array, grad: Array) -> Array:
    return softmax_impls.softmax_backward(softmax_impls.softmax(logits), grad)


def without_dask(kind: str, size: float) -> Array:
    """Return the row sums, computed chunk by chunk in this process by the functions that the tasks call."""
    rows = CHUNKS[kind][0]
    return np.concatenate([_sums_of_rows(kind, row) for row in range(round(size / 4 / CLASSES / rows))])


def _sums_of_rows(kind: str, row: int) -> Array:
    axes, columns = (1,), range(CLASSES // CHUNKS[kind][1])
    drawn = functools.partial(draw, shape=CHUNKS[kind])
    if len(columns) == 1:
        whole = chunks.softmax(drawn((row, 0), scale=20), axes)  # as on a worker, the logits are dropped first
        gradients = [chunks.backward(whole, drawn((row, 0), scale=1), axes, "auto")]
    else:
        logits, grad = ([drawn((row, column), scale=scale) for column in columns] for scale in (20, 1))
        parts = [chunks.softmax(x, axes) for x in logits]
        sums = [chunks.softmax_report(x, part, axes) for x, part in zip(logits, parts, strict=True)]
        total = chunks.merge_sums(np.concatenate(sums, axis=1), axes)
        probs = [chunks.scaled(part, own, total, np.float32) for part, own in zip(parts, sums, strict=True)]
        del logits, parts
        pairs = list(zip(probs, grad, strict=True))
        tops = chunks.merge_dots(np.concatenate([chunks.backward_report(*pair, axes) for pair in pairs], axis=1), axes)
        dots = np.concatenate([chunks.shifted_dot(*pair, tops, axes) for pair in pairs], axis=1)
        dot = chunks.merge_shifted(dots, axes)
        gradients = [chunks.gradient(*pair, tops, dot, axes) for pair in pairs]
    return np.asarray(np.concatenate([row_sums(gradient) for gradient in gradients], axis=1).sum(axis=1))


@contextmanager
def workers(number: int, threads: int = 1) -> Iterator[Client]:
    """Start worker processes, each with this number of threads; yield a client, and stop them at the end."""
    options = {"n_workers": number, "threads_per_worker": threads, "memory_limit": MEMORY, "dashboard_address": ":0"}
    with LocalCluster(processes=True, **options) as cluster, Client(cluster) as client:
        yield client


def peak_memory() -> int:
    """Return the largest resident memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def compute(client: Client, sums: Any, kill: bool) -> tuple[Array, int]:
    """Compute `sums` on the workers. Return the row sums, and the number of lost results.

    With `kill`, one worker is killed after a third of the sums. The lost results are the results that it held.
    """
    running, lost = client.persist(sums), 0
    futures = futures_of(running)
    while kill and sum(future.done() for future in futures) < KILLED_AFTER * len(futures):
        time.sleep(0.2)
    if kill:
        address, process = next(iter(client.run(os.getpid).items()))
        lost = len(client.has_what()[address])
        os.kill(process, signal.SIGKILL)
        click.echo(f"worker {address} was killed; it held the results of {lost} tasks")
    return np.asarray(running.compute().sum(axis=-1)), lost


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """Return a result, and the seconds that it took."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def run_of(kind: str, rows: str, by: str, size: float, result: Array, seconds: float, **facts: Any) -> Run:
    """Return the record of a computation, and print it.

    `rows` is a key of `CHUNKS`, and `size` the bytes of logits. The other parameters are fields of `Run`.
    """
    digest = hashlib.sha256(result.tobytes()).hexdigest()[:16]
    run = Run(kind, rows, by, round(size), seconds, digest, environment().machine, **facts)
    click.echo(run)
    return run


def check(kind: str, result: Array) -> None:
    """Compute the first row sums again on whole rows without Dask; AssertionError if `result` differs from them."""
    rows, columns = CHUNKS[kind]
    logits, grad = (
        np.concatenate([draw((0, column), (rows, columns), scale) for column in range(CLASSES // columns)], axis=1)
        for scale in (20, 1)
    )
    expected = row_sums(softmax_impls.softmax_backward(softmax_impls.softmax(logits), grad))[:, 0]
    np.testing.assert_allclose(result[:rows], expected, rtol=1e-6)


@click.group()
def main() -> None:
    """Gradients of more logits than the memory holds."""


@main.command("run")
@click.option("--gigabytes", default=SIZE / 1e9, show_default=True)
@click.option("--rows", type=click.Choice([*CHUNKS, "both"]), default="both", show_default=True)
@click.option("--kill/--no-kill", default=None, help="Only with a killed worker, or only without. By default both.")
def run_command(gigabytes: float, rows: str, kill: bool | None) -> None:
    """Compute the row sums on two worker processes: once undisturbed, and once with a worker that is killed."""
    size = gigabytes * 1e9
    for kind in CHUNKS if rows == "both" else (rows,):
        for killed in (False, True) if kill is None else (kill,):
            with workers(WORKERS) as client:
                (result, lost), seconds = timed(lambda: compute(client, lazily(kind, size), killed))  # noqa: B023
                client.wait_for_workers(WORKERS)  # a new worker takes the place of the killed one
                peaks = tuple(client.run(peak_memory).values())
            check(kind, result)
            by = f"{WORKERS} workers" + (", one was killed" if killed else "")
            keep([run_of("memory", kind, by, size, result, seconds, peaks=peaks, lost=lost)])


@main.command()
@click.option("--rounds", default=ROUNDS, show_default=True)
def threads(rounds: int) -> None:
    """Compare calls that use one thread with calls that use a thread for each processor.

    Both run in one worker with a thread for each processor.
    """
    number, runs = os.cpu_count() or 1, []
    with workers(1, threads=number) as client:
        for count in range(rounds + 1):
            for by, own in zip(CALLS, (1, None), strict=True):
                result, seconds = timed(lambda: client.compute(lazily("whole rows", ROUND_SIZE, own), sync=True))  # noqa: B023
                if count:
                    runs.append(run_of("threads", "whole rows", by, ROUND_SIZE, result, seconds))
    keep(runs)


if __name__ == "__main__":
    main()
