"""`softmax_impls.compare`: the comparison as a Python call."""

import math

import numpy as np
import pytest

import softmax_impls
from softmax_impls import dispatch
from softmax_impls.commands import comparison
from softmax_impls.commands.fleet.messages import Order
from softmax_impls.commands.kernels import select_kernels
from softmax_impls.results import store
from softmax_impls.timing.session import Session, Skipped
from softmax_impls.timing.workloads import CellKey
from tests.choice.builders import build_cell

QUICK = {"dtypes": "float64", "budget": 1}
SHAPES = [(4, 8)]


def mine(probs, grad_output, out):
    out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))


def flipped(probs, grad_output, out):
    mine(-probs, grad_output, out)


@pytest.fixture(scope="module")
def results():
    return softmax_impls.compare([mine, "pivoted"], SHAPES, **QUICK)


def test_kernels_are_functions_of_the_caller_and_names(results):
    (cell,) = results.runs[0].cells
    assert cell.key == CellKey("custom", 4, 8, "float64", 1)
    assert set(cell.kernels) == {"mine", "pivoted"}
    assert all(kernel.ranked for kernel in cell.kernels.values())


def test_results_have_a_short_repr_tables_as_text_and_html_and_a_data_frame(results):
    assert repr(results) == "<Results: 1 cell in 1 run>"
    for shown in (str(results), results._repr_html_()):
        assert "mine" in shown
        assert "pivoted" in shown
        assert results.recommendation[0] in " ".join(shown.split())
    assert set(results.frame["implementation"]) == {"mine", "pivoted"}


def test_dictionary_gives_kernels_their_names():
    kernels = {"of_a_lambda": lambda p, g, out: mine(p, g, out), "other": "closed_form"}
    (cell,) = softmax_impls.compare(kernels, SHAPES, **QUICK).runs[0].cells
    assert set(cell.kernels) == {"of_a_lambda", "other"}


def test_auto_stands_for_the_implementation_of_the_default_call():
    selected, _ = select_kernels(["auto", mine], peers=False)
    assert list(selected) == [dispatch.pick().impl, "mine"]


def test_wrong_kernel_is_named_and_not_ranked():
    found = softmax_impls.compare([flipped, "pivoted"], SHAPES, **QUICK)
    assert found.runs[0].cells[0].winners == ("pivoted",)
    assert any(line.startswith("flipped wrong: value:") for line in found.problems)


def test_nothing_is_written_without_a_folder_and_results_are_continued_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    softmax_impls.compare(["pivoted"], SHAPES, **QUICK)
    assert list(tmp_path.iterdir()) == []
    numbers = {"threads": np.array([1]), "max_memory": math.inf, "seed": np.int64(0)}
    softmax_impls.compare(["pivoted"], np.array(SHAPES), output="folder", **numbers, **QUICK)
    both = {**QUICK, "dtypes": [np.float64, np.float32]}
    found = softmax_impls.compare(["pivoted"], SHAPES, output="folder", resume=True, **both)
    assert [cell.dtype for cell in store.read(tmp_path / "folder" / store.FILE)[0]] == ["float64", "float32"]
    assert [cell.key.dtype for cell in found.runs[0].cells] == ["float32", "float64"]


def test_results_are_shown_although_they_cannot_be_written(monkeypatch, tmp_path):
    key = CellKey("custom", 4, 8, "float32", 1)
    monkeypatch.setattr(Session, "prepare", lambda *_: None)
    record = build_cell(4, 8, {"pivoted": 1e-6}, disturbed=(9,))
    monkeypatch.setattr(Session, "run", lambda *_: iter([record]))
    run = comparison.Comparison({}, Order([key], [], 1), tmp_path / "folder")
    run.open(resume=False)
    run.file.unlink()
    run.file.parent.rmdir()
    run.file.parent.touch()  # in place of the folder
    run.run(progress=False)
    assert [cell.key for cell in run.ranked] == [key]
    assert len(run.ranked[0].cell.kernels[0].samples) == 19  # of quiet rounds
    assert len(run.results().frame.samples[0]) == 20
    assert run.problems == [f"{run.file} lacks cells: Not a directory"]
    assert run.failed


def test_interrupted_comparison_returns_the_finished_cells(monkeypatch):
    def run_one_cell(self, keys, starting):
        yield next(measure(self, keys, starting))
        raise KeyboardInterrupt

    measure = Session.run
    monkeypatch.setattr(Session, "run", run_one_cell)
    found = softmax_impls.compare(["pivoted"], [(4, 8), (8, 8)], **QUICK)
    assert len(found.runs[0].cells) == 1
    assert found.problems[-1] == "Interrupted: 1 of 2 cells are measured."


