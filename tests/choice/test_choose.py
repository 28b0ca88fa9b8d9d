"""The answer for a shape: from its own cell or the cells around it, within requirements, and no surer than it is."""

import json
import math

import numpy as np
import pytest

from softmax_impls import implementations, softmax_backward
from softmax_impls.checks.gate import judge
from softmax_impls.choice.answer import MEASURED, OUTSIDE, PREDICTED, Question, preferred
from softmax_impls.choice.choose import choose
from softmax_impls.timing.environment import environment

from .builders import FEBRUARY, HERE, build_cell, build_cell_of, build_kernel, build_run

OTHER = "other, 2 cores, Linux x86_64"
ERRORS = {"numba_simd": 2e-7, "numba_pivoted": 3e-7, "numba_rows": 4e5, "closed_form": 4e5, "mine": 1e-7}
FIELDS = {name: {"errors": {"saturated": error}} for name, error in ERRORS.items()}
FIELDS["mine"] |= {"accurate_for": "logits", "spec": "my.kernels:mine"}


def cell(batch, dim, times, **changes):
    return build_cell(batch, dim, times, fields=FIELDS, **changes)


def ask(question, *runs):
    return choose(question, [build_run(*cells) for cells in runs], HERE, implementations())


def law(b, d):
    """Below 1000 classes numba_pivoted is faster, above numba_simd."""
    return {
        "numba_pivoted": 1e-9 * b * d * (d / 1000) ** 0.5,
        "numba_simd": 1e-9 * b * d,
        "closed_form": 4e-9 * b * d,
    }


GRID = [cell(b, d, law(b, d)) for b in (1, 16, 256) for d in (16, 64, 256, 4096, 16384)]
QUESTION = Question(16, 64, "float32")


def test_a_measured_shape_is_answered_by_its_cell():
    found = ask(QUESTION, GRID)
    assert (found.basis, found.pick.name, found.sure) == (MEASURED, "numba_pivoted", True)
    assert found.pick.seconds == pytest.approx(law(16, 64)["numba_pivoted"], rel=0.01)
    assert found.pick.low <= found.pick.seconds <= found.pick.high
    assert found.runner_up.name == "numba_simd"
    assert found.ratio("numba_simd").value == pytest.approx((1000 / 64) ** 0.5, rel=0.02)
    assert list(found.candidates) == ["numba_pivoted", "numba_simd", "closed_form"]
    assert found.rounds == 20
    with pytest.raises(KeyError):
        found.ratio("unknown")


def test_the_source_describes_the_cells_of_the_answer():
    measured = ask(QUESTION, GRID).source
    assert (measured.tool, measured.machine, measured.here, measured.cells) == ("compare", HERE, True, 1)
    assert (measured.batch, measured.dim) == ((16, 16), (64, 64))
    predicted = ask(Question(50, 20, "float32"), GRID).source
    assert (predicted.cells, predicted.batch, predicted.dim) == (15, (1, 256), (16, 16384))
    assert predicted.files == ("results.jsonl",)


def test_between_measured_shapes_times_are_predicted():
    found = ask(Question(50, 20, "float32"), GRID)
    assert (found.basis, found.pick.name) == (PREDICTED, "numba_pivoted")
    assert found.pick.seconds == pytest.approx(law(50, 20)["numba_pivoted"], rel=0.2)


def test_close_to_a_crossover_a_predicted_answer_is_not_sure():
    assert not ask(Question(50, 990, "float32"), GRID).sure


@pytest.mark.parametrize("question", [Question(16, 64, "float64"), Question(16, 64, "float32", 2)])
def test_without_results_in_the_dtype_and_threads_there_is_no_answer(question):
    found = ask(question, GRID)
    assert (found.basis, found.pick, found.candidates, found.sure) == (OUTSIDE, None, {}, False)
    assert found.usage is None


def test_without_runs_there_is_no_answer():
    found = ask(Question(1, 1, "float32"))
    assert (found.basis, found.source) == (OUTSIDE, None)


