"""Answers over a grid of shapes are the answers of `choose`."""

import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import INTERPOLATED, MEASURED, Question
from softmax_impls.choice.choose import choose, predict_grid
from softmax_impls.choice.measurements import Measurements

from .builders import HERE, build_cell, build_run


def times_at(b, d):
    times = {"numba_rows": 2e-7 + 1e-9 * b * d, "numba_simd": 3e-7 + 0.9e-9 * b * d, "closed_form": 5e-6 + 4e-9 * b * d}
    return times | ({"row_jacobian": 1e-9 * b * d * d} if d < 1000 else {})


def predict(run, dtype="float32", threads=1):
    answers = predict_grid(Measurements(run, dtype, threads), implementations())
    return {(answer.question.batch, answer.question.dim): answer for answer in answers}


SHAPES = [(b, d) for b in (1, 16, 64) for d in (16, 128, 2048)] + [(50, 1000), (100, 3000)]
RUN = build_run(*(build_cell(b, d, times_at(b, d)) for b, d in SHAPES))
PREDICTIONS = predict(RUN)


def test_the_grid_has_every_measured_shape_and_steps_of_the_square_root_of_two():
    assert [shape for shape, answer in PREDICTIONS.items() if answer.basis == MEASURED] == sorted(SHAPES)
    assert [dim for batch, dim in PREDICTIONS if batch == 16 and dim <= 64] == [16, 23, 32, 45, 64]
    assert PREDICTIONS[23, 91].basis == INTERPOLATED
    assert (1, 2896) not in PREDICTIONS


def test_a_prediction_is_what_choose_answers():
    assert len(PREDICTIONS) > 50
    for shape in [*list(PREDICTIONS)[::4], *SHAPES]:
        expected = choose(Question(*shape, "float32"), [RUN], HERE, implementations()).as_dict()
        assert PREDICTIONS[shape].as_dict() == expected | {"source": None}


@pytest.mark.parametrize(("dtype", "threads"), [("float64", 1), ("float32", 2)])
def test_without_measurements_there_are_no_predictions(dtype, threads):
    assert predict(RUN, dtype, threads) == {}


def test_a_single_measured_shape_is_the_whole_grid():
    assert list(predict(build_run(build_cell(3, 7, {"numba_simd": 1e-6})))) == [(3, 7)]
