"""One cell: who takes part, who is told apart, and what is kept of the others."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from softmax_impls import implementations
from softmax_impls.implementation import LARGEST_TEMPORARIES
from softmax_impls.registry import describe
from softmax_impls.timing import entry as entry_module
from softmax_impls.timing import race, sampler, workloads
from softmax_impls.timing.entry import DROPPED, EXTRAPOLATED, FAILED, LIMIT, PRUNED, TIMED, WRONG, Entry, standing
from softmax_impls.timing.plan import cost
from softmax_impls.timing.sampler import measure
from softmax_impls.timing.session import Session
from softmax_impls.timing.workloads import GRID_LARGEST, WORKLOADS, Cell, grid

SMALL = Cell("test", 8, 16, "float64", 1)


def textbook(probs, grad_output, out):
    out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))


def delayed(seconds, name):
    def kernel(probs, grad_output, out):
        textbook(probs, grad_output, out)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return describe(kernel, name=name)


def entries(cell, kernels, seconds=0.5, memory=LARGEST_TEMPORARIES, turns=1):
    return {("control" if e.control else e.one.name): e for e in measure(cell, kernels, seconds, memory, turns=turns)}


def test_fast_and_slow_are_told_apart_and_a_control_runs_beside_them():
    found = entries(SMALL, [delayed(1e-4, "fast"), delayed(1.5e-4, "slow")])
    assert found["fast"].status == found["slow"].status == TIMED
    assert found["control"].one.name == "fast"
    stood = standing(found.values())
    assert (stood.best, stood.ties) == ("fast", ())
    assert 1.2 < stood.ratios["slow"].value < 1.5
    assert len(found["fast"].samples) == len(found["slow"].samples) == len(found["control"].samples)
    assert all(1e-4 < sample < 1e-2 for sample in found["fast"].samples)


def test_short_calls_are_batched():
    found = entries(SMALL, [describe(textbook)])
    assert found["textbook"].loops * np.median(found["textbook"].samples) >= sampler.SHORTEST_SAMPLE / 2


def test_hopeless_is_dropped_and_what_was_seen_is_kept():
    found = entries(SMALL, [delayed(1e-4, "fast"), delayed(1e-3, "hopeless")])
    assert found["hopeless"].status == DROPPED
    assert 1 <= len(found["hopeless"].samples) < len(found["fast"].samples)
    assert standing(found.values()).ratios["hopeless"].value > 5


def test_nobody_is_dropped_before_the_fewest_rounds():
    kernels = [delayed(1e-4, "fast"), delayed(1e-3, "hopeless")]
    found = {entry.one.name: entry for entry in measure(SMALL, kernels, 1.0, LARGEST_TEMPORARIES, fewest_rounds=20)}
    assert len(found["hopeless"].samples) == 20


def test_who_is_clearly_behind_leaves_the_time_to_those_that_are_close(monkeypatch):
    kernels = [delayed(1e-4, "fast"), delayed(1.01e-4, "close"), delayed(1.5e-4, "behind")]
    monkeypatch.setattr(race, "standing", lambda racing: replace(standing(racing), settled=False))
    found = entries(SMALL, kernels, seconds=0.5)
    assert found["behind"].status == TIMED
    assert race.FIRST_LOOK <= len(found["behind"].samples) < len(found["close"].samples)
    assert len(found["close"].samples) == len(found["fast"].samples)
    assert len(found["limit"].samples) < len(found["fast"].samples)
    assert "behind" not in standing(found.values()).ties


def test_there_is_time_for_samples_whatever_came_before(monkeypatch):
    """Another process had the processor while the arrays were made; the cell's time was over before the first round."""
    seen = []

    def run(entries, terms, move):
        seen.append(terms.deadline - time.perf_counter())

    monkeypatch.setattr(race, "run", run)
    monkeypatch.setattr(sampler.time, "perf_counter", clock([0.0], then=100.0))
    entries(SMALL, [describe(textbook)], seconds=0.4)
    assert seen == [pytest.approx(0.4 * sampler.RACE)]


