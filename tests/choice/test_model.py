"""Predicted times are close where costs add up, their stated error is honest, and far shapes have none."""

import itertools
import math

import numpy as np
import pytest

from softmax_impls.choice.model import UNKNOWN, CostModel, likely_factor

GRID = [(b, d) for b in (1, 16, 256, 4096) for d in (16, 256, 4096, 65536) if b * d <= 2**24]
NAMED = [(1, 10), (1, 1000), (128, 10), (1024, 64), (256, 1000), (6144, 512), (512, 30522), (512, 50257)]
UNSEEN = [(1, 100), (3, 700), (8, 50), (32, 1000), (50, 300), (64, 20000), (300, 33), (1000, 10000), (2000, 20)]


def compiled(b, d):
    """Costs of a call, a row and an element, and of an element beyond a cache of 4 MiB."""
    return 4e-7 + 2e-9 * b + 2e-10 * b * d + (3e-10 * b * d if 12 * b * d > 2**22 else 0)


def jacobian(b, d):
    return 1e-5 + 1e-6 * b + 1e-9 * b * d * d


def model(law, shapes=(*GRID, *NAMED), noise=0.0, seed=0):
    factors = np.exp(noise * np.random.default_rng(seed).standard_normal(len(shapes)))
    return CostModel({(b, d): law(b, d) * factor for (b, d), factor in zip(shapes, factors, strict=True)}, 4)


@pytest.mark.parametrize("law", [compiled, jacobian])
def test_times_between_the_measured_shapes_are_predicted(law):
    found = model(law)
    assert [found.at(shape) for shape in UNSEEN] == pytest.approx([law(*shape) for shape in UNSEEN], rel=0.1)


def test_times_beyond_the_measured_shapes_are_predicted_up_to_a_limit():
    found = model(compiled)
    assert found.at((20_000, 500)) == pytest.approx(compiled(20_000, 500), rel=0.1)
    assert math.isnan(found.at((30_000, 100)))
    assert math.isnan(found.at((1, 2)))
    assert math.isnan(found.at((6000, 65536)))  # each size is measured, but not this many elements


def test_of_noisy_times_nine_of_ten_are_within_the_stated_error():
    inside = []
    for seed in range(20):
        found = model(compiled, noise=0.1, seed=seed)
        error = math.log(likely_factor(found.errors.values()))
        inside += [abs(math.log(found.at(shape) / compiled(*shape))) <= error for shape in UNSEEN]
    assert np.mean(inside) >= 0.9


def test_the_error_at_a_shape_is_that_of_a_prediction_from_the_other_shapes():
    times = {(b, d): compiled(b, d) * (1.2 if b == 256 else 1) for b, d in GRID}
    others = CostModel({shape: seconds for shape, seconds in times.items() if shape != (16, 256)}, 4)
    error = math.log(others.at((16, 256)) / times[16, 256])
    assert CostModel(times, 4).errors[16, 256] == pytest.approx(error)


def test_the_likely_factor_covers_nine_of_ten_errors():
    errors = [0.01 * n * (-1) ** n for n in range(1, 20)]
    assert likely_factor(errors) == pytest.approx(math.exp(0.18))
    assert likely_factor(errors[:9]) == pytest.approx(math.exp(0.09))


@pytest.mark.parametrize(("errors", "factor"), [([], UNKNOWN), ([0.1] * 8, UNKNOWN), ([0.1] * 7 + [-3.0], math.exp(3))])
def test_with_few_errors_the_likely_factor_is_at_least_two(errors, factor):
    assert likely_factor(errors) == pytest.approx(factor)


def test_few_shapes_on_a_line_are_enough_for_a_prediction():
    found = model(compiled, [(1, d) for d in (10, 100, 1000, 10_000, 100_000)])
    assert found.at((1, 300)) == pytest.approx(compiled(1, 300), rel=0.2)
    assert all(math.isfinite(error) for error in found.errors.values())


def test_costs_are_not_negative_so_times_grow_with_the_batch():
    found = model(compiled, noise=0.1)
    for dim in (16, 256, 4096):
        times = [found.at((batch, dim)) for batch in (1, 4, 16, 64, 256, 1024)]
        assert all(small < large for small, large in itertools.pairwise(times))
