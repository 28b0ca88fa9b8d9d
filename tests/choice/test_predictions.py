"""Predictions over a grid of shapes are the answers of `choose`."""

import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import INTERPOLATED, MEASURED, Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.predictions import predict_grid

from .builders import HERE, build_cell, build_run


def times_at(b, d):
    times = {"numba_rows": 2e-7 + 1e-9 * b * d, "numba_simd": 3e-7 + 0.9e-9 * b * d, "closed_form": 5e-6 + 4e-9 * b * d}
    return times | ({"row_jacobian": 1e-9 * b * d * d} if d < 1000 else {})


SHAPES = [(b, d) for b in (1, 16, 64) for d in (16, 128, 2048)] + [(50, 1000), (100, 3000)]
RUN = build_run(*(build_cell(b, d, times_at(b, d)) for b, d in SHAPES))
PREDICTIONS = predict_grid(RUN, "float32", 1, implementations())


def test_the_grid_has_every_measured_shape_and_steps_of_the_square_root_of_two():
    measured = [(p.batch, p.dim) for p in PREDICTIONS if p.basis == MEASURED]
    assert measured == sorted(SHAPES)
    assert [p.dim for p in PREDICTIONS if p.batch == 16 and p.dim <= 64] == [16, 23, 32, 45, 64]
    assert (23, 91) in {(p.batch, p.dim) for p in PREDICTIONS if p.basis == INTERPOLATED}
    assert (1, 2896) not in {(p.batch, p.dim) for p in PREDICTIONS}


def test_a_prediction_is_what_choose_answers():
    assert len(PREDICTIONS) > 50
    for prediction in PREDICTIONS[::4] + [p for p in PREDICTIONS if p.basis == MEASURED]:
        question = Question(prediction.batch, prediction.dim, "float32")
        answer = choose(question, [RUN], HERE, implementations())
        assert (prediction.basis, prediction.pick) == (answer.basis, answer.pick.name)
        assert [c.name for c in prediction.candidates] == list(answer.candidates)
        for candidate in prediction.candidates:
            ratio = answer.ratio(candidate.name)
            assert candidate.seconds == answer.candidates[candidate.name].seconds
            assert (candidate.ratio, candidate.low, candidate.high) == (ratio.value, ratio.low, ratio.high)
            assert candidate.tied == (candidate.name in answer.winners)


@pytest.mark.parametrize(("dtype", "threads"), [("float64", 1), ("float32", 2)])
def test_without_measurements_there_are_no_predictions(dtype, threads):
    assert predict_grid(RUN, dtype, threads, implementations()) == []


def test_a_single_measured_shape_is_the_whole_grid():
    run = build_run(build_cell(3, 7, {"numba_simd": 1e-6}))
    (prediction,) = predict_grid(run, "float32", 1, implementations())
    assert (prediction.batch, prediction.dim, prediction.basis) == (3, 7, MEASURED)