# Accuracy: an implementation that loses saturated rows is in the table, and is not recommended.

LOSSY_FIRST = {"numba_rows": 1e-6, "numba_pivoted": 2e-6, "numba_simd": 3e-6}


def test_an_implementation_that_loses_saturated_rows_is_a_candidate_but_not_recommended():
    found = ask(QUESTION, [cell(16, 64, LOSSY_FIRST)])
    assert (found.pick.name, found.sure, found.runner_up.name) == ("numba_pivoted", True, "numba_simd")
    assert list(found.candidates) == list(LOSSY_FIRST)
    assert found.candidates["numba_rows"].accurate_for == "probs"
    assert found.ratio("numba_rows").value == pytest.approx(0.5, rel=0.01)
    assert found.ratio("numba_rows").low < 0.5 < found.ratio("numba_rows").high
    assert "numba_rows" not in found.ruled_out


def test_any_accuracy_allows_it_and_names_the_fastest_accurate_one():
    found = ask(Question(16, 64, "float32", any_accuracy=True), [cell(16, 64, LOSSY_FIRST)])
    assert (found.pick.name, found.more_accurate.name) == ("numba_rows", "numba_pivoted")
    assert ask(QUESTION, [cell(16, 64, LOSSY_FIRST)]).more_accurate is None


def test_if_no_candidate_is_accurate_there_is_no_pick_but_times():
    found = ask(QUESTION, [cell(16, 64, {"numba_rows": 2e-6, "closed_form": 1e-6})])
    assert (found.basis, found.pick, found.sure, found.winners) == (MEASURED, None, False, ())
    assert list(found.candidates) == ["closed_form", "numba_rows"]
    assert math.isnan(found.ratio("numba_rows").value)
    assert found.as_dict()["candidates"]["numba_rows"]["times_the_fastest"] == [None, None, None]


def test_an_unknown_implementation_of_unknown_accuracy_is_not_recommended():
    cells = [build_cell(16, 64, {"quick": 1e-6, "numba_simd": 2e-6})]
    found = ask(QUESTION, cells)
    assert (found.pick.name, found.candidates["quick"].accurate_for) == ("numba_simd", None)
    assert ask(Question(16, 64, "float32", any_accuracy=True), cells).pick.name == "quick"


# Ties: the default call's implementation comes first, then the least ratio.


def test_of_kernels_that_tie_that_of_the_default_call_is_picked():
    times = {"numba_pivoted": 1e-5, "mine": 1.001e-5, "numba_simd": 1.004e-5, "closed_form": 2e-5}
    found = ask(QUESTION, [cell(16, 64, times)])
    assert set(found.winners) == {"numba_pivoted", "mine", "numba_simd"}
    assert (found.pick.name, found.sure) == ("numba_simd", False)


def test_of_other_kernels_that_tie_the_one_with_the_least_ratio_is_picked():
    found = ask(QUESTION, [cell(16, 64, {"numba_pivoted": 1e-5, "mine": 1.004e-5, "numba_simd": 2e-5})])
    assert len(found.winners) == 2
    assert found.pick.name == found.comparison.best


@pytest.mark.parametrize("seed", range(8))
def test_the_pick_is_never_measurably_slower(seed):
    """With much noise, medians and ratios disagree; the pick wins or ties all the same."""
    times = {"numba_pivoted": 1e-5, "mine": 1.02e-5, "numba_simd": 1.03e-5}
    found = ask(Question(seed + 1, 64, "float32"), [cell(seed + 1, 64, times, spread=0.1)])
    assert found.pick.name in found.winners


def test_the_default_call_is_preferred_within_a_percent():
    assert preferred({"mine": 1.0, "numba_simd": 1.009}) == "numba_simd"
    assert preferred({"mine": 1.0, "numba_simd": 1.02}) == "mine"
    assert preferred({"mine": 1.0, "numba_rows": 1.0}) == "mine"
    assert preferred({}) == ""


# Code: what is printed calls the pick.