def test_missing_cells_are_counted(monkeypatch):
    keys = [CellKey("custom", batch, 8, "float32", 1) for batch in (4, 8)]
    outcomes = [build_cell(4, 8, {"pivoted": 1e-6}), Skipped(keys[1], "its arrays are too large")]
    monkeypatch.setattr(Session, "prepare", lambda *_: None)
    monkeypatch.setattr(Session, "run", lambda *_: iter(outcomes))
    run = comparison.Comparison({}, Order(keys, [], 1), None)
    run.run(progress=False)
    assert run.problems == [f"{keys[1]} not measured: its arrays are too large", "1 of 2 cells are measured."]
    assert (run.is_partial, run.failed) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernels": ["fastest"]}, "impl must be one of auto, closed_form"),
        ({"kernels": []}, "kernels must have at least one kernel"),
        ({"kernels": [mine, mine]}, "kernels: two are named 'mine'; pass a dictionary"),
        ({"kernels": [lambda *_: None, lambda *_: None]}, "kernels: two are named 'kernel'; pass a dictionary"),
        ({"kernels": {"pivoted": mine}}, "kernels: 'pivoted' is the name of another implementation"),
        ({"shapes": [(0, 3)]}, "batch and dim must be at least 1, with arrays of at most 2 GB; got 0×3"),
        ({"shapes": (64, 1000)}, r"shapes must be pairs of integers \(batch, dim\).*got shapes=\[64, 1000\]"),
        ({"shapes": [(100_000, 100_000)]}, "arrays of at most 2 GB; got 100000×100000"),
        ({"workloads": ["mnist"]}, "workloads must be of sample-10, .*; got 'mnist'"),
        ({"workloads": "imagnet"}, r"got 'imagnet'; did you mean 'imagenet'\?"),
        ({"dtypes": ["float16"]}, "dtypes must be of float32, float64; got 'float16'"),
        ({"dtypes": "float46"}, "dtypes must be of float32, float64; got 'float46'"),
        ({"max_memory": math.nan}, "max_memory must be a number of bytes, got nan"),
        ({"threads": [0]}, r"threads must be from 1 to \d+, the number of processors; got \[0\]"),
        ({"kernels": {"a\nb": "pivoted"}}, r"name must be an identifier other than 'auto', got 'a\\nb'"),
        ({"seed": -1}, "seed must be from 0 to 4611686018427387904, got -1"),
        ({"seed": 2**63}, "seed must be from 0 to 4611686018427387904, got 9223372036854775808"),
        ({"resume": True}, "resume needs output, the folder of the results"),
        ({"budget": float("nan")}, "budget must be a positive number of seconds, got nan"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        softmax_impls.compare(**{"kernels": ["pivoted"], "shapes": SHAPES} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernels": [3]}, "kernel must be callable, got int"),
        ({"kernels": 3}, "kernels must be an iterable, got 3"),
        ({"shapes": 64}, "shapes must be an iterable, got 64"),
        ({"workloads": 3}, "workloads must be an iterable, got 3"),
        ({"threads": [1.5]}, "threads must be an int, got 1.5"),
        ({"threads": [True]}, "threads must be an int, got True"),
        ({"budget": "60"}, "budget must be a positive number of seconds, got '60'"),
        ({"max_memory": "1GB"}, "max_memory must be a number of bytes, got '1GB'"),
        ({"seed": 1.5}, "seed must be an int, got 1.5"),
    ],
)
def test_arguments_of_a_wrong_type_are_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        softmax_impls.compare(**{"kernels": ["pivoted"], "shapes": SHAPES} | arguments)


def test_single_values_stand_for_lists(monkeypatch):
    made = []
    monkeypatch.setattr(comparison.Comparison, "run", lambda self, _: made.append(self))
    softmax_impls.compare("pivoted", workloads="digits", dtypes=np.float32, threads=1)
    assert made[0].order.keys == [CellKey("digits", 128, 10, "float32", 1)]


def test_check_names_a_seed_of_a_wrong_type():
    with pytest.raises(TypeError, match="seed must be an int, got '1'"):
        softmax_impls.check(["pivoted"], seed="1")


def test_budget_includes_what_passed_before_the_comparison(monkeypatch):
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: 100.0)
    assert comparison.Comparison({}, Order([], [], 10), None, start=94.0).session.seconds_left == 4
