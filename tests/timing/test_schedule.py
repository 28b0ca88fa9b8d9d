"""The order of steps, and what a cell costs."""

import pytest

from softmax_impls.timing import session
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.session import cost, plan, reason_to_skip
from softmax_impls.timing.workloads import CellKey

POLICY = SamplingPolicy()
LARGE = [CellKey("custom", POLICY.large_from, n, "float32", 1) for n in (1, 2, 3)]
SMALL = [CellKey("custom", n, 16, "float32", 1) for n in (1, 2)]


def test_small_cells_have_passes_with_the_large_cells_in_between():
    planned = plan([*LARGE, *SMALL])
    assert [step.key for step in planned] == [*SMALL, LARGE[0], LARGE[2], *SMALL, LARGE[1], *SMALL]
    assert [step.number for step in planned if step.key == SMALL[0]] == [0, 1, 2]


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_every_cell_is_in_the_schedule_whatever_the_number_of_passes(passes):
    planned = plan([*LARGE, *SMALL], SamplingPolicy(passes=passes))
    assert [sum(step.key == key for step in planned) for key in LARGE] == [1, 1, 1]
    assert [sum(step.key == key for step in planned) for key in SMALL] == [passes, passes]


def test_the_steps_of_a_cell_cost_as_much_as_the_cell():
    planned = plan([*LARGE, *SMALL])
    for key in (*LARGE, *SMALL):
        assert sum(step.cost for step in planned if step.key == key) == pytest.approx(cost(key))


def test_a_large_cell_costs_by_its_bytes():
    single, double = (cost(CellKey("grid", 4096, 4096, dtype, 1)) for dtype in ("float32", "float64"))
    assert 1.5 < double / single < 2


def test_a_cell_is_skipped_if_its_set_up_takes_its_share_or_its_arrays_the_memory(monkeypatch):
    key = CellKey("grid", 4096, 4096, "float32", 1)
    assert reason_to_skip(key, 100.0) == ""
    assert "raise --budget" in reason_to_skip(key, 0.5)
    monkeypatch.setattr(session, "free_memory", lambda: key.moved_bytes)
    assert reason_to_skip(key, 100.0) == "its arrays take 201.3 MB, more than 50% of the free memory"