@pytest.mark.parametrize(
    ("times", "line"),
    [
        ({"numba_simd": 1e-6, "numba_pivoted": 2e-6}, "softmax_backward(probs, grad_output, out=out)"),
        ({"numba_simd": 2e-6, "pivoted": 1e-6}, 'softmax_backward(probs, grad_output, out=out, impl="pivoted")'),
        ({"mine": 1e-6}, 'softmax_backward(probs, grad_output, out=out, impl="my.kernels:mine")'),
    ],
)
def test_the_answer_has_the_call_and_a_setup(times, line):
    found = ask(QUESTION, [cell(16, 64, times)])
    assert found.usage.line == found.as_dict()["code"] == line
    assert "standard_normal((16, 64)" in found.as_dict()["setup"]


@pytest.mark.parametrize("spec", ["", "os:system('true')", "os;x:y", 'a"b:c', "a:b\nc"])
def test_text_from_results_does_not_become_code(spec):
    about = {"accurate_for": "logits", "spec": spec.replace("\n", " ")}
    found = ask(QUESTION, [build_cell(16, 64, {"theirs": 1e-6}, fields={"theirs": about})])
    assert (found.pick.name, found.usage, found.as_dict()["code"]) == ("theirs", None, None)


# Requirements.


def test_kernels_that_exceed_the_error_are_ruled_out_with_the_reason():
    found = ask(Question(16, 64, "float32", max_error=1e-5), GRID)
    assert list(found.candidates) == ["numba_pivoted", "numba_simd"]
    assert found.ruled_out["closed_form"] == "its worst error has no bound"
    tight = ask(Question(16, 64, "float32", max_error=2e-7), GRID)
    assert tight.ruled_out["numba_simd"] == "its worst error may be 7.6e-06, more than 2e-07"


@pytest.mark.parametrize("errors", [{}, {"saturated": 2e-7}])
def test_the_error_bound_is_the_same_wherever_the_times_come_from(errors):
    """`choose` does not check our implementations when it measures, so it knows no errors."""
    fields = {name: {"errors": errors} for name in ("numba_simd", "numba_rows")}
    found = ask(Question(1, 5, "float32"), [build_cell(1, 5, dict.fromkeys(fields, 1e-6), fields=fields)])
    bounds = {name: candidate.error_bound for name, candidate in found.candidates.items()}
    assert bounds == {"numba_simd": 128 * 2.0**-24, "numba_rows": math.inf}


def test_an_error_that_exceeds_the_bound_counts():
    fields = {"numba_simd": {"errors": {"saturated": 1e-5}}}
    found = ask(Question(1, 5, "float32"), [build_cell(1, 5, {"numba_simd": 1e-6}, fields=fields)])
    assert found.pick.error_bound == 1e-5


def test_unknown_errors_and_memory_are_called_unknown():
    cells = [build_cell_of(build_kernel("theirs", [1e-6] * 20, temporary_bytes=None, accurate_for="logits"))]
    for limit, what in (({"max_error": 1e-6}, "worst error"), ({"max_memory": 1e6}, "temporary memory")):
        assert ask(Question(1, 5, "float32", **limit), cells).ruled_out == {"theirs": f"its {what} is unknown"}
    assert list(ask(Question(1, 5, "float32"), cells).candidates) == ["theirs"]


def test_the_memory_of_our_own_kernels_is_known_from_their_records():
    kernels = [build_kernel(name, [1e-6] * 20, temporary_bytes=None) for name in ("numba_simd", "closed_form")]
    found = ask(Question(1000, 1000, "float32", max_memory=1e6), [build_cell_of(*kernels, batch=1000, dim=1000)])
    assert found.candidates["numba_simd"].temporary_bytes == 0
    assert found.ruled_out == {"closed_form": "its temporary memory is 8.0 MB, more than 1.0 MB"}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_errors_of_our_own_kernels_are_known_from_the_checks(dtype):
    """A result of pytest-benchmark, for instance, does not state them."""
    ours = {name: record for name, record in implementations().items() if record.family != "loop"}
    found = ask(Question(1, 5, dtype), [build_cell(1, 5, dict.fromkeys(ours, 1e-6), dtype=dtype)]).candidates
    for name, verdict in judge(ours, dtypes=[dtype]).items():
        assert max(verdict.errors[dtype].values()) <= found[name].error_bound
        assert math.isinf(found[name].error_bound) == (ours[name].accurate_for == "probs")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["numba_simd", "numba_pivoted", "pivoted"])
