"""A session divides its budget among cells, and measures open cells again."""

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
from softmax_impls.timing.policy import SamplingPolicy
from softmax_impls.timing.records import Cell
from softmax_impls.timing.session import Measured, Session, Skipped
from softmax_impls.timing.workloads import CellKey
from tests.timing.kernels import textbook

POLICY = SamplingPolicy()
LARGE = [CellKey("custom", POLICY.large_from, n, "float32", 1) for n in (1, 2, 3)]
SMALL = [CellKey("custom", n, 16, "float32", 1) for n in (1, 2)]


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
    measured = [result.cell for result in session.run([SMALL[0], LARGE[0]])]
    assert measured.count(SMALL[0]) == measured.count(LARGE[0]) == 6
    assert session.planned_steps([SMALL[0], LARGE[0]]) == 4


def test_open_cells_get_no_more_than_the_budget(simulation):
    simulation.needed = 10**6
    session = Session({}, 4.0, 10**9)
    assert list(session.run([SMALL[0], LARGE[0]]))
    assert session.seconds_left < 1.5
    assert simulation.now < 8


def test_cells_are_announced_before_each_step(simulation):
    announced = []
    measured = [result.cell for result in Session({}, 4.0, 10**9).run([*SMALL, *LARGE], announced.append)]
    assert announced == measured


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
    session = prepared(closed_form, replace(closed_form, name="copy"), budget=1.5)
    cells = [result.cell for result in session.run(SMALL[1:]) if isinstance(result, Measured)]
    assert len(cells) >= POLICY.passes
    first, last = (max(len(kernel.samples) for kernel in cell.kernels) for cell in (cells[0], cells[-1]))
    assert last > first
    assert len(cells[-1].blocks) >= POLICY.passes
    assert sum(cells[-1].blocks) == last


@pytest.mark.slow
def test_records_of_all_implementations_survive_encoding():
    session = prepared(*implementations().values(), budget=6.0)
    keys = [SMALL[0], CellKey("imagenet", 256, 1000, "float32", 1), CellKey("custom", 2048, 2100, "float32", 2)]
    last = {result.cell.key: result.cell for result in session.run(keys) if isinstance(result, Measured)}
    assert last.keys() == set(keys)
    for cell in last.values():
        assert msgspec.json.decode(msgspec.json.encode(cell), type=Cell) == cell
        assert cell.by_name.keys() == implementations().keys()
        assert sum(kernel.ranked for kernel in cell.kernels) >= 3
        assert all(kernel.errors and kernel.source != "?" for kernel in cell.kernels)


def test_an_implementation_that_failed_the_checks_is_recorded_as_wrong_and_not_timed():
    def zeros(probs, grad_output, out):
        out[...] = 0

    (*_, last) = prepared(describe(zeros), describe(textbook), budget=1.0).run(SMALL[:1])
    zeros = last.cell.by_name["zeros"]
    assert (zeros.status, zeros.verified, zeros.samples) == ("wrong", False, ())
    assert zeros.note.startswith("value: ")
    assert last.cell.by_name["textbook"].ranked


def test_an_implementation_that_ignores_the_number_of_threads_is_not_timed():
    def ignoring(probs, grad_output, out):
        textbook(probs, grad_output, out)

    kernel = describe(ignoring, set_num_threads=lambda threads: 7)
    (*_, last) = prepared(kernel, describe(textbook), budget=1.0).run(SMALL[:1])
    ignoring = last.cell.by_name["ignoring"]
    assert (ignoring.status, ignoring.note) == ("failed", "runs in 7 threads instead of 1")
    assert last.cell.by_name["textbook"].ranked


def test_ctrl_c_restores_the_threads_of_all_libraries():
    threads, calls = [], []

    def interrupted(probs, grad_output, out):
        textbook(probs, grad_output, out)
        calls.append(1)

    kernel = describe(interrupted, set_num_threads=lambda number: threads.append(number) or number)
    session = prepared(kernel, budget=1.0)
    before = numba.get_num_threads()

    def interrupt(key):
        raise KeyboardInterrupt

    results = session.run(SMALL[:1], starting=lambda key: None)
    next(results)
    results.close()
    with pytest.raises(KeyboardInterrupt):
        list(session.run(SMALL[:1], starting=interrupt))
    assert threads[-1] == available_cores()
    assert numba.get_num_threads() == before


def test_the_errors_of_the_checks_are_in_the_record():
    (first, *_) = prepared(describe(textbook), budget=1.0).run(SMALL[:1])
    kernel = first.cell.by_name["textbook"]
    assert np.isfinite(kernel.error)
    assert kernel.first_call_seconds >= 0
