"""Dask arrays on worker processes: the same bits wherever a chunk is computed, also after the death of a worker."""

import os
import signal
import threading
import time

import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, futures_of

from softmax_impls.dask import softmax, softmax_backward

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of distributed, when a process dies
ROWS, CLASSES = 48, 40_000


def draw(block_id):
    time.sleep(0.02)  # so that the worker dies in the middle
    return np.random.default_rng(block_id).normal(scale=3, size=(8, 10_000)).astype(np.float32)


def gradient():
    logits = da.map_blocks(draw, chunks=((8,) * (ROWS // 8), (10_000,) * (CLASSES // 10_000)), dtype=np.float32)
    return softmax_backward(softmax(logits), logits)


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_bits_are_the_same_on_worker_processes_and_after_the_death_of_a_worker(client):
    expected = gradient().compute(scheduler="synchronous")
    np.testing.assert_array_equal(client.compute(gradient(), sync=True), expected)
    running = client.persist(gradient())
    while not any(future.done() for future in futures_of(running)):
        time.sleep(0.01)
    address, process = next(iter(client.run(os.getpid).items()))
    os.kill(process, signal.SIGKILL)
    np.testing.assert_array_equal(running.compute(), expected)
    client.wait_for_workers(2)
    assert process not in client.run(os.getpid).values(), address


def test_workers_start_no_threads_of_this_package(client):
    client.compute(gradient(), sync=True)
    names = [name for names in client.run(lambda: [t.name for t in threading.enumerate()]).values() for name in names]
    assert not [name for name in names if name.startswith("softmax-impls")]
