"""A budget is shared out by size, and nobody goes without because others took longer than planned."""

from softmax_impls.timing.session import LEAST_SHARE, Session
from softmax_impls.timing.workloads import Cell

CELLS = [Cell("custom", 2**n, 16, "float32", 1) for n in range(4)]


class Watched(Session):
    """A session on which a clock of its own goes by, and which measures nothing."""

    spent = 0.0

    @property
    def left(self):
        return max(0.0, self.budget - self.spent)

    def _measure(self, cell, share):
        self.shares = [*getattr(self, "shares", []), share]
        self.spent += share * self.slower
        return []


def shares(slower):
    session = Watched({}, 40.0, 10**9)
    session.slower = slower
    assert [cell for cell, _ in session.run(CELLS)] == CELLS
    return session.shares


def test_what_is_left_is_shared_among_those_that_are_left():
    assert abs(sum(shares(1.0)) - 40) < 1e-9
    quick = shares(0.5)
    assert quick == sorted(quick)  # what the first did not need goes to the others
    assert quick[-1] > 15


def test_on_a_busy_machine_the_last_get_something_still():
    slow = shares(3.0)
    assert min(slow) >= LEAST_SHARE * 40 / 4 - 0.01
    assert len(slow) == 4
