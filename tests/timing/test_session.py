"""A budget is shared out by size, and nobody goes without because others took longer than planned."""

import itertools
from dataclasses import replace

from softmax_impls import implementations
from softmax_impls.timing import plan, race
from softmax_impls.timing.plan import LEAST_SHARE, TURNS, turns
from softmax_impls.timing.session import Session
from softmax_impls.timing.workloads import Cell

LARGE = [Cell("custom", plan.LARGE, n, "float32", 1) for n in (1, 2, 3)]
SMALL = [Cell("custom", n, 16, "float32", 1) for n in (1, 2)]


class Watched(Session):
    """A session on which a clock of its own goes by, and which measures nothing."""

    spent = 0.0

    @property
    def left(self):
        return max(0.0, self.budget - self.spent)

    def _measure(self, cell, share, turns):
        self.shares = [*getattr(self, "shares", []), share]
        self.spent += share * self.slower
        return []


def shares(slower):
    session = Watched({}, 40.0, 10**9)
    session.slower = slower
    assert [cell for cell, _ in session.run(LARGE)] == LARGE
    return session.shares


def test_what_is_left_is_shared_among_those_that_are_left():
    assert abs(sum(shares(1.0)) - 40) < 1e-9
    quick = shares(0.5)
    assert quick == sorted(quick)  # what the first did not need goes to the others


def test_on_a_busy_machine_the_last_get_something_still():
    fair, slow = shares(1.0), shares(3.0)
    assert all(there >= LEAST_SHARE * planned - 1e-9 for there, planned in zip(slow, fair, strict=True))


def test_small_cells_have_another_turn_with_others_in_between():
    planned = turns([*LARGE, *SMALL])
    assert [cell for cell, *_ in planned] == [*SMALL, *SMALL, *SMALL, *LARGE]
    assert [number for cell, number, of in planned if cell == SMALL[0]] == list(range(TURNS))


def test_turns_add_visits_on_arrays_of_their_own():
    one = implementations()["closed_form"]
    names = ("closed_form", "again")
    session = Session({name: replace(one, name=name) for name in names}, 6.0, 10**9)
    session.prepare(["float32"])
    told = [{row["implementation"]: row for row in rows if not row["control"]} for _, rows in session.run(SMALL[1:])]
    assert len(told) == TURNS
    for earlier, later in itertools.pairwise(told):
        for name in names:
            rounds = len(earlier[name]["samples"])
            assert later[name]["samples"][:rounds] == earlier[name]["samples"]
            assert len(later[name]["samples"]) > rounds
    last = told[-1]["again"]
    assert len(last["visits"]) >= TURNS * race.VISITS
    assert sum(last["visits"]) == len(last["samples"])