def test_random_rows_are_within_the_stated_error_bound(name, dtype):
    bound = ask(Question(1, 24, dtype), [build_cell(1, 24, {name: 1e-6}, dtype=dtype)]).candidates[name].error_bound
    rng = np.random.default_rng(0)
    for dim, scale, confident in ((10, 10, 0), (24, 10, 0), (300, 10, 0), (24, 0.5, 6), (33, 0.5, 6)):
        x, g = (factor * rng.standard_normal((2000, dim)).astype(dtype) for factor in (scale, 1))
        x[:, 0] += confident  # p near 0.9
        powers = np.exp(x.astype(np.longdouble) - x.max(axis=-1, keepdims=True))
        p = powers / powers.sum(axis=-1, keepdims=True)
        h = g - np.take_along_axis(g.astype(np.longdouble), p.argmax(axis=-1)[:, np.newaxis], axis=-1)
        exact = p * (h - (p * h).sum(axis=-1, keepdims=True))
        error = abs(softmax_backward(p.astype(dtype), g, impl=name) - exact).max(axis=-1) / abs(exact).max(axis=-1)
        assert error.max() <= bound


@pytest.mark.parametrize("limit", ["max_memory", "max_error"])
def test_a_limit_that_is_nan_is_an_error(limit):
    with pytest.raises(ValueError, match="max_memory and max_error must be numbers, got"):
        Question(1, 5, "float32", **{limit: math.nan})


def test_kernels_that_exceed_the_memory_are_ruled_out_with_the_reason():
    fields = {**FIELDS, "numba_rows": {"temporary_bytes": 2_000_000}}
    found = ask(
        Question(1, 5, "float32", max_memory=1e6), [build_cell(1, 5, {"numba_rows": 1e-6, "mine": 2e-6}, fields=fields)]
    )
    assert found.pick.name == "mine"
    assert found.ruled_out == {"numba_rows": "its temporary memory is 2.0 MB, more than 1.0 MB"}


def test_if_every_kernel_is_ruled_out_there_is_no_pick():
    found = ask(Question(16, 64, "float32", max_error=1e-9), GRID)
    assert found.pick is None
    assert found.basis == MEASURED
    assert len(found.ruled_out) == 3


def test_kernels_that_were_not_timed_are_ruled_out_with_the_reason():
    fast = build_kernel("numba_simd", [1e-5] * 20)
    pruned = build_kernel("closed_form", [], status="pruned", note="needs 12.9 GB")
    unverified = build_kernel("mine", [1e-6] * 20, verified=False)
    assert ask(Question(1, 5, "float32"), [build_cell_of(fast, pruned, unverified)]).ruled_out == {
        "closed_form": "pruned: needs 12.9 GB",
        "mine": "its result was not verified",
    }


# Only some implementations.


def test_only_the_named_implementations_are_candidates():
    found = ask(Question(16, 64, "float32", only=("numba_simd", "closed_form")), GRID)
    assert list(found.candidates) == ["numba_simd", "closed_form"]
    assert (found.pick.name, found.ruled_out) == ("numba_simd", {})


def test_a_named_implementation_that_the_cell_lacks_is_looked_for_in_others():
    without = cell(16, 64, law(16, 64), time=FEBRUARY)
    with_it = cell(16, 64, {"pivoted": 9e-6}, workload="digits")
    found = ask(Question(16, 64, "float32", only=("pivoted",)), [without, with_it])
    assert (found.pick.name, found.pick.seconds) == ("pivoted", pytest.approx(9e-6, rel=0.01))


