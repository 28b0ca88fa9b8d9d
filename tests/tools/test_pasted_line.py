"""tools/pasted_line.py: stated times are compared with times in a new process, hot and cold."""

import pytest

from tests.tools.scripts import ROOT, script


@pytest.fixture(scope="module")
def pasted_line():
    return script(ROOT / "tools" / "pasted_line.py")


def cell(pasted_line, hot, cold, **changes):
    about = {"batch": 1, "dim": 10, "dtype": "float32", "threads": 1, "machine": "a cpu", "commit": None, "use": "a"}
    about |= {"line": "a()", "stated": 1.0, "interval": (0.8, 1.02)}
    return pasted_line.Pasted(**about | {"hot": hot, "cold": cold, "choose_seconds": 3.0} | changes)


@pytest.mark.parametrize(("hot", "right"), [(1.0, True), (0.81, True), (0.79, False), (1.09, True), (1.11, False)])
def test_a_time_is_right_within_the_interval_or_ten_percent(pasted_line, hot, right):
    assert cell(pasted_line, hot, {"a": 1.0}).right == right


def test_the_table_has_the_shares_of_right_times_and_of_picks_that_hold_when_cold(pasted_line):
    cells = [
        cell(pasted_line, 1.0, {"a": 1.0, "b": 2.0}),
        cell(pasted_line, 1.5, {"a": 2.0, "b": 1.0}, dtype="float64"),
    ]
    rows = {row[0]: row[1:] for row in pasted_line.rows(cells)}
    assert rows["1 thread, float32"] == ["1", "100%", "1.3", "1.00 / 1.00 / 1.00", "3.0 s", "100%", "1.00"]
    assert rows["1 thread, float64"][1:] == ["0%", "1.3", "1.50 / 1.50 / 1.50", "3.0 s", "0%", "2.00"]
    assert rows["all"][:2] == ["2", "50%"]
    assert "Machine: a cpu." in pasted_line.block(cells)


def test_lines_are_timed_hot_and_cold(pasted_line, monkeypatch):
    for name, value in {"TOUCHED": 10, "COLD_CALLS": 3, "MOST_SECONDS": 0.0}.items():
        monkeypatch.setattr(pasted_line, name, value)
    setup = "import time"
    assert pasted_line.hot_seconds(setup, "time.sleep(0.001)") >= 0.001
    cold = pasted_line.cold_seconds(setup, {"a": "time.sleep(0.001)", "b": "time.sleep(0.003)"})
    assert cold["a"] >= 0.001
    assert cold["b"] >= 0.003
