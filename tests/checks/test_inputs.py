"""Every family of inputs has the property that its name states."""

import zlib

import numpy as np
import pytest

from softmax_impls.checks import inputs
from softmax_impls.checks.inputs import FAMILIES, cases
from tests.tools.scripts import ROOT, script

DTYPES = ("float32", "float64")


def largest_probs(case):
    return case.probs.max(axis=-1)


def offset(case):
    """Return the size of the mean gradient relative to the deviations from it."""
    g = case.grad_output.astype(np.float64)
    return (np.abs(g.mean(-1)) / g.std(-1)).min()


def logits_are_shifted(case):
    return set(np.sign(case.logits[:, 0])) == {-1, 1} and (np.abs(np.abs(case.logits) - 1e4) < 10).all()


def several_heavy_classes_with_equal_gradients(case):
    """Return whether no class has more than half of the probability, and all of the largest have one gradient."""
    heavy = case.probs > largest_probs(case)[:, np.newaxis] / 2
    gradients_are_equal = [np.ptp(g[chosen]) == 0 for g, chosen in zip(case.grad_output, heavy, strict=True)]
    return (heavy.sum(-1) >= 2).all() and (largest_probs(case) <= 0.5).all() and all(gradients_are_equal)


def saturated(case):
    """Return whether a class of some row has nearly all of the probability."""
    return (largest_probs(case) > 0.99).any()


def opposite_gradients(case):
    """Return whether Σ p g is 0 and each row has two gradients whose difference overflows."""
    g, largest = case.grad_output.astype(np.float64), float(np.finfo(case.probs.dtype).max)
    scaled = g / largest
    zero = np.abs(np.vecdot(case.probs, scaled)) < np.finfo(case.probs.dtype).eps
    return zero.all() and (np.ptp(scaled, axis=-1) > 1.1).all() and case.in_range.all()


def differences_overflow(case):
    """Return whether the formula is in range in some elements and out of range in others."""
    return case.finite.all() and 0.01 < case.in_range.mean() < 0.999


PROPERTIES = {
    "uniform logits": lambda case: (case.logits >= 0).all() and (case.logits < 1).all(),
    "standard normal": lambda case: abs(case.logits.std() - 1) < 0.1 and abs(case.grad_output.std() - 1) < 0.1,
    "long rows": lambda case: case.probs.shape[1] > 1000,
    "digits, softmax regression": lambda case: np.isin(
        case.logits, np.load(inputs.DIGITS)["logits"].astype(case.logits.dtype)
    ).all(),
    "logits shifted by ±10,000": logits_are_shifted,
    "gradient offset by 100": lambda case: offset(case) > 50,
    "constant gradient": lambda case: (np.ptp(case.grad_output, axis=-1) == 0).all(),
    "tiny gradients": lambda case: 0 < np.abs(case.grad_output).max() < 1e-18,
    "dim 2, equal probabilities": lambda case: case.probs.shape[1] == 2 and (case.probs == 0.5).all(),
    "peaked": saturated,
    "one-hot": lambda case: saturated(case) and (np.sort(case.probs)[:, -2] < 1e-3).sum() > 8,
    "dim 2, saturated": lambda case: saturated(case) and case.probs.shape[1] == 2,
    "cross-entropy of confident, correct rows": lambda case: (np.sign(case.grad_output) == [-1, 0, 0, 0]).all(),
    "one-hot, gradient offset by 1,000,000": lambda case: saturated(case) and offset(case) > 1e5,
    "several heavy classes with equal gradients": several_heavy_classes_with_equal_gradients,
    "peaked, long rows": lambda case: saturated(case) and case.probs.shape[1] > 64,
    "one-hot, long rows, gradient offset by 1,000,000": lambda case: offset(case) > 1e5 and case.probs.shape[1] > 64,
    "several heavy classes with equal gradients, long rows": lambda case: (
        several_heavy_classes_with_equal_gradients(case) and case.probs.shape[1] > 64
    ),
    "partly masked": lambda case: np.isneginf(case.logits).any() and np.isfinite(case.probs).all(),
    "a fully masked row among good ones": lambda case: list(np.isneginf(case.logits).all(-1)).count(True) == 1,
    "NaN and inf, each in one row": lambda case: (
        list((~np.isfinite(case.grad_output)).sum(-1)) == [0, 0, 1, 0, 1, 0, 0, 1] and np.isnan(case.probs[0]).all()
    ),
    "subnormal probabilities": lambda case: ((case.probs > 0) & (case.probs < np.finfo(case.probs.dtype).tiny)).any(),
    "opposite gradients near the largest number": opposite_gradients,
    "opposite gradients near the largest number, long rows": lambda case: (
        opposite_gradients(case) and case.probs.shape[1] > 128
    ),
    "gradients up to the largest number": differences_overflow,
    "gradients up to the largest number, long rows": lambda case: (
        differences_overflow(case) and case.probs.shape[1] > 128
    ),
    "gradients near the smallest normal number": lambda case: (
        1 < np.abs(case.grad_output).max() / np.finfo(case.probs.dtype).smallest_normal < 4
    ),
    "subnormal gradients": lambda case: 0 < np.abs(case.grad_output).max() < np.finfo(case.probs.dtype).smallest_normal,
    "logits near the largest number": lambda case: (
        np.ptp(case.logits / 4, axis=-1).max() > np.finfo(case.logits.dtype).max / 4
        and np.isin(case.probs, [0, 0.5, 1 / 3, np.float32(1 / 3)]).all()
    ),
    "dim 1": lambda case: case.probs.shape[1] == 1 and (case.probs == 1).all(),
    "batch 0": lambda case: case.probs.shape[0] == 0 < case.probs.shape[1],
    "dim 0": lambda case: case.probs.shape[1] == 0 < case.probs.shape[0],
}


