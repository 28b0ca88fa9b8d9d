"""The oracle has digits enough, and what is faster than it agrees with it."""

import mpmath
import numpy as np
import pytest

from softmax_impls.checks import bounds, digits, inputs, oracle, reference
from softmax_impls.checks.inputs import cases, families

CASES = [case for dtype in ("float32", "float64") for case in cases(dtype)]
NONEMPTY = [case for case in CASES if 0 not in case.probs.shape]


def test_every_family_of_the_project_is_there():
    assert len(families()) >= 16
    assert set(families().values()) == {"ordinary", "saturated", "hostile"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_more_digits_change_nothing(case):
    more = 2 * oracle.DIGITS
    pairs = [
        (case.exact_probs, oracle.softmax(case.logits, more)),
        (case.given_probs, oracle.given_probs(case.probs, case.grad_output, more)),
        (case.given_logits, oracle.given_logits(case.logits, case.grad_output, more)),
    ]
    for exact, exacter in pairs:
        np.testing.assert_array_equal(exact.high, exacter.high)
        np.testing.assert_array_equal(exact.low, exacter.low)


def test_fewer_digits_would_not_do():
    """Were 60 digits enough, raising them would show nothing."""
    case = next(case for case in CASES if case.family == "one-hot" and case.probs.dtype == np.float64)
    few = oracle.given_logits(case.logits, case.grad_output, 15)
    assert not np.array_equal(few.high, case.given_logits.high)


def test_an_example_worked_by_hand():
    """For two classes the gradient is ± p q (g0 - g1) with p = 1 / (1 + e^-z)."""
    z = 37.42994775023705
    with mpmath.workdps(50):
        q = mpmath.exp(-z) / (1 + mpmath.exp(-z))
        expected = float((1 - q) * q)
    found = oracle.given_logits(np.array([[z, 0.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_array_equal(found.high, [[expected, -expected]])
    assert expected == pytest.approx(5.55e-17, rel=1e-3)


def test_rows_without_an_answer_are_nan_and_others_are_not():
    logits = np.array([[0.0, 1.0], [-np.inf, -np.inf], [np.nan, 0.0], [np.inf, 0.0], [-np.inf, 0.0]])
    good = [0, 4]
    assert np.isnan(np.delete(oracle.softmax(logits).high, good, axis=0)).all()
    np.testing.assert_array_equal(oracle.softmax(logits).high[4], [0, 1])
    assert np.isfinite(oracle.given_logits(logits, np.ones((5, 2))).high[good]).all()


def test_error_is_right_far_below_a_unit_in_the_last_place():
    exact = oracle.Exact(np.array([[1.0]]), np.array([[1e-20]]))
    assert exact.error_of(np.array([[1.0]])) == 1e-20


@pytest.mark.parametrize("case", NONEMPTY, ids=str)
def test_the_oracle_vouches_for_the_reference(case):
    """The reference for large arrays is off by a few roundings of the value, not of what cancelled on the way there."""
    good = case.finite
    value = reference.exact_value(case.probs, case.grad_output)
    error = case.given_probs.error_of(value)[good]
    size = np.abs(case.probs.astype("f8") * np.abs(case.grad_output.astype("f8")).max(-1, keepdims=True))[good]
    unit = np.finfo("f8").eps / 2
    # Dot2 is good to u|value| + γ² Σ|p g|; forming p (g - dot) takes three roundings more.
    classes = case.probs.shape[1]
    allowed = 4 * unit * np.abs(value[good]) + (classes * unit) ** 2 * 2 * size + np.finfo("f8").smallest_subnormal
    assert (error <= allowed).all()


@pytest.mark.parametrize("case", NONEMPTY, ids=str)
def test_reference_accepts_the_exact_value_and_rejects_what_is_twice_the_bound_off(case):
    sums = reference.row_sums(case.probs, case.grad_output)
    exact = reference.exact_value(case.probs, case.grad_output).astype(case.probs.dtype)
    assert not reference.worst(case.probs, case.grad_output, exact, sums).wrong
    good = case.finite
    bound = bounds.given_probs(case.probs, sums.largest, sums.total, sums.defect)
    row, column = np.argwhere(good[:, np.newaxis] & (bound == bound[good].max()))[0]
    off = exact.astype(np.float64)
    off[row, column] += 2 * bound[row, column] + np.abs(off[row, column]) * np.finfo(case.probs.dtype).eps
    found = reference.worst(case.probs, case.grad_output, off.astype(case.probs.dtype), sums)
    assert found.wrong
    assert (found.row, found.column) == (row, column)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_reference_wants_nan_where_there_is_no_answer_and_only_there(bad):
    probs, grad = np.full((3, 4), 0.25), np.arange(12.0).reshape(3, 4)
    grad[1, 2] = bad
    sums = reference.row_sums(probs, grad)
    result = reference.exact_value(probs, grad)
    result[1] = np.nan
    assert not reference.worst(probs, grad, result, sums).wrong
    swallowed = result.copy()
    swallowed[1, 0] = 0
    assert reference.worst(probs, grad, swallowed, sums).ratio == np.inf
    spread = result.copy()
    spread[2, 3] = np.nan
    found = reference.worst(probs, grad, spread, sums)
    assert (found.wrong, found.row, found.column) == (True, 2, 3)


def test_cases_are_seeded():
    again = inputs._case("standard normal", np.dtype("float64"), 0)
    other = inputs._case("standard normal", np.dtype("float64"), 1)
    first = next(case for case in cases("float64") if case.family == "standard normal")
    np.testing.assert_array_equal(again.logits, first.logits)
    assert not np.array_equal(other.logits, first.logits)


def test_subnormal_family_has_subnormal_probabilities():
    for dtype in ("float32", "float64"):
        case = next(case for case in cases(dtype) if case.family == "subnormal probabilities")
        assert ((case.probs > 0) & (case.probs < np.finfo(dtype).tiny)).any()


@pytest.mark.slow
def test_kept_digits_are_what_training_gives():
    logits, labels = digits.train()
    kept_logits, kept_labels = digits.load()
    np.testing.assert_array_equal(labels, kept_labels)
    np.testing.assert_allclose(logits, kept_logits, atol=1e-2)  # where the solver stops depends on the BLAS library
    assert (logits.argmax(-1) == labels).mean() > 0.95


def test_gamma_gives_up_where_its_analysis_does():
    assert bounds.gamma(2**24, np.dtype("float32")) == np.inf
    assert bounds.gamma(1, np.dtype("float64")) == pytest.approx(2.0**-53)
