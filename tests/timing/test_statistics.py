"""Verdicts: sure where they can be, a tie where they can't, and the noise floor respected."""

import numpy as np
import pytest

from softmax_impls.timing.statistics import median_interval, noise_of, paired_ratio, quiet_ratio, stand


def noisy(rng, mean, rounds=40, spread=0.01, drift=None):
    samples = mean * np.exp(spread * rng.standard_normal(rounds))
    return list(samples * (1 if drift is None else drift[:rounds]))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def disturbed(rng, mean, rounds=60):
    """Samples of which other processes got into three of five, for up to as long again."""
    return [s * (1 + (rng.random() < 0.6) * rng.exponential()) for s in noisy(rng, mean, rounds)]


@pytest.mark.parametrize("ratio_of", [paired_ratio, quiet_ratio])
def test_ratio_sees_through_drift(rng, ratio_of):
    """The machine gets four times as slow; the ratio of what ran side by side does not care."""
    drift = np.geomspace(1, 4, 40)
    ratio = ratio_of(noisy(rng, 1.3e-3, drift=drift), noisy(rng, 1e-3, drift=drift))
    assert 1.25 < ratio.low < 1.3 < ratio.high < 1.35


def test_few_rounds_prove_little():
    few = paired_ratio([1.2, 1.3, 1.4], [1.0, 1.0, 1.0, 9.0])
    assert few.value == pytest.approx(1.3)
    assert few.low < 1.2
    assert few.high > 1.4
    single = paired_ratio([3.0], [1.0])
    assert (single.low, single.value, single.high) == pytest.approx((1.5, 3, 6))


@pytest.mark.parametrize("ratio_of", [paired_ratio, quiet_ratio])
@pytest.mark.parametrize("rounds", [2, 3, 5, 9, 10, 15, 40])
def test_interval_covers_the_true_ratio_as_often_as_it_says(rng, rounds, ratio_of):
    hits = 0
    for _ in range(300):
        ratio = ratio_of(noisy(rng, 1.1, rounds, 0.05), noisy(rng, 1.0, rounds, 0.05))
        hits += ratio.low <= 1.1 <= ratio.high
    assert hits >= 0.9 * 300  # 95 % is promised; 270 or fewer of 300 would have a chance of 1 in 2000


def test_five_percent_are_found_under_what_hides_them_from_the_median(rng):
    """Out of 100: chance takes 5 from the 95 or more that a sure method finds down to 88 about once in 300 times."""
    pairs = [(disturbed(rng, 1.05), disturbed(rng, 1.0)) for _ in range(100)]
    assert sum(quiet_ratio(*pair).low > 1.02 for pair in pairs) > 88
    assert sum(paired_ratio(*pair).low > 1.02 for pair in pairs) < 50


def test_a_against_a_is_a_tie_under_disturbance(rng):
    found = [stand({name: disturbed(rng, 1.0) for name in "ab"}) for _ in range(300)]
    assert sum(not one.ties for one in found) <= 3  # an interval of 95 % and a margin of 2 % leave less than 1 in 100


def test_who_left_early_is_not_the_best_for_having_been_there_in_better_times(rng):
    slow_later = np.where(np.arange(40) < 15, 1, 3)
    samples = {"left": noisy(rng, 1.2, 15), "stayed": noisy(rng, 1.0, 40, drift=slow_later)}
    found = stand(samples)
    assert (found.best, found.behind) == ("stayed", ("left",))


def test_behind_is_beyond_twice_the_margin(rng):
    found = stand(
        {"a": noisy(rng, 1.0, 400, 0.001), "b": noisy(rng, 1.03, 400, 0.001), "c": noisy(rng, 1.05, 400, 0.001)}
    )
    assert (found.best, found.ties, found.behind) == ("a", (), ("c",))


