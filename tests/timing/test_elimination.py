"""Decisions from samples, without any timing."""

import numpy as np
import pytest

from softmax_impls.timing.statistics import decide


def noisy(mean, rounds, spread=0.01, seed=0):
    return list(mean * np.exp(spread * np.random.default_rng([seed, int(1e4 * mean)]).standard_normal(rounds)))


def samples(rounds, **means):
    return {name: noisy(mean, rounds) for name, mean in means.items()}


def test_the_last_step_eliminates_what_is_slower_by_more_than_twice_the_margin():
    decision = decide(samples(40, fast=1.0, close=1.003, slow=1.1))
    assert decision.eliminated == {"slow"}
    assert decision.settled


def test_steps_to_come_spare_what_another_placement_could_make_the_fastest():
    decision = decide(samples(40, fast=1.0, slow=1.1, slower=1.5), last=False)
    assert decision.eliminated == {"slower"}


def test_few_samples_spare_what_is_less_than_twice_as_slow():
    decision = decide(samples(6, fast=1.0, slow=1.5, slower=3.0), early=True)
    assert decision.eliminated == {"slower"}
    assert not decision.settled


def test_three_rounds_eliminate_a_kernel_that_takes_ten_times_as_long():
    assert decide(samples(3, fast=1.0, slow=10.0), early=True).eliminated == {"slow"}


def test_a_single_round_eliminates_nothing_that_takes_three_times_as_long():
    assert decide({"fast": [1.0], "slow": [3.0]}, early=True).eliminated == set()


def test_three_rounds_with_a_disturbance_do_not_eliminate():
    assert decide({"fast": [1.0, 1.0, 1.0], "slow": [9.0, 1.1, 9.0]}, early=True).eliminated == set()


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


def test_blocks_that_disagree_eliminate_nothing():
    """In each block all is clear, but another kernel is faster each time."""
    a, b = [], []
    for block in range(6):
        factors = (1.0, 1.2) if block % 2 else (1.2, 1.0)
        a += noisy(factors[0], 6, seed=block)
        b += noisy(factors[1], 6, seed=block + 100)
    decision = decide({"a": a, "b": b}, blocks=[6] * 6)
    assert decision.eliminated == set()
    assert not decision.settled


@pytest.mark.parametrize(("disturbed", "eliminated"), [(True, set()), (False, {"b"})])
def test_a_kernel_with_the_fastest_samples_is_not_eliminated(disturbed, eliminated):
    """In rounds without a disturbance `b` is faster; in the others, it is slowed more than `a`."""
    a, b = noisy(1.0, 100), noisy(0.9, 100)
    b = [sample * 1.8 if not disturbed or i >= 5 else sample for i, sample in enumerate(b)]
    a = [sample * 1.2 if not disturbed or i >= 5 else sample for i, sample in enumerate(a)]
    assert decide({"a": a, "b": b}).eliminated == eliminated