def test_a_named_implementation_without_results_has_no_answer():
    found = ask(Question(16, 64, "float32", only=("pivoted",)), GRID)
    assert found.pick is None
    assert not found.candidates


def test_a_newer_cell_without_the_default_call_does_not_hide_one_that_has_it():
    full, partial = cell(16, 64, law(16, 64)), cell(16, 64, {"pivoted": 9e-6}, workload="digits", time=FEBRUARY)
    assert ask(QUESTION, [full, partial]).pick.name == "numba_pivoted"


# Which run answers.


def test_a_newer_run_answers_before_an_older_run_and_they_are_not_mixed():
    older = cell(4, 4, {"numba_pivoted": 1e-6, "closed_form": 2e-6}, commit="a")
    newer = cell(4, 4, {"numba_simd": 3e-6}, commit="b", time=FEBRUARY)
    assert list(ask(Question(4, 4, "float32"), [older], [newer]).candidates) == ["numba_simd"]


def test_the_newest_of_two_cells_of_one_shape_answers():
    older = cell(4, 4, {"numba_rows": 1e-6}, workload="digits")
    newer = cell(4, 4, {"numba_simd": 3e-6}, time=FEBRUARY)
    for cells in ([older, newer], [newer, older]):
        assert list(ask(Question(4, 4, "float32"), cells).candidates) == ["numba_simd"]


def test_this_machine_answers_before_newer_results_of_another():
    here = cell(4, 4, {"numba_pivoted": 1e-6})
    there = cell(4, 4, {"numba_simd": 3e-6}, machine=OTHER, time=FEBRUARY)
    found = ask(Question(4, 4, "float32"), [there], [here])
    assert (found.pick.name, found.source.here) == ("numba_pivoted", True)


def test_another_host_with_the_same_processor_is_another_machine():
    machine, host = environment().machine, environment().host
    here = cell(4, 4, {"mine": 1e-6}, machine=machine, host=host)
    there = cell(4, 4, {"numba_simd": 3e-6}, machine=machine, host="another", time=FEBRUARY)
    runs = [build_run(there), build_run(here)]
    found = choose(Question(4, 4, "float32"), runs, machine, {})
    assert (found.pick.name, found.source.here) == ("mine", True)
    assert not choose(Question(4, 4, "float32"), runs[:1], machine, {}).source.here


def test_another_machine_answers_if_there_is_nothing_from_this_machine():
    found = ask(Question(9, 9, "float32"), [cell(9, 9, {"numba_simd": 1e-6}, machine=OTHER)])
    assert (found.source.machine, found.source.here) == (OTHER, False)


def test_compare_answers_before_newer_results_of_other_tools():
    compare = cell(4, 4, {"numba_rows": 1e-6})
    asv = cell(4, 4, {"numba_simd": 1e-6}, tool="asv", time=FEBRUARY)
    assert ask(Question(4, 4, "float32"), [asv], [compare]).source.tool == "compare"


def test_a_run_that_measured_the_shape_answers_before_a_run_that_would_be_predicted():
    there = cell(50, 20, {"numba_simd": 3e-6}, machine=OTHER)
    found = ask(Question(50, 20, "float32"), GRID, [there])
    assert (found.basis, found.source.machine) == (MEASURED, OTHER)


def test_with_a_single_sample_the_interval_is_unknown():
    found = ask(Question(1, 5, "float32"), [build_cell_of(build_kernel("numba_simd", [1e-6]))])
    assert math.isnan(found.pick.low)
    assert found.as_dict()["candidates"]["numba_simd"]["low"] is None


def test_an_answer_can_be_written_as_json():
    data = json.loads(json.dumps(ask(QUESTION, GRID).as_dict(), allow_nan=False))
    assert (data["use"], data["sure"], data["doubts"]) == ("numba_pivoted", True, [])
    assert data["question"]["max_memory"] is None
    assert data["candidates"]["closed_form"]["times_the_fastest"][0] > 1
    assert data["source"]["time"] == "2026-01-01T00:00:00+00:00"
