"""`softmax_impls.choose`: the choice as a Python call."""

import math

import numpy as np
import pytest

import softmax_impls
from softmax_impls.choice.answer import Candidate, Question
from softmax_impls.choice.candidates import usage_of
from softmax_impls.commands import choosing
from softmax_impls.commands.kernels import select_kernels
from softmax_impls.results import store
from softmax_impls.threads import available_cores, default_threads
from tests.choice.builders import build_cell


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shape_is_measured_and_the_code_to_paste_runs(folder, monkeypatch):
    monkeypatch.setattr("softmax_impls.choice.asking.SECONDS", 0.3)
    monkeypatch.setattr("softmax_impls.choice.asking.PASTED_SECONDS", 0.0)
    answer = softmax_impls.choose(np.int64(4), 8, "float32", threads=np.int8(1), kernels=["pivoted", "closed_form"])
    assert answer.pick.name == "pivoted"  # the other loses saturated rows
    assert repr(answer).startswith("<Answer: use pivoted, ")
    exec(str(answer.usage), names := {})
    assert names["out"].any()
    (cell,) = store.read(folder / "softmax-impls-report" / "measured.jsonl")[0]
    assert (cell.batch, cell.dim, cell.dtype, cell.threads) == (4, 8, "float32", 1)


def test_results_answer_without_measuring(folder, monkeypatch):
    monkeypatch.setattr(choosing, "ask_by_measuring", None)
    cell = build_cell(16, 16, {"pivoted": 1e-6, "numba_simd": 2e-6})
    store.append(folder / "results.jsonl", cell)
    answer = softmax_impls.choose(16, 16, cell.dtype, threads=1, results="results.jsonl")
    assert set(answer.candidates) == {"pivoted", "numba_simd"}


def test_there_is_no_code_for_a_function_that_cannot_be_imported():
    def inner(probs, grad_output, out):
        pass

    selected, _ = select_kernels({"lambda": lambda *_: None, "inner": inner}, peers=False)
    for name in selected:
        assert usage_of(Candidate(name, 1e-6, 1e-6, 1e-6, 0, 0), Question(4, 8, "float32"), selected) is None


def test_question_has_the_arguments_and_the_threads_of_the_default_call(monkeypatch):
    asked = []
    monkeypatch.setattr(choosing, "ask_by_measuring", lambda questions, *_: asked.extend(questions) or [None])
    softmax_impls.choose(3, 4, kernels=["pivoted"], max_memory=1e6, max_error=1e-6, any_accuracy=True)
    (question,) = asked
    assert (question.batch, question.dim, question.dtype) == (3, 4, "float64")
    assert question.threads == min(default_threads(), available_cores())
    assert (question.max_memory, question.max_error, question.any_accuracy) == (1e6, 1e-6, True)
    assert question.only == ("pivoted",)
    softmax_impls.choose(3, 4)
    assert (asked[-1].only, asked[-1].max_memory) == ((), math.inf)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch": 0}, ValueError, "batch and dim must be at least 1, .*; got 0×4"),
        ({"batch": True}, TypeError, "batch must be an int, got True"),
        ({"batch": "64"}, TypeError, "batch must be an int, got '64'"),
        ({"dim": 10.0}, TypeError, "dim must be an int, got 10.0"),
        ({"dtype": "float16"}, ValueError, "dtype must be of float32, float64; got 'float16'"),
        ({"threads": 1.5}, TypeError, "threads must be an int, got 1.5"),
        ({"max_memory": "1GB"}, TypeError, "max_memory must be a number of bytes, got '1GB'"),
        ({"max_error": math.nan}, ValueError, "max_error must be a number, got nan"),
        ({"results": 5}, TypeError, "results must be an iterable, got 5"),
        ({"threads": 1000}, ValueError, "threads must be from 1 to"),
        ({"results": "gone"}, FileNotFoundError, "no such file or folder: gone"),
        ({"kernels": ["numba_simt"]}, ValueError, "did you mean 'numba_simd'"),
    ],
)
def test_impossible_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        softmax_impls.choose(**{"batch": 3, "dim": 4} | arguments)