def test_every_family_has_a_stated_property():
    assert PROPERTIES.keys() == FAMILIES.keys()


def has_its_property(case):
    return bool(PROPERTIES[case.family](case))


def test_every_family_has_the_property_of_its_name(case):
    assert has_its_property(case)


@pytest.mark.slow
def test_every_family_has_the_property_of_its_name_with_other_seeds():
    others = [case for dtype in DTYPES for seed in (1, 2) for case in cases(dtype, seed)]
    assert [str(case) for case in others if not has_its_property(case)] == []


def test_rounding_the_probabilities_of_saturated_inputs_loses_digits_of_the_gradient(saturated_case):
    case = saturated_case
    size = np.abs(case.given_logits.high).max(-1)
    relative = case.given_logits.error_of(case.given_probs.high).max(-1) / size
    assert relative.max() > 8 * np.finfo(case.probs.dtype).eps


def test_the_seed_and_the_family_determine_the_inputs():
    uniform = cases("float64", 0)[0]
    rng = np.random.default_rng([0, zlib.crc32(uniform.family.encode())])
    np.testing.assert_array_equal(uniform.logits, rng.random((10, 5)))
    np.testing.assert_array_equal(uniform.grad_output, rng.standard_normal((10, 5)))


def test_a_repeated_call_returns_the_same_cases():
    """The gate compares the results of two implementations by their case."""
    assert cases("float64", 0) is cases("float64", 0)


def test_arrays_of_cases_are_read_only():
    for case in cases("float32", 0):
        assert not any(array.flags.writeable for array in (case.logits, case.probs, case.grad_output))


@pytest.mark.slow
def test_the_stored_digits_are_the_result_of_training():
    logits, labels = script(ROOT / "tools" / "train_digits.py").train()
    stored_logits, stored_labels = np.load(inputs.DIGITS).values()
    np.testing.assert_array_equal(labels, stored_labels)
    np.testing.assert_allclose(logits, stored_logits, atol=1e-2)  # the end of the iteration depends on the BLAS library
    assert (logits.argmax(-1) == labels).mean() > 0.95


def test_problem_is_a_softmax_of_any_shape():
    probs, grad_output = inputs.problem(3, 4, "float32", 0)
    assert probs.shape == grad_output.shape == (3, 4)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-6)
