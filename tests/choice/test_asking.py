"""Answers state the time of their code; that of several threads is compared with one thread."""

import pytest

from softmax_impls import implementations
from softmax_impls.choice import asking
from softmax_impls.choice.answer import MEASURED, OUTSIDE, Question
from softmax_impls.choice.asking import ask_results
from softmax_impls.choice.choose import choose
from softmax_impls.results.runs import Loaded
from softmax_impls.timing.pasted_code import Times
from softmax_impls.timing.records import Environment

from .builders import HERE, build_cell, build_run


def test_a_folder_that_cannot_be_looked_for_is_reported_when_it_is_made(tmp_path):
    """The name is too long. A folder without permission also raises when it is looked for, but not for root."""
    assert asking._not_writable(tmp_path / ("x" * 300) / "measured.jsonl") == ""


@pytest.mark.parametrize(
    ("shape", "threads", "name", "used", "alone"),
    [
        ((1024, 512), 2, "numba_simd", 2, "softmax_backward(probs, grad_output, out=out, threads=1)"),
        ((1024, 512), 1, "numba_simd", 1, None),
        ((16, 16), 2, "numba_simd", 1, None),  # too small to be shared
        ((1024, 512), 2, "numba_pivoted", 2, None),  # it has one thread, whatever is allowed
    ],
)
def test_code_that_runs_in_several_threads_is_timed_in_one_thread_too(monkeypatch, shape, threads, name, used, alone):
    timed = []
    monkeypatch.setattr(asking, "time_pasted", lambda *arguments: timed.append(arguments) or Times(2e-6, 1e-6, 3e-6))
    monkeypatch.setattr("softmax_impls.usage.default_threads", lambda: 2)
    run = build_run(build_cell(*shape, {name: 1e-6}, threads=threads))
    answer = choose(Question(*shape, "float32", threads), [run], HERE, implementations())
    stated = asking._as_pasted(answer, implementations())
    assert (stated.pick.seconds, stated.pick.low, stated.pick.high) == (2e-6, 1e-6, 3e-6)
    ((usage, _, number, line),) = timed
    assert (usage, number) == (answer.usage, used)
    assert (line and line.line) == alone


def test_other_times_follow_from_the_time_of_the_code_by_their_ratios(monkeypatch):
    """Times of the rounds beside it would contradict the ratios: the machine was slower or faster then."""
    monkeypatch.setattr(asking, "time_pasted", lambda *_: Times(8e-6, 4e-6, 9e-6))
    times = {"numba_pivoted": 3e-6, "numba_simd": 1.005e-6, "pivoted": 1e-6, "numba_rows": 0.5e-6}
    answer = choose(Question(16, 16, "float32"), [build_run(build_cell(16, 16, times))], HERE, implementations())
    stated = asking._as_pasted(answer, implementations())
    assert (stated.pick.name, stated.comparison.best) == ("numba_simd", "pivoted")
    for name, candidate in stated.candidates.items():
        ratio = stated.ratio(name).value / stated.ratio("numba_simd").value
        assert (candidate.seconds, candidate.low, candidate.high) == pytest.approx(
            (8e-6 * ratio, 4e-6 * ratio, 9e-6 * ratio)
        )
    assert list(stated.candidates) == sorted(times, key=times.__getitem__)


def test_results_with_fewer_threads_answer_where_results_with_as_many_are_of_other_shapes(monkeypatch):
    cells = build_cell(64, 100, {"numba_simd": 1e-6}), build_cell(512, 1000, {"numba_simd": 1e-6}, threads=2)
    monkeypatch.setattr(asking, "environment", lambda: Environment(machine=HERE))
    loaded, lines = Loaded((build_run(*cells).run,), (), ()), []

    def ask(shape, any_threads):
        question = Question(*shape, "float32", 2)
        (answer,) = ask_results([question], implementations(), loaded, lines.append, any_threads)
        return answer.basis, answer.question.threads

    assert (ask((512, 1000), True), ask((64, 100), True)) == ((MEASURED, 2), (MEASURED, 1))
    assert lines == ["No results with 2 threads are near: this is the answer for 1 thread."]
    assert ask((64, 100), False) == ask((3, 3), True) == (OUTSIDE, 2)
