"""The code that `choose` prints is timed as a program runs it."""

import sys
import time

import pytest

from softmax_impls.timing.pasted_code import FEWEST_SETS, SAMPLES, time_pasted
from softmax_impls.usage import Usage


def test_the_time_is_that_of_the_line_without_the_setup():
    times = time_pasted(Usage("import time; time.sleep(0.02)", "time.sleep(0.001)"), 0.0)
    assert 0.001 <= times.low <= times.seconds <= times.high
    assert times.low < 0.02


def test_each_set_of_samples_has_new_arrays(monkeypatch):
    made, called = [], []
    monkeypatch.setattr(sys.modules["__main__"], "make", lambda: made.append(0), raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "call", lambda: called.append(len(made)), raising=False)
    time_pasted(Usage("make()", "call()"), 0.0)  # `make` and `call` are defined as in a notebook
    assert len(made) == FEWEST_SETS
    assert all(called.count(number) > SAMPLES for number in range(1, FEWEST_SETS))


def test_short_calls_are_timed_for_the_whole_time():
    start = time.perf_counter()
    time_pasted(Usage("", "pass"), 0.2)
    assert time.perf_counter() - start >= 0.2


def test_an_error_of_the_code_is_raised():
    with pytest.raises(NameError):
        time_pasted(Usage("", "missing()"), 0.0)
