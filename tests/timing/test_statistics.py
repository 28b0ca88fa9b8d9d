"""Comparisons of samples: which differences are found, and which are ties."""

import numpy as np
import pytest
from scipy import stats

from softmax_impls.timing.statistics import (
    MIN_MARGIN,
    Ratio,
    compare_samples,
    decide,
    margin_from,
    median_interval,
    paired_ratio,
    quiet_ratio,
)


def noisy(rng, mean, rounds=40, spread=0.01, drift=None):
    samples = mean * np.exp(spread * rng.standard_normal(rounds))
    return list(samples * (1 if drift is None else drift[:rounds]))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def disturbed(rng, mean, rounds=60):
    """Samples of which half are disturbed, and take about twice as long."""
    return [s * (1 + (rng.random() < 0.5) * rng.exponential()) for s in noisy(rng, mean, rounds)]


@pytest.mark.parametrize("ratio_of", [paired_ratio, quiet_ratio])
def test_a_ratio_does_not_change_with_the_speed_of_the_machine(rng, ratio_of):
    """The machine becomes four times as slow."""
    drift = np.geomspace(1, 4, 40)
    ratio = ratio_of(noisy(rng, 1.3e-3, drift=drift), noisy(rng, 1e-3, drift=drift))
    assert 1.25 < ratio.low < ratio.value < ratio.high < 1.35


def test_the_interval_of_few_rounds_is_wider_than_the_range():
    few = paired_ratio([1.2, 1.3, 1.4], [1.0, 1.0, 1.0, 9.0])
    assert few.value == pytest.approx(1.3)
    assert few.low < 1.2
    assert few.high > 1.4
    two = quiet_ratio([18.0, 25.0], [1.0, 1.0], 0.99)  # of a kernel that is eliminated at once
    assert (two.low, two.high) == pytest.approx((9.0, 50.0))
    single = paired_ratio([3.0], [1.0])
    assert (single.low, single.value, single.high) == pytest.approx((1.5, 3, 6))


@pytest.mark.parametrize(
    ("ratio_of", "rounds"),
    [(paired_ratio, 2), (paired_ratio, 15), *((quiet_ratio, rounds) for rounds in (2, 3, 5, 9, 10, 15, 40))],
)
def test_intervals_cover_the_true_ratio_as_often_as_stated(rng, rounds, ratio_of):
    hits = 0
    for _ in range(300):
        ratio = ratio_of(noisy(rng, 1.1, rounds, 0.05), noisy(rng, 1.0, rounds, 0.05))
        hits += ratio.low <= 1.1 <= ratio.high
    assert hits >= 0.9 * 300  # 95 % is promised; 270 or fewer of 300 would have a chance of 1 in 2000


def test_a_disturbed_sample_of_few_does_not_reverse_the_ratio():
    ratio = quiet_ratio([6.7, 6.8], [1.3, 2000.0])
    assert ratio.value == pytest.approx(6.7 / 1.3)
    assert ratio.low < 1 < ratio.value < ratio.high, "the ratio of the other round is in the interval"


def test_five_percent_are_found_under_disturbances_that_hide_them_from_the_median(rng):
    """Out of 100: chance takes 5 from the 95 or more that a sure method finds down to 88 about once in 300 times."""
    pairs = [(disturbed(rng, 1.05, 72), disturbed(rng, 1.0, 72)) for _ in range(100)]
    assert sum(quiet_ratio(*pair, blocks=[6] * 12).low > 1.01 for pair in pairs) > 88
    assert sum(paired_ratio(*pair).low > 1.01 for pair in pairs) < 85


def test_blocks_that_are_disturbed_throughout_do_not_matter(rng):
    """Another process slows one of the kernels down for two blocks of twelve."""
    a, b = noisy(rng, 1.05, 72), [s * (2 if 12 <= i < 24 else 1) for i, s in enumerate(noisy(rng, 1.0, 72))]
    assert 1.02 < quiet_ratio(a, b, blocks=[6] * 12).low < 1.05


