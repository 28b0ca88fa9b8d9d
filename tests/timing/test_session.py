"""A session plans its steps, divides its budget among cells, and measures open cells again."""

from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numba
import numpy as np
import pytest

from softmax_impls import implementations
from softmax_impls.registry import describe
from softmax_impls.threads import available_cores
from softmax_impls.timing import session as session_module
from softmax_impls.timing.kernel import CellArrays
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import Cell
from softmax_impls.timing.session import Session, Skipped, cost, plan, reason_to_skip
from softmax_impls.timing.workloads import CellKey
from tests.timing.kernels import textbook

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
    for key in (*LARGE, *SMALL):
        assert sum(step.cost for step in planned if step.key == key) == pytest.approx(cost(key))


def test_a_large_cell_costs_by_its_bytes():
    single, double = (cost(CellKey("grid", 4096, 4096, dtype, 1)) for dtype in ("float32", "float64"))
    assert 1.5 < double / single < 2


def test_a_cell_is_skipped_if_its_set_up_takes_its_share_or_its_arrays_the_memory(monkeypatch):
    key = CellKey("grid", 4096, 4096, "float32", 1)
    assert reason_to_skip(key, 100.0) == ""
    assert "raise --budget" in reason_to_skip(key, 0.5)
    monkeypatch.setattr(session_module, "free_memory", lambda: key.moved_bytes)
    assert reason_to_skip(key, 100.0) == "its arrays take 201.9 MB, more than 50% of the free memory"


def test_what_verifies_the_rows_counts_as_memory_of_a_cell(monkeypatch):
    """With few classes, it takes more memory than the arrays."""
    key = CellKey("custom", 10**5, 2, "float32", 1)
    sums = sum(values.nbytes for sums in CellArrays(key, seed=0).sums for values in vars(sums).values())
    assert sums > 2 * key.moved_bytes
    monkeypatch.setattr(session_module, "free_memory", lambda: 2 * (key.moved_bytes + sums))
    assert reason_to_skip(key, 100.0).startswith("its arrays take")


@pytest.fixture
def simulation(monkeypatch):
    """Replace the clock, and cells by simulated cells, which are settled after `needed` steps."""
    state = SimpleNamespace(now=0.0, slowness=1.0, needed=1, at_most=1e9, steps=[])

    class SimulatedRun:
        active = ("a", "b")

        def __init__(self, key, *_):
            self.key, self.kernels = key, {}

        @property
        def is_open(self):
            return sum(key == self.key for key, _ in state.steps) < state.needed

        def measure(self, seconds):
            state.steps.append((self.key, seconds))
            state.now += min(seconds * state.slowness, state.at_most)

        def record(self, *_):
            return self.key

    monkeypatch.setattr(session_module, "CellRun", SimulatedRun)
    monkeypatch.setattr(session_module.time, "perf_counter", lambda: state.now)
    return state


def shares(simulation, slowness):
    simulation.steps, simulation.slowness = [], slowness
    list(Session({}, 40.0, 10**9).run(LARGE))
    return [seconds for _, seconds in simulation.steps]


def test_the_budget_is_divided_by_cost_and_a_cell_does_not_get_what_another_leaves(simulation):
    fair = shares(simulation, 1.0)
    assert sum(fair) == pytest.approx(40)
    assert shares(simulation, 0.5) == pytest.approx(fair)


def test_every_cell_gets_part_of_its_share_on_a_busy_machine(simulation):
    fair, slow = shares(simulation, 1.0), shares(simulation, 3.0)
    assert all(got >= POLICY.min_share * planned - 1e-9 for got, planned in zip(slow, fair, strict=True))


def test_the_time_that_is_left_goes_to_open_cells(simulation):
    simulation.needed, simulation.at_most = 6, 0.5
    session = Session({}, 40.0, 10**9)
    announced = []
    measured = list(session.run([SMALL[0], LARGE[0]], starting=announced.append))
    assert announced == measured
    assert measured.count(SMALL[0]) == measured.count(LARGE[0]) == 6
    assert len(plan([SMALL[0], LARGE[0]])) == 4


