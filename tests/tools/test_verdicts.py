"""tools/verdicts.py: contradictions between runs are counted, and so are slower copies that were found."""

import msgspec
import pytest

from softmax_impls.choice.ranking import rank
from softmax_impls.timing.records import Cell, Environment, KernelResult
from tests.tools.scripts import ROOT, script

A, B, TIE, OTHERS = ["a"], ["b"], ["a", "b"], ["c", "d"]


@pytest.fixture(scope="module")
def verdicts():
    return script(ROOT / "tools" / "verdicts.py")


@pytest.fixture(scope="module")
def ab_copies():
    return script(ROOT / "tools" / "ab_copies.py")


@pytest.mark.parametrize(
    ("winners", "sure", "sure_of_two", "none_in_common"),
    [
        ([A, A, TIE], [True, True, False], False, False),
        ([A, TIE, B], [True, False, True], True, True),
        ([A, B], [True, False], False, True),
        ([TIE, OTHERS], [False, False], False, True),
        ([A], [True], False, False),
    ],
)
def test_runs_contradict_each_other_if_their_winners_differ(verdicts, winners, sure, sure_of_two, none_in_common):
    of_runs = [verdict(verdicts, *pair) for pair in zip(winners, sure, strict=True)]
    assert verdicts.contradictions(of_runs) == (sure_of_two, none_in_common)


def verdict(verdicts, winners, sure):
    return verdicts.Verdict("x", 1, tuple(winners), sure, None, 0.01, {})


def runs(verdicts, ab_copies):
    """Two runs, which name different winners; of calls of 10 µs and more, one slower copy is found and one is not."""

    def outcome(seconds, copy, slower):
        return ab_copies.Outcome("x", seconds, 24, 0.05, 0.0, copy, slower)

    tied = ab_copies.Pair("original", (1.05, 1.01, 1.09), 0.02, True)
    found = ab_copies.Pair("original", (1.05, 1.03, 1.07), 0.02, False)
    wrong = ab_copies.Pair("slower", (1.05, 1.03, 1.07), 0.02, False)
    copies = [outcome(2e-5, tied, found), outcome(1e-6, found, tied)], [outcome(2e-5, tied, wrong)]
    for number, loaded, winners in ((1, False, A), (2, True, B)):
        compared = [verdict(verdicts, winners, sure=True)]
        yield verdicts.Run(number, loaded, "a cpu", None, "numba_simd", compared, copies[number - 1])


def test_the_table_counts_runs_cells_contradictions_ties_and_found_slowdowns(verdicts, ab_copies):
    alone, beside, every = verdicts.rows(list(runs(verdicts, ab_copies)))  # no rows of two threads
    assert alone[:6] == ["1, alone: 1", "1", "100.0% of 1", "0 of 1", "0 of 1", "50.0% of 2"]
    assert beside[3] == "0 of 1"
    assert every[:6] == ["1, all: 2", "2", "100.0% of 2", "1 of 1", "1 of 1", "66.7% of 3"]
    assert every[6] == "50.0% of 2"


def test_the_block_states_how_many_slower_copies_were_found(verdicts, ab_copies):
    text = verdicts.block(list(runs(verdicts, ab_copies)))
    assert "the slower copy was found in 50.0% of 2" in text
    assert "measured delay was 5.00%" in text


def test_runs_with_different_budgets_have_tables_of_their_own(verdicts, ab_copies):
    one_minute, longer = runs(verdicts, ab_copies)
    text = verdicts.block([one_minute, msgspec.structs.replace(longer, budget=300.0, compared=[])])
    assert "| 1, all: 1 | 1 | 100.0% of 1 | 0 of 1 | 0 of 1 | 50.0% of 2 |" in text
    assert "| 1, all: 1 | – | – | – | – | 100.0% of 1 | 0.0% of 1 |" in text
    assert "Budget: 300 s." in text


def test_the_runs_that_are_kept_can_be_read(verdicts):
    assert "Machine: " in verdicts.block()


def cell(times, eliminated=()):
    """A cell with these times; the samples of a kernel are alike to 1 %."""
    kernels = tuple(
        KernelResult(
            name=name,
            status="eliminated" if name in eliminated else "timed",
            verified=True,
            samples=tuple(seconds * (1 + 0.01 * (i % 3)) for i in range(40 if name not in eliminated else 12)),
            seconds=seconds,
        )
        for name, seconds in times.items()
    )
    return rank(
        Cell(
            workload="x",
            batch=1,
            dim=1,
            dtype="float32",
            threads=1,
            environment=Environment(machine="a cpu"),
            kernels=kernels,
        )
    )


def test_equal_copies_tie_and_a_slower_copy_does_not(ab_copies):
    ranked = cell({"original": 1.0, "copy": 1.001, "slower": 1.05, "other": 2.0}, eliminated=["slower", "other"])
    assert ab_copies.compare_pair(ranked, "copy").tie
    slower = ab_copies.compare_pair(ranked, "slower")
    assert (slower.best, slower.tie) == ("original", False)
    assert slower.interval[0] == pytest.approx(1.05, rel=0.01)


def test_an_eliminated_copy_is_a_false_alarm(ab_copies):
    ranked = cell({"original": 1.0, "copy": 1.001, "slower": 1.05}, eliminated=["copy", "slower"])
    assert not ab_copies.compare_pair(ranked, "copy").tie


def test_copies_that_were_eliminated_by_a_faster_kernel_are_judged_by_their_samples(ab_copies):
    ranked = cell(
        {"original": 1.0, "copy": 1.001, "slower": 1.05, "other": 0.5}, eliminated=["original", "copy", "slower"]
    )
    assert ab_copies.compare_pair(ranked, "copy").tie
    assert not ab_copies.compare_pair(ranked, "slower").tie