@pytest.mark.parametrize(
    ("kernels", "samples", "winners"),
    [("ab", disturbed, 3), ("abc", lambda rng, mean: noisy(rng, mean, 15, 0.02), 15)],  # winners: at most 5 %
)
def test_equal_kernels_tie(rng, kernels, samples, winners):
    found = [compare_samples({name: samples(rng, 1.0) for name in kernels}) for _ in range(300)]
    assert sum(len(comparison.ties) < len(kernels) - 1 for comparison in found) <= winners


def test_a_kernel_with_fewer_rounds_is_not_the_best_because_these_were_fast(rng):
    slow_later = np.where(np.arange(40) < 15, 1, 3)
    samples = {"left": noisy(rng, 1.2, 15), "stayed": noisy(rng, 1.0, 40, drift=slow_later)}
    assert compare_samples(samples).best == "stayed"
    assert decide(samples).eliminated == {"left"}


@pytest.mark.parametrize(
    ("others", "ties", "behind"),
    [({}, (), ()), ({"b": 1.0075}, ("b",), ()), ({"b": 1.0225, "c": 1.05}, (), ("c",)), ({"b": 1.2}, (), ("b",))],
)
def test_ties_are_within_the_margin_and_behind_is_beyond_twice_the_margin(rng, others, ties, behind):
    samples = {name: noisy(rng, mean, 400, 0.001) for name, mean in {**others, "a": 1.0}.items()}
    found = compare_samples(samples)
    assert (found.best, found.ties) == ("a", ties)
    assert decide(samples)[1:] == (set(behind), True)
    assert found.margin == margin_from(None) == MIN_MARGIN
    assert {name: ratio.value for name, ratio in found.ratios.items()} == pytest.approx(others, rel=0.002)


def test_the_sampling_error_of_the_control_does_not_widen_the_margin(rng):
    found = [margin_from(quiet_ratio(noisy(rng, 1.0, 40, 0.03), noisy(rng, 1.0, 40, 0.03))) for _ in range(100)]
    assert sum(margin == MIN_MARGIN for margin in found) >= 90


@pytest.mark.parametrize("times", [1.15, 1 / 1.15])
def test_the_margin_is_the_smallest_likely_difference_of_the_control(rng, times):
    samples = {"a": noisy(rng, 1.0), "b": noisy(rng, 1.1)}
    assert compare_samples(samples, margin_from(quiet_ratio(noisy(rng, 1.0), samples["a"]))).ties == ()
    margin = margin_from(quiet_ratio(noisy(rng, times), samples["a"]))
    assert 0.13 < margin < 0.16
    assert compare_samples(samples, margin).ties == ("b",)


def test_the_margin_is_the_distance_to_the_nearer_end_of_the_interval_of_the_control():
    assert margin_from(Ratio(1.05, 0.9, 1.2)) == margin_from(Ratio(1.01, 1.005, 1.015)) == MIN_MARGIN
    assert margin_from(Ratio(1.05, 1.04, 1.06)) == pytest.approx(0.04)
    assert margin_from(Ratio(0.95, 0.94, 0.96)) == pytest.approx(1 / 0.96 - 1)


def test_a_kernel_whose_undisturbed_samples_are_faster_ties(rng):
    slowed = np.where(np.arange(200) % 20 == 0, 0.9, 1.2)  # most of the time, another program disturbs only this kernel
    assert compare_samples({"a": noisy(rng, 1.0, 200, 0.001), "b": slowed.tolist()}).ties == ("b",)


def test_three_lucky_samples_of_thousands_do_not_tie(rng):
    lucky = noisy(rng, 1.05, 2000, 0.001)
    lucky[:3] = [0.8, 0.8, 0.8]
    assert compare_samples({"a": noisy(rng, 1.0, 2000, 0.001), "b": lucky}).ties == ()