def test_open_cells_get_no_more_than_the_budget(simulation):
    simulation.needed = 10**6
    session = Session({}, 4.0, 10**9)
    assert list(session.run([SMALL[0], LARGE[0]]))
    assert session.seconds_left < 1.5
    assert simulation.now < 8


def test_a_cell_that_does_not_fit_the_budget_is_skipped_with_a_reason(simulation):
    huge = CellKey("custom", 2**14, 2**14, "float64", 1)
    (skipped,) = Session({}, 1.0, 10**9).run([huge])
    assert isinstance(skipped, Skipped)
    assert skipped.key == huge
    assert "raise --budget" in skipped.why


def prepared(*kernels, budget=3.0, **options):
    session = Session({kernel.name: kernel for kernel in kernels}, budget, 10**9, **options)
    session.prepare(["float32"])
    return session


def test_each_pass_adds_samples_and_the_last_record_has_all():
    closed_form = implementations()["closed_form"]
    session = prepared(*(replace(closed_form, name=name) for name in ("copy", "another")), budget=3.0)
    cells = [result for result in session.run(SMALL[1:]) if not isinstance(result, Skipped)]
    assert len(cells) >= POLICY.passes
    first, last = (max(len(kernel.samples) for kernel in cell.kernels) for cell in (cells[0], cells[-1]))
    assert last > first
    assert len(cells[-1].blocks) >= POLICY.passes
    assert sum(cells[-1].blocks) == last


@pytest.mark.slow
def test_records_of_all_implementations_survive_encoding():
    session = prepared(*implementations().values(), budget=6.0)
    keys = [SMALL[0], CellKey("imagenet", 256, 1000, "float32", 1), CellKey("custom", 2048, 2100, "float32", 2)]
    last = {result.key: result for result in session.run(keys) if not isinstance(result, Skipped)}
    assert last.keys() == set(keys)
    for cell in last.values():
        assert msgspec.json.decode(msgspec.json.encode(cell), type=Cell) == cell
        assert cell.by_name.keys() == implementations().keys()
        assert sum(kernel.ranked for kernel in cell.kernels) >= 3
        assert all(kernel.errors and kernel.source != "?" for kernel in cell.kernels)


def test_an_implementation_that_failed_the_checks_or_ignores_the_number_of_threads_is_not_timed():
    def zeros(probs, grad_output, out):
        out[...] = 0

    def ignoring(probs, grad_output, out):
        textbook(probs, grad_output, out)

    def raising(threads):
        raise RuntimeError("no threads")

    kernels = [
        describe(zeros), describe(ignoring, set_num_threads=lambda threads: 7),
        describe(textbook, name="raising", set_num_threads=raising), describe(textbook),
    ]  # fmt: skip
    (only,) = prepared(*kernels, budget=1.0).run(SMALL[:1])  # with a single right kernel, there is nothing to compare
    zeros, ignoring, raised, right = only.kernels
    assert (zeros.status, zeros.verified, zeros.samples) == ("wrong", False, ())
    assert zeros.note.startswith("value: ")
    assert (ignoring.status, ignoring.note) == ("failed", "runs in 7 threads instead of 1")
    assert raised.status == "failed"
    assert raised.note.startswith("RuntimeError: no threads")
    assert right.ranked
    assert np.isfinite(right.error)


def test_ctrl_c_restores_the_threads_of_all_libraries():
    threads, started, during = [], [], []

    def interrupted(probs, grad_output, out):
        textbook(probs, grad_output, out)
        if started:
            during.append(numba.get_num_threads())
            raise KeyboardInterrupt

    kernel = describe(interrupted, set_num_threads=lambda number: threads.append(number) or number)
    session = prepared(kernel, budget=1.0)
    before = numba.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        list(session.run(SMALL[:1], starting=started.append))
    assert threads == [1, available_cores()] * 2  # for the question how many it has, and for the cell
    assert (during, numba.get_num_threads()) == ([1], before)
