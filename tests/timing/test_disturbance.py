"""Whether the processor is quiet, and how many threads run at the same time."""

import pytest

from softmax_impls.threads import available_cores
from softmax_impls.timing import disturbance
from softmax_impls.timing.disturbance import is_quiet, running_side_by_side


def test_the_processor_is_not_quiet_while_the_loop_takes_longer_than_at_best(monkeypatch):
    seconds = iter([2.0, 1.0, 1.1, 1.3, 1.2, 1.2, 0.9, 1.0])  # the shorter of two loops counts
    monkeypatch.setattr(disturbance, "_shortest", float("inf"))
    monkeypatch.setattr(disturbance, "_seconds", lambda: next(seconds))
    assert [is_quiet() for _ in range(4)] == [True, True, False, True]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_run_side_by_side_on_as_many_processors_at_most(threads):
    side_by_side = sorted(running_side_by_side(threads) for _ in range(5))
    assert 0 < side_by_side[-1] <= threads
    assert side_by_side[2] < available_cores() + 0.5  # a disturbed loop of one thread alone makes it larger
