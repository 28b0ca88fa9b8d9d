"""The answer for a shape: from its own cell or the cells around it, within requirements, and no surer than it is."""

import json
import math

import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import INTERPOLATED, MEASURED, OUTSIDE, Question
from softmax_impls.choice.choose import choose

from .builders import FEBRUARY, HERE, build_cell, build_cell_of, build_kernel, build_run

OTHER = "other, 2 cores, Linux x86_64"
ERRORS = {"numba_simd": 2e-7, "numba_rows": 4e5, "closed_form": 4e5, "mine": 1e-7}
FIELDS = {name: {"errors": {"saturated": error}} for name, error in ERRORS.items()}


def cell(batch, dim, times, **changes):
    return build_cell(batch, dim, times, fields=FIELDS, **changes)


def ask(question, *runs):
    return choose(question, [build_run(*cells) for cells in runs], HERE, implementations())


def law(b, d):
    """Below 1000 classes numba_rows is faster, above numba_simd."""
    return {
        "numba_rows": 1e-9 * b * d * (d / 1000) ** 0.5,
        "numba_simd": 1e-9 * b * d,
        "closed_form": 4e-9 * b * d,
    }


GRID = [cell(b, d, law(b, d)) for b in (1, 16, 256) for d in (16, 64, 256, 4096, 16384)]


def test_a_measured_shape_is_answered_by_its_cell():
    found = ask(Question(16, 64, "float32"), GRID)
    assert (found.basis, found.pick.name, found.sure) == (MEASURED, "numba_rows", True)
    assert found.pick.seconds == pytest.approx(law(16, 64)["numba_rows"], rel=0.01)
    assert found.pick.low <= found.pick.seconds <= found.pick.high
    second, ratio = found.runner_up
    assert second.name == "numba_simd"
    assert ratio.value == pytest.approx((1000 / 64) ** 0.5, rel=0.02)
    assert found.more_accurate.name == "numba_simd"
    assert list(found.candidates) == ["numba_rows", "numba_simd", "closed_form"]
    assert found.rounds == 20


def test_the_source_describes_the_cells_of_the_answer():
    measured = ask(Question(16, 64, "float32"), GRID).source
    assert (measured.tool, measured.machine, measured.here, measured.cells) == ("compare", HERE, True, 1)
    assert (measured.batch, measured.dim) == ((16, 16), (64, 64))
    interpolated = ask(Question(50, 20, "float32"), GRID).source
    assert (interpolated.cells, interpolated.batch, interpolated.dim) == (15, (1, 256), (16, 16384))
    assert interpolated.files == ("results.jsonl",)


def test_between_measured_shapes_times_are_interpolated():
    found = ask(Question(50, 20, "float32"), GRID)
    assert (found.basis, found.pick.name, found.sure) == (INTERPOLATED, "numba_rows", True)
    assert found.pick.seconds == pytest.approx(law(50, 20)["numba_rows"], rel=0.02)


def test_close_to_a_crossover_an_interpolated_answer_is_not_sure():
    found = ask(Question(50, 990, "float32"), GRID)
    assert not found.sure
    assert found.pick.name == "numba_simd"  # it ties, and is more accurate


@pytest.mark.parametrize(
    "question",
    [
        Question(257, 64, "float32"),
        Question(16, 15, "float32"),
        Question(16, 64, "float64"),
        Question(16, 64, "float32", 2),
    ],
)
def test_outside_of_the_measured_shapes_there_is_no_answer(question):
    found = ask(question, GRID)
    assert (found.basis, found.pick, found.candidates, found.sure) == (OUTSIDE, None, {}, False)


def test_without_runs_there_is_no_answer():
    found = ask(Question(1, 1, "float32"))
    assert (found.basis, found.source) == (OUTSIDE, None)


def test_kernels_that_exceed_the_error_are_ruled_out_with_the_reason():
    found = ask(Question(16, 64, "float32", max_error=1e-6), GRID)
    assert list(found.candidates) == ["numba_simd"]
    assert found.ruled_out["numba_rows"] == "its worst error is 4e+05, more than 1e-06"


def test_kernels_that_exceed_the_memory_are_ruled_out_with_the_reason():
    fields = {**FIELDS, "numba_rows": {"temporary_bytes": 2_000_000}, "closed_form": {"temporary_bytes": None}}
    times = {"numba_rows": 1e-6, "mine": 2e-6, "closed_form": 3e-6}
    found = ask(Question(1, 5, "float32", max_memory=1e6), [build_cell(1, 5, times, fields=fields)])
    assert found.pick.name == "mine"
    assert found.ruled_out == {
        "numba_rows": "its temporary memory is 2.0 MB, more than 1.0 MB",
        "closed_form": "its temporary memory is unknown",
    }


def test_if_every_kernel_is_ruled_out_there_is_no_pick():
    found = ask(Question(16, 64, "float32", max_error=1e-9), GRID)
    assert found.pick is None
    assert found.basis == MEASURED
    assert len(found.ruled_out) == 3


