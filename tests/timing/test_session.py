"""A budget is shared out by size, and nobody goes without because others took longer than planned."""

import itertools
from dataclasses import replace

import pytest

from softmax_impls import implementations
from softmax_impls.timing import plan, race
from softmax_impls.timing.entry import Entry
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
    assert {cell for cell, _ in session.run(LARGE)} == set(LARGE)
    return session.shares


def test_time_is_shared_out_by_size_and_nobody_takes_what_others_leave():
    fair = shares(1.0)
    assert abs(sum(fair) - 40) < 1e-9
    assert shares(0.5) == pytest.approx(fair)


def test_on_a_busy_machine_the_last_get_something_still():
    fair, slow = shares(1.0), shares(3.0)
    assert all(there >= LEAST_SHARE * planned - 1e-9 for there, planned in zip(slow, fair, strict=True))


class Open(Watched):
    """One in which cells are told apart once they had so many turns more, each of half a second at the most."""

    needed = 3
    slower = 0.0

    def _measure(self, cell, share, turns):
        one = implementations()["closed_form"]
        noise = [1.0, 2.0] * 10
        return [Entry(one, samples=noise), Entry(replace(one, name="other"), samples=noise[::-1])]

    def _measure_again(self, cell, share, number):
        self.again = [*getattr(self, "again", []), (cell, number)]
        self.spent += min(share, 0.5)
        if self.again.count((cell, number)) == 1 and len(self.turns_of(cell)) >= self.needed:
            self._seen[cell][0].samples = [1.0] * 20
            self._seen[cell][1].samples = [2.0] * 20

    def turns_of(self, cell):
        return [number for its, number in self.again if its == cell]


def left_over(needed, budget):
    session = Open({}, budget, 10**9)
    session.needed = needed
    list(session.run(SMALL[:1] + LARGE[:1]))
    session.again = []
    return session, list(session.settle())


def test_what_is_left_of_the_time_goes_to_cells_that_are_open():
    session, told = left_over(needed=3, budget=40.0)
    assert session.turns_of(SMALL[0]) == session.turns_of(LARGE[0]) == [TURNS, TURNS + 1, TURNS + 2]
    assert [cell for cell, _ in told] == [*SMALL[:1], *LARGE[:1]] * 3
    assert all(len(rows) == 2 for _, rows in told)


def test_and_no_longer_than_there_is_time():
    session, told = left_over(needed=100, budget=4.0)
    assert told
    assert session.left < 1.5


def test_small_cells_have_another_turn_with_others_in_between():
    planned = turns([*LARGE, *SMALL])
    assert [cell for cell, *_ in planned] == [*SMALL, LARGE[0], LARGE[2], *SMALL, LARGE[1], *SMALL]
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
