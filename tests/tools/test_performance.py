"""tools/performance.py: calls are timed in rounds, and cells are compared with goals."""

import numpy as np
import pytest

from tests.tools.scripts import ROOT, script

kept = script(ROOT / "tools" / "kept.py")


@pytest.fixture(scope="module")
def performance():
    return script(ROOT / "tools" / "performance.py")


@pytest.fixture(scope="module")
def goals(performance):
    return script(ROOT / "tools" / "performance_goals.py")


@pytest.fixture(scope="module")
def records(performance):
    return script(ROOT / "tools" / "performance_records.py")


def cell(records, ratios, spread=0.002, **changes):
    """Return a cell in which our call takes a second, and each rival its ratio, more and less by turns."""
    signs = (-1.0) ** np.arange(20)
    about = {"direction": "backward", "workload": "w", "shape": (2, 3), "axis": -1, "dtype": "float32", "threads": 1}
    samples = {
        name: tuple((ratio * np.exp(spread * signs * (name != records.OURS))).tolist())
        for name, ratio in {records.OURS: 1.0, **ratios}.items()
    }
    return records.Cell(records.Key(**about | changes), samples, (), {}, "?")


def rows_of(performance, records, tmp_path, cells):
    path = tmp_path / "performance-a-cpu.jsonl"
    kept.replace(path, cells)
    lines = performance.page.report(path).splitlines()
    return {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in lines if "|" in line}


def test_the_fastest_peer_counts(goals, records):
    ratio, name = goals.LINES[0].compare(cell(records, {"torch": 1.5, "jax": 1.25, "numba_rows": 0.5}))
    assert name == "jax"
    assert ratio.value == pytest.approx(1.25, rel=0.01)


@pytest.mark.parametrize(
    ("ratios", "spread", "verdict"),
    [
        ((1.3, 1.2), 0.002, "aim reached"),
        ((1.3, 1.05), 0.002, "reached"),
        ((1.3, 0.9), 0.002, "**missed** in 1 of 2 cells"),
        ((1.3, 0.99), 0.05, "reached, 1 tied"),
        ((1.3, 0.8), 1.0, "1 not sure"),
    ],
)
def test_a_tie_reaches_a_goal_and_a_wide_interval_does_not(performance, records, tmp_path, ratios, spread, verdict):
    cells = [cell(records, {"torch": ratio}, spread, shape=(n, 3)) for n, ratio in enumerate(ratios, start=2)]
    rows = rows_of(performance, records, tmp_path, cells)
    assert rows["default call, against the best peer: worst cell"][-1] == verdict


def test_worst_cell_and_mean_are_stated_for_each_number_of_threads(performance, records, tmp_path):
    cells = [
        cell(records, {"torch": 1.0}, 1e-9),
        cell(records, {"torch": 4.0}, 1e-9, dtype="float64"),
        cell(records, {"torch": 3.0}, 1e-9, threads=2),
    ]
    rows = rows_of(performance, records, tmp_path, cells)
    worst = "1.00 (1.00 to 1.00) on 1 thread, 3.00 (3.00 to 3.00) on 2 threads"
    assert rows["default call, against the best peer: worst cell"][2] == worst
    assert rows["… geometric mean"][2:] == ["2.00 on 1 thread, 3.00 on 2 threads", "aim reached"]
    assert rows["forward, against torch: worst cell"][2] == "not measured"
    assert list(rows).index("backward w 2×3 float32") < list(rows).index("backward w 2×3 float32, 2 threads")


def test_a_later_record_of_a_cell_replaces_an_earlier_one(records, tmp_path):
    path = tmp_path / "results.jsonl"
    cells = [cell(records, {"torch": ratio}, 1e-9) for ratio in (2.0, 3.0)]
    for one in cells:
        kept.append(path, one)
    assert records.read(path) == cells[1:]


def test_every_cell_is_measured_in_both_dtypes_and_directions(performance):
    keys = performance.keys()
    assert len(set(keys)) == len(keys)
    ends = {(key.direction, key.dtype) for key in keys}
    assert len(ends) == 4
    assert {key.workload for key in keys} >= {"bert", "grid", "segmentation", "columns"}


def test_a_cell_is_measured_with_right_results_alone(performance, records, monkeypatch):
    calls = script(ROOT / "tools" / "performance_calls.py")
    monkeypatch.setattr(calls, "peers", dict)

    def wrong(problem):
        out = problem.arrays[0][2]
        return original(problem) | {"wrong": (lambda: out.fill(1), lambda _: out)}

    original = calls.Problem.calls
    monkeypatch.setattr(calls.Problem, "calls", wrong)
    monkeypatch.setattr(performance, "Problem", calls.Problem)
    key = records.Key("backward", "w", (3, 5), -1, "float64", 1)
    found = performance.Run(key, {}, performance.QUICK).measure(0.0)
    assert found.notes == {"wrong": "its result is wrong"}
    sides = {records.OURS, records.OURS_ALLOCATING, records.OURS_SATURATED, records.ROWS, records.ROWS_SATURATED}
    assert set(found.samples) == sides
    assert {len(samples) for samples in found.samples.values()} == {performance.QUICK.fewest}