def test_with_more_turns_to_come_arrays_move_and_results_are_verified_where_they_are():
    places = set()

    def noting(probs, grad_output, out):
        textbook(probs, grad_output, out)
        places.add(out.ctypes.data)

    (entry, *_) = measure(SMALL, [describe(noting)], 0.1, LARGEST_TEMPORARIES, turns=3)
    assert len(entry.visits) >= race.VISITS
    assert sum(entry.visits) == len(entry.samples)
    assert len(places) > 1


def test_a_kernel_that_is_wrong_on_other_arrays_is_found_out():
    """It answers from what it has seen, which is what makes a benchmark's second call so fast."""
    seen = {}

    def lazy(probs, grad_output, out):
        key = probs.shape, probs.dtype
        if key not in seen:
            seen[key] = np.empty_like(out)
            textbook(probs, grad_output, seen[key])
        out[...] = seen[key]

    found = measure(SMALL, [describe(textbook), describe(lazy)], 0.1, LARGEST_TEMPORARIES, turns=3)
    sampler.again(SMALL, found, 0.1, seed=1)
    assert {entry.one.name: entry.status for entry in found if not entry.control}["lazy"] == WRONG


def test_one_of_the_name_limit_is_not_the_machines():
    def limit(probs, grad_output, out):
        textbook(probs, grad_output, out)

    found = measure(SMALL, [describe(limit)], 0.1, LARGEST_TEMPORARIES, turns=3)
    assert [(entry.status, entry.discrepancy is None) for entry in found if not entry.control] == [
        (TIMED, False),
        (LIMIT, True),
    ]
    assert found[0].samples != found[2].samples


def test_all_wrong_on_other_arrays_ends_the_race():
    def once(probs, grad_output, out, calls=[]):  # noqa: B006
        textbook(probs, grad_output, out)
        out.flat[0] += len(calls) > 500
        calls.append(1)

    (one, *_) = measure(SMALL, [describe(once)], 0.1, LARGEST_TEMPORARIES, turns=3)
    assert one.status == WRONG


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("after", [3, 50, 400])  # calls: while it is verified, calibrated, or timed
def test_a_kernel_that_raises_now_and_then_is_left_out_and_the_others_go_on(after, turns):
    calls = []

    def flaky(probs, grad_output, out):
        textbook(probs, grad_output, out)
        calls.append(1)
        if len(calls) > after:
            raise RuntimeError("out of luck")

    found = entries(SMALL, [delayed(1e-4, "slow"), describe(flaky)], seconds=0.2, turns=turns)
    assert (found["flaky"].status, found["flaky"].note) == (FAILED, "RuntimeError: out of luck")
    assert found["slow"].status in (TIMED, DROPPED)
    assert found["slow"].samples


@pytest.mark.parametrize(("late", "visits"), [(0.0, [race.VISIT_ROUNDS] * race.VISITS), (10.0, [race.VISIT_ROUNDS])])
def test_long_calls_are_not_visited_as_often_as_others(late, visits):
    entry = Entry(describe(textbook))
    entry.bound = entry.one.bind_call(*workloads.arrays(SMALL, 0))
    race.run([entry], race.Terms(9.0, time.perf_counter() - late, threads=1, seed=0), move=lambda: None)
    assert entry.visits == visits


def clock(times, then):
    """A clock that shows these times first, and then stands still."""
    left = list(times)
    return lambda: left.pop(0) if left else then


def test_a_disturbed_batch_does_not_shorten_all_that_follow(monkeypatch):
    batches = iter([50e-6, 1e-6, 1e-6])  # seconds per call; another process got into the first
    monkeypatch.setattr(entry_module, "sample", lambda entry: next(batches))
    one = Entry(describe(textbook), loops=16)
    entry_module.calibrate(one, target=500e-6)
    assert one.loops == 500