def test_sampling_error_is_no_noise(rng):
    """It is in the interval already: a control whose samples spread, but no more than the others', widens nothing."""
    wide = [noise_of(noisy(rng, 1.0, 40, 0.03), noisy(rng, 1.0, 40, 0.03)) for _ in range(100)]
    again = [quiet_ratio(noisy(rng, 1.0, 40, 0.03), noisy(rng, 1.0, 40, 0.03)) for _ in range(100)]
    assert np.median(wide) < np.median([one.high - 1 for one in again]) / 2
    assert noise_of(noisy(rng, 1.0, 5), noisy(rng, 1.0, 5)) > 0.005  # too few rounds to tell: the interval's end


def test_clear_winner(rng):
    found = stand({"slow": noisy(rng, 1.2), "fast": noisy(rng, 1.0)})
    assert (found.best, found.ties, found.settled) == ("fast", (), True)
    assert found.ratios["slow"].value == pytest.approx(1.2, rel=0.02)


def test_one_percent_is_a_tie_however_sure(rng):
    found = stand({"a": noisy(rng, 1.0, 400, 0.001), "b": noisy(rng, 1.01, 400, 0.001)})
    assert found.ties == ("b",)
    assert found.settled


def test_noise_of_the_control_widens_the_margin(rng):
    samples = {"a": noisy(rng, 1.0), "b": noisy(rng, 1.1)}
    assert stand(samples, noise_of(noisy(rng, 1.0), samples["a"])).ties == ()
    noisy_twin = stand(samples, noise_of(noisy(rng, 1.15), samples["a"]))
    assert noisy_twin.noise > 0.13
    assert noisy_twin.margin == noisy_twin.noise
    assert noisy_twin.ties == ("b",)
    faster_twin = stand(samples, noise_of(noisy(rng, 1 / 1.15), samples["a"]))
    assert faster_twin.noise > 0.13


def test_wide_spread_is_not_settled(rng):
    found = stand({"a": noisy(rng, 1.0, 8, 0.5), "b": noisy(rng, 1.05, 8, 0.5)})
    assert len(found.ties) == 1
    assert not found.settled


def test_a_against_a_is_a_tie(rng):
    """Identical code under three names, 200 times: a winner is named at most by the chance that is owned up to."""
    sure = sum(bool(len(stand({name: noisy(rng, 1, 15, 0.02) for name in "abc"}).ties) < 2) for _ in range(200))
    assert sure <= 10


def test_dropped_is_no_tie_however_few_its_rounds(rng):
    samples = {"fast": noisy(rng, 1.0), "slow": [500.0, 9000.0]}
    assert stand(samples).ties == ("slow",)
    found = stand(samples, dropped=["slow"])
    assert (found.best, found.ties, found.settled) == ("fast", (), True)


def test_alone():
    found = stand({"only": [1.0, 2.0]})
    assert (found.best, found.ties, found.settled, found.noise) == ("only", (), True, 0.0)


@pytest.mark.parametrize("count", [1, 2, 5, 15, 50])
def test_median_interval_covers_the_median(rng, count):
    hits = 0
    for _ in range(200):
        samples = list(rng.standard_normal(count))
        low, high = median_interval(samples)
        assert low <= np.median(samples) <= high
        hits += low <= 0 <= high
    if count >= 6:  # fewer can't
        assert hits >= 0.9 * 200


def test_what_visits_disagree_about_is_a_tie(rng):
    """Within each visit all is clear; which one is faster is another each time."""
    a, b = ([f * s for f in factors for s in noisy(rng, 1.0, 30)] for factors in ((1.0, 1.06, 1.0), (1.1, 1.04, 1.1)))
    assert stand({"a": a, "b": b}).ties == ()
    assert stand({"a": a, "b": b}, visits=[30, 30, 30]).ties == ("b",)
    clear = [1.2 * s for s in noisy(rng, 1.0, 90)]
    assert stand({"a": a, "b": clear}, visits=[30, 30, 30]).ties == ()
