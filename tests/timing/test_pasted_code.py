"""The code that `choose` prints is timed as a program runs it."""

import sys
import time

import pytest

from softmax_impls.threads import limit_threads, num_threads
from softmax_impls.timing import pasted_code
from softmax_impls.timing.pasted_code import FASTER, FEWEST_SETS, SAMPLES, time_pasted
from softmax_impls.usage import Usage


def test_the_time_is_that_of_the_line_without_the_setup():
    times = time_pasted(Usage("import time; time.sleep(0.02)", "time.sleep(0.001)"), 0.0)
    assert times.low <= times.seconds <= times.high
    assert times.seconds < 0.02
    assert times.high >= 0.001


def test_each_set_of_samples_has_new_arrays(monkeypatch):
    made, called = [], []
    monkeypatch.setattr(sys.modules["__main__"], "make", lambda: made.append(0), raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "call", lambda: called.append(len(made)), raising=False)
    time_pasted(Usage("make()", "call()"), 0.0)  # `make` and `call` are defined as in a notebook
    assert len(made) == FEWEST_SETS
    assert all(called.count(number) > SAMPLES for number in range(1, FEWEST_SETS))


@pytest.mark.parametrize(("slowdown", "quiet"), [(1.0, 1e-3), (1.6, 1e-3 / 1.6), (100.0, 0.5e-3)])
def test_beside_a_busy_program_the_time_is_an_estimate_for_a_quiet_processor(monkeypatch, slowdown, quiet):
    """A call of 1 ms, on a processor whose loop takes longer than at best; on a shared core, at most twice as long."""
    monkeypatch.setattr(pasted_code, "slowdown", lambda after_threads=False: slowdown)
    times = time_pasted(Usage("import time", "time.sleep(0.001)"), 0.0)
    assert quiet <= times.low / FASTER < 1.3 * quiet
    assert times.low <= times.seconds < 2 * quiet
    assert times.high >= 1e-3


def test_short_calls_are_timed_for_the_whole_time():
    start = time.perf_counter()
    time_pasted(Usage("", "pass"), 0.2)
    assert time.perf_counter() - start >= 0.2


@pytest.mark.parametrize(
    ("alone", "low", "high"),
    [(3e-3, 1e-3 * FASTER, 3e-3), (1.5e-3, 1e-3 * FASTER, 1.5e-3), (1e-3, 0.5e-3, 1e-3), (0.8e-3, 0.4e-3, 1e-3)],
)
def test_a_range_of_two_threads_spans_one_thread_and_a_fair_share_unless_both_ran(monkeypatch, alone, low, high):
    """The call takes 1 ms, and `alone` in one thread."""
    calls = {"together()": 1e-3, "alone()": alone}

    def sample(line, *_):
        line.every.append(calls[line.code])
        line.on_quiet.append(calls[line.code])

    monkeypatch.setattr(pasted_code._Line, "sample", sample)
    times = time_pasted(Usage("", "together()"), 0.0, 2, Usage("", "alone()"))
    assert times == pytest.approx((1e-3, low, high))


def test_the_line_of_one_thread_runs_in_one_thread(monkeypatch):
    ran = []
    for name in ("together", "alone"):
        monkeypatch.setattr(sys.modules["__main__"], name, lambda n=name: ran.append((n, num_threads())), raising=False)
    with limit_threads(2):
        time_pasted(Usage("", "together()"), 0.0, 2, Usage("", "alone()"))
    assert set(ran) == {("together", 2), ("alone", 1)}


def test_an_error_of_the_code_is_raised():
    with pytest.raises(NameError):
        time_pasted(Usage("", "missing()"), 0.0)
