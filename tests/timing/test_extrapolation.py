"""Calls that would take too long are foreseen."""

import time

import numpy as np
import pytest

from softmax_impls.registry import describe
from softmax_impls.timing import prediction
from softmax_impls.timing.extrapolation import _rungs, predict


def sleeper(law):
    """A kernel that takes as long as `law(rows, classes)` says, to the clock's precision, and notes its sizes."""
    sizes = []

    def kernel(probs, grad_output, out):
        sizes.append(probs.shape)
        end = time.perf_counter() + law(*probs.shape)
        while time.perf_counter() < end:
            pass

    return describe(kernel), sizes


def arrays(rows, classes):
    return tuple(np.zeros((rows, classes)) for _ in range(3))


@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (1, 64), (3, 64), (128, 10), (1, 1000), (256, 1000)])
def test_rungs_climb_to_below_the_whole(shape):
    rungs = list(_rungs(*shape))
    sizes = [b * d for b, d in rungs]
    assert sizes == sorted(sizes)
    assert sizes[-1] * 4 >= shape[0] * shape[1]
    assert all(b <= shape[0] and d <= shape[1] for b, d in rungs)


def test_linear_cost_is_predicted():
    one, _ = sleeper(lambda b, d: 1e-6 * b * d)
    found = predict(one, *arrays(100, 1000), allowance=1)
    assert found.allowed
    assert found.seconds == pytest.approx(0.1, rel=0.5)


def test_quadratic_cost_is_extrapolated_and_never_started():
    one, sizes = sleeper(lambda b, d: 1e-8 * b * d**2)
    start = time.perf_counter()
    found = predict(one, *arrays(512, 50_257), allowance=0.05)
    assert time.perf_counter() - start < 1
    assert not found.allowed
    assert found.seconds == pytest.approx(1e-8 * 512 * 50_257**2, rel=0.5)
    assert max(b * d**2 for b, d in sizes) * 1e-8 <= 0.05


def test_cost_of_steps_that_all_rows_share_is_not_taken_for_a_rows():
    one, _ = sleeper(lambda b, d: 1e-5 * d + 1e-9 * b * d)  # a loop over classes, each step with its overhead
    found = predict(one, *arrays(256, 20_000), allowance=0.05)
    assert not found.allowed
    assert found.seconds == pytest.approx(0.205, rel=0.5)


def test_whole_that_is_just_too_long():
    one, sizes = sleeper(lambda b, d: 1e-4 * b)
    found = predict(one, *arrays(1000, 8), allowance=0.05)
    assert not found.allowed
    assert found.seconds == pytest.approx(0.1, rel=0.5)
    assert max(b for b, _ in sizes) <= 500


def test_the_ladder_and_the_call_after_it_are_within_the_allowance():
    calls = []

    def law(b, d):
        calls.append(1e-4 * b)
        return 1e-4 * b

    one, _ = sleeper(law)
    assert not predict(one, *arrays(400, 8), allowance=0.05).allowed  # the call itself would take 0.04
    assert sum(calls) <= 0.05


def test_one_stalled_call_on_the_ladder_says_nothing():
    stalls = iter([0.03])
    one, _ = sleeper(lambda b, d: next(stalls, 1e-5))
    assert predict(one, *arrays(128, 10), allowance=0.03).allowed


def test_where_no_fit_is_found_time_grows_with_the_size(monkeypatch):
    def gives_up(*_):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr(prediction.optimize, "nnls", gives_up)
    one, _ = sleeper(lambda rows, classes: 1e-6 * rows * classes)
    assert predict(one, *arrays(64, 64), allowance=1.0).seconds == pytest.approx(64 * 64 * 1e-6, rel=0.5)
