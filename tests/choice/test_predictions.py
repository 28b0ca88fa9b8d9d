"""Answers over a grid of shapes are the answers of `choose`, and state how wrong predictions may be."""

import math

import numpy as np
import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import MEASURED, OUTSIDE, PREDICTED, Question
from softmax_impls.choice.choose import choose, predict_grid
from softmax_impls.choice.measurements import Measurements
from softmax_impls.choice.model import MIN_SHAPES, likely_factor

from .builders import HERE, build_cell, build_cell_of, build_kernel, build_run


def times_at(b, d):
    times = {"numba_rows": 2e-7 + 1e-9 * b * d, "numba_simd": 3e-7 + 0.9e-9 * b * d, "closed_form": 5e-6 + 4e-9 * b * d}
    return times | ({"row_jacobian": 1e-9 * b * d * d} if d < 1000 else {})


def predict(run, dtype="float32", threads=1):
    answers = predict_grid(Measurements(run, dtype, threads), implementations())
    return {(answer.question.batch, answer.question.dim): answer for answer in answers}


def ask(batch, dim, run):
    return choose(Question(batch, dim, "float32"), [run], HERE, implementations())


SHAPES = [(b, d) for b in (1, 16, 64) for d in (16, 128, 2048)] + [(50, 1000), (100, 3000)]
RUN = build_run(*(build_cell(b, d, times_at(b, d)) for b, d in SHAPES))
PREDICTIONS = predict(RUN)


def test_the_grid_has_every_measured_shape_and_steps_of_the_square_root_of_two():
    assert [shape for shape, answer in PREDICTIONS.items() if answer.basis == MEASURED] == sorted(SHAPES)
    assert [dim for batch, dim in PREDICTIONS if batch == 16 and dim <= 64] == [16, 23, 32, 45, 64]
    assert PREDICTIONS[23, 91].basis == PREDICTED
    assert (1, 4096) not in PREDICTIONS


@pytest.mark.parametrize("shape", [(23, 91), (2, 512), (64, 1024), (1, 2896), (300, 5000)])
def test_predicted_times_are_close(shape):
    for name, candidate in ask(*shape, RUN).candidates.items():
        assert candidate.low < candidate.seconds < candidate.high
        if name != "row_jacobian":  # it was measured at fewer shapes
            assert candidate.seconds == pytest.approx(times_at(*shape)[name], rel=0.15)


def test_a_prediction_is_what_choose_answers():
    assert len(PREDICTIONS) > 50
    for shape in [*list(PREDICTIONS)[::12], *SHAPES]:
        expected = ask(*shape, RUN).as_dict()
        assert PREDICTIONS[shape].as_dict() == expected | {"source": None}


def test_a_kernel_is_predicted_near_the_shapes_where_it_was_measured_only():
    assert "row_jacobian" in ask(32, 100, RUN).candidates
    found = ask(64, 2000, RUN)
    assert "row_jacobian" not in found.candidates
    assert found.ruled_out["row_jacobian"] == "measured at too few shapes around this shape"


def test_too_few_shapes_predict_nothing():
    cells = [build_cell(b, 128, {"numba_simd": 1e-6 * b}) for b in range(1, MIN_SHAPES + 1)]
    assert ask(10, 128, build_run(*cells)).basis == PREDICTED
    assert ask(10, 128, build_run(*cells[1:])).basis == OUTSIDE


def test_ratios_are_less_wrong_than_times_if_all_kernels_are_disturbed_alike():
    jumps = {(b, d): 1.5 if (b + d) % 3 else 1.0 for b, d in SHAPES}
    cells = [build_cell(b, d, {n: t * jumps[b, d] for n, t in times_at(b, d).items()}) for b, d in SHAPES]
    measured = Measurements(build_run(*cells), "float32", 1)
    factor = likely_factor(measured.models["numba_rows"].errors.values())
    assert factor > 1.2
    assert measured.factor("numba_rows", "numba_simd") < math.sqrt(factor)


def test_a_machine_that_was_slow_while_it_measured_a_cell_does_not_make_predictions_slow():
    def samples(seconds, slow):
        return [seconds * (2.0 if slow and number > 3 else 1.0) for number in range(20)]

    def predicted(slow):
        cells = [
            build_cell_of(
                *(build_kernel(n, samples(t, (b, d) == slow)) for n, t in times_at(b, d).items()), batch=b, dim=d
            )
            for b, d in SHAPES
        ]
        return ask(16, 500, build_run(*cells)).candidates["numba_simd"]

    slow, quiet = predicted((16, 128)), predicted(None)
    assert slow.seconds == pytest.approx(quiet.seconds, rel=0.1)  # this cell is one of many in a fit
    assert slow.high > quiet.high


def test_large_arrays_that_other_processes_slow_down_more_are_predicted_as_slow_as_they_usually_are():
    def samples(seconds, elements):
        return [seconds] * 3 + [seconds * elements**0.03] * 17

    cells = [
        build_cell_of(*(build_kernel(n, samples(t, b * d)) for n, t in times_at(b, d).items()), batch=b, dim=d)
        for b, d in SHAPES
    ]
    for shape in ((2, 20), (64, 1500)):
        usual = ask(*shape, RUN).candidates["numba_simd"].seconds * math.prod(shape) ** 0.03
        assert ask(*shape, build_run(*cells)).candidates["numba_simd"].seconds == pytest.approx(usual, rel=0.02)


def test_a_predicted_range_is_as_wide_as_that_of_the_samples_at_other_shapes():
    scatter = np.exp(np.random.default_rng(0).normal(0, 0.4, 100))
    cells = [
        build_cell_of(*(build_kernel(n, [t * x for x in scatter]) for n, t in times_at(b, d).items()), batch=b, dim=d)
        for b, d in SHAPES
    ]
    found, usual = ask(16, 500, build_run(*cells)).candidates["numba_simd"], times_at(16, 500)["numba_simd"]
    inside = np.mean((found.low <= usual * scatter) & (usual * scatter <= found.high))
    assert 0.85 <= inside <= 0.97


def test_the_usual_time_is_predicted_and_not_that_of_the_fastest_samples():
    cells = [
        build_cell_of(*(build_kernel(n, [t] * 3 + [1.5 * t] * 17) for n, t in times_at(b, d).items()), batch=b, dim=d)
        for b, d in SHAPES
    ]
    found = ask(16, 500, build_run(*cells)).candidates["numba_simd"]
    assert found.seconds == pytest.approx(1.5 * times_at(16, 500)["numba_simd"], rel=0.15)


def test_cells_on_another_axis_predict_nothing():
    cells = [build_cell(b, d, times_at(b, d), workload="columns") for b, d in SHAPES]
    assert predict(build_run(*cells)) == {}


@pytest.mark.parametrize(("dtype", "threads"), [("float64", 1), ("float32", 2)])
def test_without_measurements_there_are_no_predictions(dtype, threads):
    assert predict(RUN, dtype, threads) == {}


def test_a_single_measured_shape_is_the_whole_grid():
    assert list(predict(build_run(build_cell(3, 7, {"numba_simd": 1e-6})))) == [(3, 7)]
