"""Samples count against each other where they mean the same."""

from softmax_impls.choice.comparable import comparable, visits_of
from softmax_impls.timing.statistics import stand


def told(tool="compare", **implementations):
    return {
        name: {"tool": tool, "status": status, "samples": samples}
        for name, (status, samples) in implementations.items()
    }


def test_who_was_dropped_was_so_for_the_leader_and_for_nobody_else():
    rows = told(a=("timed", [1.0] * 20), b=("timed", [1.2] * 20), c=("dropped", [2.1] * 6), d=("dropped", [2.2] * 4))
    assert comparable(rows, "abcd") == ({n: rows[n]["samples"] for n in "abcd"}, ["c", "d"])
    assert comparable(rows, "bc") == ({n: rows[n]["samples"] for n in "bc"}, [])
    assert comparable(rows, "cd") == ({"c": [2.1] * 4, "d": [2.2] * 4}, [])


def test_elsewhere_to_have_more_samples_is_not_to_be_faster():
    rows = told("asv", fast=("timed", [1e-6] * 5), slow=("timed", [2e-6] * 10))
    samples, dropped = comparable(rows, rows)
    assert stand(samples, dropped=dropped).best == "fast"


def test_visits_count_if_they_cover_the_cell():
    rows = [{"samples": [1.0] * 24, "visits": [6] * 4}, {"samples": [1.0] * 6, "visits": [6]}, {"samples": [1.0]}]
    assert visits_of(rows) == [6, 6, 6, 6]
    assert visits_of(rows[1:]) == [6]
    assert not visits_of([{"samples": [1.0] * 24, "visits": [1, 1]}])
    assert not visits_of([])