def test_what_would_eat_the_budget_is_extrapolated():
    def slow(probs, grad_output, out):
        time.sleep(0.004 * len(probs))

    found = entries(Cell("test", 256, 4, "float64", 1), [describe(slow), describe(textbook)], seconds=0.3)
    assert found["slow"].status == EXTRAPOLATED
    assert found["slow"].seconds == pytest.approx(1, rel=0.5)
    assert found["slow"].samples == []


def test_what_needs_too_much_memory_is_pruned_unrun():
    def hungry(probs, grad_output, out):
        raise AssertionError("must not run")

    one = describe(hungry, temporaries=lambda rows, classes, itemsize: 8_600_000_000)
    found = entries(SMALL, [one, describe(textbook)])
    assert (found["hungry"].status, found["hungry"].note) == (PRUNED, "needs 8.6 GB")


def test_wrong_results_and_exceptions_are_listed_and_never_timed():
    def off(probs, grad_output, out):
        textbook(probs, grad_output, out)
        out[-1, 5] += 1e-9

    def lazy(probs, grad_output, out):
        """Writes nothing: what an earlier implementation left in out must not pass for its result."""

    def raising(probs, grad_output, out):
        raise RuntimeError("out of luck")

    found = entries(SMALL, [describe(textbook), describe(off), describe(lazy), describe(raising)])
    assert found["off"].status == WRONG
    assert found["off"].note.endswith("at row 7, class 5")
    assert found["lazy"].status == WRONG
    assert (found["raising"].status, found["raising"].note) == (FAILED, "RuntimeError: out of luck")
    assert standing(found.values()).ratios == {}


def test_nothing_left_to_time():
    def lazy(probs, grad_output, out):
        pass

    assert entries(SMALL, [describe(lazy)])["lazy"].status == WRONG


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (7, 33)])
def test_ours_are_verified_in_small_cells(dtype, shape):
    ours = implementations()
    Session(ours, 60, LARGEST_TEMPORARIES).prepare([dtype])  # compiles
    found = measure(Cell("test", *shape, dtype, 1), ours.values(), 0.2, LARGEST_TEMPORARIES)
    for entry in found:
        assert entry.status in (TIMED, DROPPED, LIMIT)
        assert entry.samples
        assert entry.control or entry.status == LIMIT or entry.discrepancy <= 1


def test_seconds_are_kept_to():
    start = time.perf_counter()
    measure(Cell("test", 64, 256, "float64", 1), implementations().values(), 0.5, LARGEST_TEMPORARIES)
    assert time.perf_counter() - start < 2


# ---------------------------------------------------------------- workloads


def test_workloads_are_those_of_real_models():
    shapes = {(one.rows, one.classes) for one in WORKLOADS.values()}
    assert shapes == {(128, 10), (256, 1000), (6144, 512), (512, 30522), (512, 50257), (1, 10), (1, 1000)}


def test_a_cell_gets_time_by_its_bytes():
    single, double = (cost(Cell("grid", 4096, 4096, dtype, 1)) for dtype in ("float32", "float64"))
    assert 1.5 < double / single < 2


def test_grid_fits_a_gigabyte():
    cells = grid()
    assert all(one.rows * one.classes <= GRID_LARGEST for one in cells)
    assert max(Cell("", one.rows, one.classes, "float64", 1).moved_bytes for one in cells) <= 1e9
    assert len(cells) == 15


def test_arrays_are_seeded_and_of_the_cells_kind():
    cell = Cell("test", 3, 5, "float32", 1)
    probs, grad_output, out = workloads.arrays(cell, seed=1)
    assert {a.dtype for a in (probs, grad_output, out)} == {np.dtype("float32")}
    assert probs.shape == grad_output.shape == out.shape == (3, 5)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(workloads.arrays(cell, seed=1)[1], grad_output)
    assert not np.array_equal(workloads.arrays(cell, seed=2)[1], grad_output)
    assert cell.moved_bytes == 3 * 15 * 4
    assert math.isclose(cell.elements, 15)
