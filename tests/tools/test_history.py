"""tools/history.py: false alarms and found slowdowns are counted from the results of the same code."""

import pytest

from softmax_impls.timing.records import Environment
from tests.tools.scripts import ROOT, script


@pytest.fixture(scope="module")
def history():
    pytest.importorskip("asv")
    return script(ROOT / "tools" / "history.py")


def records(history, second_half):
    """Six runs, which make two times six rounds; the second half takes longer by a factor."""
    yield history.Where(Environment(machine="a cpu"))
    yield history.Durations(60.0, 600.0)
    for number in range(6):
        factor = second_half if number >= 3 else 1.0
        yield history.Times(number, "time", ("a",), tuple(factor * 1e-6 * (1 + i / 100) for i in range(10)))


def test_samples_of_six_rounds_are_compared_in_both_orders(history):
    found = history.pairs(records(history, 1.0))
    assert {name: len(pairs) for name, pairs in found.items() if pairs} == {"up to 10 µs": 2}
    assert all(len(side) == 30 for side in found["up to 10 µs"][0])


def test_the_smallest_slowdown_that_is_found_is_just_above_the_factor(history):
    pairs = history.pairs(records(history, 1.0))["up to 10 µs"]
    assert history.smallest_found(pairs) == pytest.approx(1.31)


@pytest.mark.parametrize(("second_half", "share"), [(1.0, "0.0%"), (2.0, "50.0%")])
def test_the_blocks_state_false_alarms(history, monkeypatch, second_half, share):
    monkeypatch.setattr(history, "read", lambda: list(records(history, second_half)))
    assert f"| all | 1 | {share} | {share} |" in history.verdicts_block()
    assert "`asv run` took 10.0 minutes and `asv run --quick` 60 s" in history.timing_block()


def test_records_are_kept_by_kind(history, monkeypatch, tmp_path):
    monkeypatch.setattr(history, "RESULTS", tmp_path / "history.jsonl")
    history._keep(records(history, 1.0), ())
    history._keep([history.Durations(1.0, 2.0)], (history.Durations,))
    kept = history.read()
    assert [record for record in kept if isinstance(record, history.Durations)] == [history.Durations(1.0, 2.0)]
    assert len(kept) == 8
