"""Whether the processor is quiet, and how many threads run at the same time."""

import threading

import pytest

from softmax_impls.threads import available_cores
from softmax_impls.timing import disturbance
from softmax_impls.timing.disturbance import Shortest, is_quiet, running_side_by_side, slowdown


@pytest.fixture
def loops(tmp_path, monkeypatch):
    """Return a function that sets the times of the two loops, and returns the slowdown."""
    times, known = {}, {name: Shortest(tmp_path / "cache" / name) for name in ("spin", "chain")}
    monkeypatch.setattr(disturbance, "shortest", lambda loop: known[loop])
    monkeypatch.setattr(disturbance, "_seconds", lambda loop, steps: times[loop])

    def measure(spin, chain):
        times.update({disturbance._spin: spin, disturbance._chain: chain})
        return slowdown()

    return measure


def test_the_processor_is_not_quiet_while_the_loop_takes_longer_than_at_best(loops):
    assert [loops(spin, 1.0) for spin in (1.0, 1.1, 1.1)] == [1.0, 1.0, 1.0]  # at best 1.1, for two in a row
    assert loops(1.32, 1.0) == pytest.approx(1.2)
    assert not is_quiet()
    assert loops(0.5, 1.0) == 1.0  # once: an error of the clock
    assert loops(1.1, 1.0) == 1.0
    assert is_quiet()
    assert loops(1.0, 1.0) == loops(1.0, 1.0) == 1.0
    assert loops(1.32, 1.0) == pytest.approx(1.32)


def test_a_processor_with_a_lower_clock_frequency_is_quiet(loops):
    for _ in range(2):
        loops(1.0, 2.0)
    assert loops(1.3, 2.6) == 1.0
    assert loops(1.95, 2.6) == pytest.approx(1.5)  # a busy program besides
    assert loops(1.5, 2.0) == pytest.approx(1.5)
    assert loops(1.3, 2.6) == 1.0


def test_the_shorter_time_of_two_runs_counts(monkeypatch):
    clock = iter([0.0, 3.0, 3.0, 4.0])
    monkeypatch.setattr(disturbance.time, "perf_counter", lambda: next(clock))
    assert disturbance._seconds(lambda steps: steps, 1) == 1.0


def test_a_later_process_knows_the_shortest_time(tmp_path):
    file = tmp_path / "loop"
    first = Shortest(file)
    first.update(1.0)
    first.update(1.0)
    assert Shortest(file).seconds == 1.0


@pytest.mark.parametrize("content", ["", "x", "another machine\n1.0\n", "\xff"])
def test_a_file_of_another_machine_or_damage_is_ignored(tmp_path, content):
    file = tmp_path / "loop"
    file.write_text(content, encoding="latin-1")
    assert Shortest(file).seconds == float("inf")


def test_a_home_that_cannot_be_written_is_no_problem(tmp_path):
    (tmp_path / "file").touch()
    shortest = Shortest(tmp_path / "file" / "loop")
    shortest.update(1.0)
    assert shortest.update(1.0) == 1.0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_run_side_by_side_on_as_many_processors_at_most(threads):
    before = threading.active_count()
    side_by_side = sorted(running_side_by_side(threads) for _ in range(5))
    assert 0 < side_by_side[-1] <= threads
    assert threading.active_count() == before  # a process that is forked later would wait for them for ever
    assert side_by_side[2] < available_cores() + 0.5  # a disturbed loop of one thread alone makes it larger