def test_a_wide_spread_is_not_settled(rng):
    pairs = [{"a": noisy(rng, 1.0, 8, 0.5), "b": noisy(rng, 1.05, 8, 0.5)} for _ in range(100)]
    assert sum(len(compare_samples(pair).ties) == 1 and not decide(pair).settled for pair in pairs) > 85


def test_an_eliminated_kernel_does_not_tie_however_few_its_rounds(rng):
    samples = {"fast": noisy(rng, 1.0), "slow": [1.5, 9000.0]}
    assert compare_samples(samples).ties == ("slow",)
    found = compare_samples(samples, eliminated=["slow"])
    assert (found.best, found.ties) == ("fast", ())
    assert decide(samples, eliminated=["slow"]).settled


@pytest.mark.parametrize("count", [1, 2, 5, 15, 50])
def test_the_interval_of_the_median_covers_it(rng, count):
    hits = 0
    for _ in range(200):
        samples = list(rng.standard_normal(count))
        low, high = median_interval(samples)
        assert low <= np.median(samples) <= high
        hits += low <= 0 <= high
    if count >= 6:  # fewer can't
        assert hits >= 0.9 * 200


def test_a_difference_that_blocks_disagree_about_is_a_tie(rng):
    """Within each block all is clear, but another kernel is faster each time."""
    blocks = [15] * 6
    a, b = (
        [f * s for f in 2 * factors for s in noisy(rng, 1.0, 15)] for factors in ((1.0, 1.06, 1.0), (1.1, 1.04, 1.1))
    )
    assert compare_samples({"a": a, "b": b}).ties == ()
    assert compare_samples({"a": a, "b": b}, blocks=blocks).ties == ("b",)
    clear = [1.2 * s for s in noisy(rng, 1.0, 90)]
    assert compare_samples({"a": a, "b": clear}, blocks=blocks).ties == ()


def test_a_kernel_that_is_disturbed_less_is_not_faster_for_that(rng):
    """Another process uses the shared cache in six rounds of ten; in the others, `a` is faster."""
    busy = np.arange(100) % 20 < 12
    a = noisy(rng, 0.9, 100) * np.where(busy, 1.8, 1)
    b = noisy(rng, 1.0, 100) * np.where(busy, 1.2, 1)
    assert np.median(a) > np.median(b)
    ratio = quiet_ratio(b, a)
    assert 1.05 < ratio.low < 1 / 0.9 < ratio.high


def test_the_best_kernel_has_the_fastest_samples_too(rng):
    """Another process runs all the time except for a few rounds; in these, `a` is faster."""
    busy = np.arange(100) >= 5
    a = noisy(rng, 0.9, 100) * np.where(busy, 1.8, 1)
    b = noisy(rng, 1.0, 100) * np.where(busy, 1.2, 1)
    assert quiet_ratio(a, b).low > 1.2
    for samples, ties, decision in (
        ({"a": a, "b": b}, ("a",), (set(), False)),
        ({"a": a[busy], "b": b[busy]}, (), ({"a"}, True)),
    ):
        found = compare_samples(samples)
        assert (found.best, found.ties) == ("b", ties)
        assert decide(samples)[1:] == decision


def test_few_blocks_are_not_used_as_groups(rng):
    a, b = noisy(rng, 1.1, 36), noisy(rng, 1.0, 36)
    assert quiet_ratio(a, b, blocks=[18, 18]) == quiet_ratio(a, b)
    assert quiet_ratio(a, b, blocks=[9] * 4) != quiet_ratio(a, b)


def test_the_interval_of_many_blocks_is_that_of_a_trimmed_mean(rng):
    a, b = noisy(rng, 1.1, 80), noisy(rng, 1.0, 80)
    ratio = quiet_ratio(a, b, blocks=[1] * 80)
    logs = np.log(np.array(a) / b)
    low, high = stats.mstats.trimmed_mean_ci(logs, (0.25, 0.25), alpha=0.05)
    expected = np.exp([stats.trim_mean(logs, 0.25), low, high])
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx(tuple(expected), rel=1e-12)
