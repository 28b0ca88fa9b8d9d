"""Tools of docs/beyond-one-machine.md: both sides of a comparison are equal; blocks show the results."""

import dask
import numpy as np
import pytest

from tests.tools.scripts import ROOT, script


@pytest.fixture
def tool(monkeypatch, tmp_path):
    found = script(ROOT / "tools" / "out_of_memory.py")
    monkeypatch.setattr(found, "CLASSES", 64)
    monkeypatch.setattr(found, "CHUNKS", {"whole rows": (4, 64), "divided rows": (8, 16)})
    return found


@pytest.mark.parametrize("kind", ["whole rows", "divided rows"])
def test_the_process_without_dask_computes_what_the_workers_compute(tool, kind):
    with dask.config.set(scheduler="synchronous"):
        found = tool.lazily(kind, 16 * 64 * 4).compute().sum(axis=-1)
    assert found.shape == (16,)
    np.testing.assert_array_equal(found, tool.without_dask(kind, 16 * 64 * 4))
    tool.check(kind, found)
    with pytest.raises(AssertionError):
        tool.check(kind, found[::-1])


@pytest.fixture
def page():
    return script(ROOT / "tools" / "out_of_memory_page.py")


@pytest.fixture
def run(page):
    def of(kind, rows, by, seconds, **facts):
        return page.Run(kind, rows, by, 60_000_000_000, seconds, "0123456789abcdef", "a cpu", **facts)

    return of


def test_runs_take_the_place_of_earlier_runs_of_the_same_computation(page, run, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "RESULTS", tmp_path / "out_of_memory.jsonl")
    other = run("memory", "whole rows", "2 workers", 100.0)
    page.keep([other, *(run("threads", "whole rows", by, 1.0) for by in page.CALLS)])
    again = [run("threads", "whole rows", by, 2.0) for by in page.CALLS]
    page.keep(again)
    assert page.read() == [other, *again]


def test_block_shows_memory_and_costs(page, run):
    runs = [run("memory", "whole rows", "2 workers", 100.0, peaks=(10**9, 2 * 10**9))]
    for rows in page.CHUNKS:
        for by, seconds in zip((*page.SETTINGS, page.WITHOUT_DASK), (2.1, 2.02, 2.0), strict=True):
            runs += [run("scheduling", rows, by, seconds, cpu=2 * seconds, cpu_of_tasks=seconds)] * 3
    runs += [run("threads", "whole rows", by, s) for by, s in zip(page.CALLS, (1.0, 2.0), strict=True)]
    block = page.block(runs)
    assert "| whole rows | 60.0 GB | 2 workers | a cpu | 100 s | 1.0 GB · 2.0 GB | 01234567 |" in block
    assert "| divided rows | 1 worker | 100.0% | 1.05 (1.05 to 1.05) | 1.05 (1.05 to 1.05) |" in block
    assert "| whole rows | 1 worker, less monitoring | 100.0% | 1.01 (1.01 to 1.01) | 1.01 (1.01 to 1.01) |" in block
    assert "calls in one thread take 0.50 times" in " ".join(block.split())


def test_chunkings_of_a_row_go_from_two_chunks_to_one_for_each_class():
    tool = script(ROOT / "tools" / "chunkings.py")
    rng = np.random.default_rng(0)
    for pieces in (2, 5, 9):
        sizes = tool.divided(rng, 9, pieces)
        assert len(sizes) == pieces
        assert sum(sizes) == 9
        assert min(sizes) > 0
