"""Decisions from samples, without any timing."""

import numpy as np
import pytest

from softmax_impls.registry import describe
from softmax_impls.timing.elimination import too_slow
from softmax_impls.timing.extrapolation import Prediction
from softmax_impls.timing.kernel import Participant
from softmax_impls.timing.policy import DEFAULT
from softmax_impls.timing.statistics import decide
from tests.timing.kernels import textbook


def noisy(mean, rounds, spread=0.01, seed=0):
    return list(mean * np.exp(spread * np.random.default_rng([seed, int(1e4 * mean)]).standard_normal(rounds)))


def samples(rounds, **means):
    return {name: noisy(mean, rounds) for name, mean in means.items()}


@pytest.mark.parametrize(("predicted", "eliminated"), [(1e-4, []), (0.02, ["slower"])])
def test_a_call_is_too_slow_only_by_its_prediction_and_beside_a_call_that_was_made(predicted, eliminated):
    fast, slower = (Participant(describe(textbook, name=name)) for name in ("fast", "slower"))
    fast.seconds, slower.seconds = 0.006, 0.02
    fast.prediction = slower.prediction = Prediction(predicted, predicted, fits=True)
    assert [kernel.name for kernel in too_slow([fast, slower], seconds=0.1, policy=DEFAULT)] == eliminated


def test_the_last_step_eliminates_what_is_slower_by_more_than_twice_the_margin():
    decision = decide(samples(40, fast=1.0, close=1.003, slow=1.1))
    assert decision.eliminated == {"slow"}
    assert decision.settled


def test_steps_to_come_spare_what_another_placement_could_make_the_fastest():
    decision = decide(samples(40, fast=1.0, slow=1.5, slower=2.5), last=False)
    assert decision.eliminated == {"slower"}


def test_few_samples_spare_what_is_less_than_twice_as_slow():
    decision = decide(samples(6, fast=1.0, slow=1.5, slower=3.0), early=2.0)
    assert decision.eliminated == {"slower"}
    assert not decision.settled


@pytest.mark.parametrize(
    ("fast", "slow", "eliminated"),
    [
        ([1.0] * 3, [10.1, 9.9, 10.0], {"slow"}),
        ([1.0], [3.0], set()),  # a single round may be disturbed
        ([1.0] * 3, [9.0, 1.1, 9.0], set()),
    ],
)
def test_the_first_rounds_eliminate_what_is_much_slower_in_each(fast, slow, eliminated):
    assert decide({"fast": fast, "slow": slow}, early=2.0).eliminated == eliminated


def test_many_rounds_eliminate_in_spite_of_a_disturbance():
    slow = noisy(3.0, 12)
    slow[4] = 1.0
    assert decide({"fast": noisy(1.0, 12), "slow": slow}).eliminated == {"slow"}


def test_what_was_eliminated_stays_eliminated_and_does_not_keep_a_cell_open():
    decision = decide({"fast": noisy(1.0, 40), "slow": [500.0, 9000.0]}, eliminated=["slow"])
    assert decision.eliminated == {"slow"}
    assert decision.settled


def test_an_unclear_difference_keeps_a_cell_open():
    decision = decide({"a": [1.0, 2.0] * 6, "b": [2.0, 1.0] * 6})
    assert decision.eliminated == set()
    assert not decision.settled


def test_a_difference_within_that_of_the_control_eliminates_nothing():
    kernels = samples(40, fast=1.0, slow=1.1)
    assert decide(kernels, ("fast", noisy(1.0, 24, seed=1))).eliminated == {"slow"}
    assert decide(kernels, ("fast", noisy(1.2, 24, seed=1))).eliminated == set()


def test_the_control_of_a_kernel_without_samples_is_ignored():
    kernels = samples(40, fast=1.0, slow=1.1)
    assert decide(kernels, ("gone", noisy(2.0, 24))) == decide(kernels)
