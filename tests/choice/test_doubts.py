"""A single winner is not sure if threads did not run side by side, or if another measurement had another winner."""

import datetime

import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import Question
from softmax_impls.choice.choose import choose

from .builders import FEBRUARY, HERE, JANUARY, build_cell, build_run

DIM = 8192  # a call of 8 rows is large enough to be shared among threads
SIMD = {"numba_simd": 1e-6, "numba_pivoted": 2e-6}
PIVOTED = {"numba_simd": 1.8e-6, "numba_pivoted": 1e-6}
DISTURBED = {"numba_simd": 1e-6, "numba_pivoted": 1.002e-6}


def ask(*runs, threads=1):
    return choose(Question(8, DIM, "float32", threads), list(runs), HERE, implementations())


def cell(times, **changes):
    return build_cell(8, DIM, times, **{"time": FEBRUARY} | changes)


@pytest.mark.parametrize(
    ("threads", "concurrency", "sure"), [(1, None, True), (2, 1.4, True), (2, 1.1, False), (4, 2.2, False)]
)
def test_threads_that_did_not_run_side_by_side_cast_doubt(threads, concurrency, sure):
    found = ask(build_run(cell(SIMD, threads=threads, concurrency=concurrency)), threads=threads)
    assert (found.pick.name, found.sure) == ("numba_simd", sure)
    assert all(f"({concurrency:.1f} of {threads})" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("rounds", "lead", "doubt"),
    [(20, 1.06, "8% longer"), (20, 1.1, ""), (19, 1.26, "30% longer in 19 rounds"), (19, 1.33, "")],
)
def test_a_short_lead_is_not_sure_to_hold_in_another_run(rounds, lead, doubt):
    times = {"numba_simd": 1e-6, "numba_pivoted": lead * 1e-6}
    run = build_run(cell(times, rounds=rounds))
    found = ask(run)
    assert (found.winners, found.sure, run.cells[0].sure) == (("numba_simd",), not doubt, not doubt)
    short = f"numba_pivoted takes less than {doubt}: another run may see the opposite."
    assert found.doubts == ((short,) if doubt else ())


def test_a_call_that_runs_in_one_thread_needs_no_other():
    small = build_run(build_cell(8, 8, SIMD, time=FEBRUARY, threads=2))
    assert choose(Question(8, 8, "float32", 2), [small], HERE, implementations()).sure


def test_unknown_concurrency_is_called_unknown():
    found = ask(build_run(cell(SIMD, threads=2)), threads=2)
    assert found.doubts == ("It is not known whether this machine ran 2 threads side by side during the measurement.",)


def earlier(times, **changes):
    return cell(times, **{"time": JANUARY} | changes)


def test_an_earlier_measurement_with_another_winner_casts_doubt():
    found = ask(build_run(cell(SIMD), earlier=[earlier(PIVOTED)]))
    assert (found.pick.name, found.sure) == ("numba_simd", False)
    assert found.doubts == ("Another measurement of 2026-01-01 00:00 had numba_pivoted ahead of numba_simd by 1.8x.",)
    assert found.as_dict()["doubts"] == list(found.doubts)


@pytest.mark.parametrize("place", ["another workload", "another commit"])
def test_all_measurements_of_the_shape_count(place):
    old = earlier(PIVOTED, **({"workload": "digits"} if place == "another workload" else {"commit": "a"}))
    runs = [build_run(cell(SIMD), old)] if place == "another workload" else [build_run(cell(SIMD)), build_run(old)]
    assert not ask(*runs).sure


@pytest.mark.parametrize(
    "other",
    [
        earlier(SIMD),
        earlier(DISTURBED),
        earlier(PIVOTED, threads=2),
        earlier(PIVOTED, dtype="float64"),
        earlier(PIVOTED, machine="another"),
        earlier(PIVOTED, host="another"),
        earlier(PIVOTED, versions={"numba": "0.1"}),
        earlier(PIVOTED, fields={"numba_simd": {"source": "edited"}}),
        earlier(PIVOTED, tool="asv"),
        earlier({"numba_pivoted": 1e-6}),
        earlier({"numba_rows": 0.1e-6} | SIMD),  # it cannot be recommended
    ],
)
def test_measurements_that_agree_or_are_not_comparable_cast_no_doubt(other):
    assert ask(build_run(cell(SIMD)), build_run(other)).sure


def test_versions_of_packages_that_take_no_part_do_not_matter():
    old = earlier(PIVOTED, versions={"torch": "1"})
    assert not ask(build_run(cell(SIMD, versions={"torch": "2"})), build_run(old)).sure


def test_other_runs_cast_doubt_but_do_not_answer_even_if_their_clock_was_ahead():
    ahead = build_run(cell(PIVOTED, time=FEBRUARY + datetime.timedelta(days=99)))
    found = choose(Question(8, DIM, "float32"), [build_run(cell(SIMD))], HERE, implementations(), [ahead])
    assert (found.pick.name, found.source.time, found.sure) == ("numba_simd", FEBRUARY, False)


def test_the_newest_contradiction_is_stated_and_a_tie_is_not_doubted():
    times = [JANUARY - datetime.timedelta(days=days) for days in (0, 1)]
    runs = [build_run(earlier(PIVOTED, time=time, commit=str(time.day))) for time in times]
    assert "2026-01-01" in ask(build_run(cell(SIMD)), *runs).doubts[0]
    assert ask(build_run(cell(DISTURBED)), *runs).doubts == ()