def test_between_shapes_the_memory_is_that_of_the_shape():
    cells = [cell(b, 1000, {"closed_form": 1e-6 * b, "mine": 1e-6 * b}) for b in (1, 1000)]
    assert ask(Question(500, 1000, "float32", max_memory=3e6), cells).ruled_out == {
        "closed_form": "its temporary memory is 4.0 MB, more than 3.0 MB",
        "mine": "its temporary memory is unknown",
    }


def test_of_kernels_that_tie_the_most_accurate_is_picked():
    times = {"numba_rows": 1e-5, "numba_simd": 1.002e-5, "closed_form": 2e-5}
    found = ask(Question(4, 4, "float32"), [cell(4, 4, times)])
    assert not found.sure
    assert found.pick.name == "numba_simd"
    assert found.more_accurate is None


def test_kernels_that_were_not_timed_are_ruled_out_with_the_reason():
    fast = build_kernel("numba_simd", [1e-5] * 20)
    pruned = build_kernel("closed_form", [], status="pruned", note="needs 12.9 GB")
    unverified = build_kernel("mine", [1e-6] * 20, verified=False)
    assert ask(Question(1, 5, "float32"), [build_cell_of(fast, pruned, unverified)]).ruled_out == {
        "closed_form": "pruned: needs 12.9 GB",
        "mine": "its result was not verified",
    }


def test_between_shapes_a_kernel_with_too_few_cells_is_ruled_out():
    cells = [cell(b, 1000, {"numba_simd": 1e-6 * b} | ({"mine": 1e-6} if b == 1 else {})) for b in (1, 16)]
    found = ask(Question(4, 1000, "float32"), cells)
    assert list(found.candidates) == ["numba_simd"]
    assert found.ruled_out == {"mine": "measured at too few shapes around this shape"}


def test_between_shapes_kernels_without_a_common_cell_are_compared_by_their_times():
    simd = [cell(b, 1000, {"numba_simd": 1e-6 * b}) for b in (1, 64)]
    rows = [cell(b, 1000, {"numba_rows": 3e-6 * b}) for b in (2, 32)]
    found = ask(Question(8, 1000, "float32"), [*simd, *rows])
    assert found.ratio("numba_rows").value == pytest.approx(3, rel=0.01)
    assert found.ratio("numba_rows").low < 2 < 4 < found.ratio("numba_rows").high


def test_a_newer_run_answers_before_an_older_run_and_they_are_not_mixed():
    older = cell(4, 4, {"numba_rows": 1e-6, "closed_form": 2e-6}, commit="a")
    newer = cell(4, 4, {"numba_simd": 3e-6}, commit="b", time=FEBRUARY)
    assert list(ask(Question(4, 4, "float32"), [older], [newer]).candidates) == ["numba_simd"]


def test_the_newest_of_two_cells_of_one_shape_answers():
    older = cell(4, 4, {"numba_rows": 1e-6}, workload="digits")
    newer = cell(4, 4, {"numba_simd": 3e-6}, time=FEBRUARY)
    for cells in ([older, newer], [newer, older]):
        assert list(ask(Question(4, 4, "float32"), cells).candidates) == ["numba_simd"]


def test_this_machine_answers_before_newer_results_of_another():
    here = cell(4, 4, {"numba_rows": 1e-6})
    there = cell(4, 4, {"numba_simd": 3e-6}, machine=OTHER, time=FEBRUARY)
    found = ask(Question(4, 4, "float32"), [there], [here])
    assert (found.pick.name, found.source.here) == ("numba_rows", True)


def test_another_machine_answers_if_there_is_nothing_from_this_machine():
    found = ask(Question(9, 9, "float32"), [cell(9, 9, {"numba_simd": 1e-6}, machine=OTHER)])
    assert (found.source.machine, found.source.here) == (OTHER, False)


def test_compare_answers_before_newer_results_of_other_tools():
    compare = cell(4, 4, {"numba_rows": 1e-6})
    asv = cell(4, 4, {"numba_simd": 1e-6}, tool="asv", time=FEBRUARY)
    assert ask(Question(4, 4, "float32"), [asv], [compare]).source.tool == "compare"


def test_a_run_that_measured_the_shape_answers_before_a_run_that_would_be_interpolated():
    there = cell(50, 20, {"numba_simd": 3e-6}, machine=OTHER)
    found = ask(Question(50, 20, "float32"), GRID, [there])
    assert (found.basis, found.source.machine) == (MEASURED, OTHER)


def test_with_a_single_sample_the_interval_is_unknown():
    found = ask(Question(1, 5, "float32"), [build_cell_of(build_kernel("mine", [1e-6]))])
    assert math.isnan(found.pick.low)
    assert found.as_dict()["candidates"]["mine"]["low"] is None


def test_an_answer_can_be_written_as_json():
    data = json.loads(json.dumps(ask(Question(50, 20, "float32"), GRID).as_dict(), allow_nan=False))
    assert data["use"] == "numba_rows"
    assert data["question"]["max_memory"] is None
    assert data["candidates"]["closed_form"]["times_the_fastest"][0] > 1
    assert data["source"]["time"] == "2026-01-01T00:00:00+00:00"
