"""The oracle has enough digits, and the fast reference agrees with it."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from softmax_impls.checks import bounds, oracle, reference
from softmax_impls.checks.inputs import FAMILIES, cases

from .values import exact_value


@pytest.fixture
def set_digits(monkeypatch):
    """Return a function that sets the number of digits. It has an effect only if rows are computed again."""

    def set_to(digits):
        oracle._softmax.cache_clear()
        monkeypatch.setattr(oracle, "DIGITS", digits)

    yield set_to
    oracle._softmax.cache_clear()


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "long rows"])
def test_more_digits_give_the_same_answers(family, set_digits):
    case = next(case for case in cases("float64", 0) if case.family == family)
    exact = case.exact_probs, case.given_probs, case.given_logits
    set_digits(oracle.DIGITS + 100)
    more_exact = (
        oracle.softmax(case.logits),
        oracle.given_probs(case.probs, case.grad_output),
        oracle.given_logits(case.logits, case.grad_output),
    )
    for few, many in zip(exact, more_exact, strict=True):
        np.testing.assert_array_equal(few.high, many.high)
        np.testing.assert_array_equal(few.low, many.low)


def test_fifteen_digits_give_other_answers(set_digits):
    """This shows that the number of digits reaches the computation."""
    case = next(case for case in cases("float64", 0) if case.family == "one-hot")
    exact = case.given_logits.high
    set_digits(15)
    assert not np.array_equal(oracle.given_logits(case.logits, case.grad_output).high, exact)


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """Two inputs. What is kept of their answers goes to a new folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(shape), rng.standard_normal(shape)) for shape in ((3, 4), (0, 5))]


def same(some, others):
    return all(
        np.array_equal(getattr(a, part), getattr(b, part), equal_nan=True)
        for one, other in zip(some, others, strict=True)
        for a, b in zip(one, other, strict=True)
        for part in ("high", "low")
    )


def test_answers_are_computed_once_and_then_kept(problems, monkeypatch):
    computed = oracle.answers(problems)
    assert same([computed[0][1:2]], [[oracle.given_probs(computed[0].probs.high, problems[0][1])]])
    monkeypatch.setattr(oracle, "_answer", None)
    assert same(oracle.answers(problems), computed)


def test_kept_answers_belong_to_their_inputs(problems):
    computed = oracle.answers(problems)
    problems[0][1][2, 3] += 1
    assert not same(oracle.answers(problems), computed)


def test_a_file_of_answers_with_any_byte_changed_or_missing_is_computed_again(problems, tmp_path, monkeypatch):
    computed = oracle.answers(problems)
    (file,) = (tmp_path / "softmax-impls").iterdir()
    content = file.read_bytes()
    again = iter(computed * len(content))
    monkeypatch.setattr(oracle, "_answer", lambda *problem: next(again))
    for position in range(0, len(content), 40):
        changed = bytearray(content)
        changed[position] ^= 1
        for damaged in (content[:position], changed):
            file.write_bytes(damaged)
            assert oracle.answers(problems) == computed
            assert file.read_bytes() == content


def test_answers_need_no_folder_that_can_be_written(problems, tmp_path):
    (tmp_path / "softmax-impls").write_text("a file where the folder would be")
    assert len(oracle.answers(problems)) == 2


def test_the_oracle_solves_an_example_with_a_known_answer():
    """For a dim of 2 the gradient is ± p q (g0 - g1), where p = 1 / (1 + e^-z)."""
    z = 37.42994775023705
    with mpmath.workdps(50):
        q = mpmath.exp(-z) / (1 + mpmath.exp(-z))
        expected = float((1 - q) * q)
    answer = oracle.given_logits(np.array([[z, 0.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_array_equal(answer.high, [[expected, -expected]])
    assert expected == pytest.approx(5.55e-17, rel=1e-3)


def test_rows_without_an_answer_are_nan_and_others_are_finite():
    logits = np.array([[0.0, 1.0], [-np.inf, -np.inf], [np.nan, 0.0], [np.inf, 0.0], [-np.inf, 0.0]])
    finite = [0, 4]
    assert np.isnan(np.delete(oracle.softmax(logits).high, finite, axis=0)).all()
    np.testing.assert_array_equal(oracle.softmax(logits).high[4], [0, 1])
    assert np.isfinite(oracle.given_logits(logits, np.ones((5, 2))).high[finite]).all()


def test_error_of_is_accurate_far_below_a_unit_in_the_last_place():
    exact = oracle.Exact(np.array([[1.0]]), np.array([[1e-20]]))
    assert exact.error_of(np.array([[1.0]])) == 1e-20


def test_the_reference_agrees_with_the_oracle_to_a_few_roundings_of_the_value(nonempty_case):
    case = nonempty_case
    finite = case.finite
    value = exact_value(case.probs, case.grad_output)
    error = case.given_probs.error_of(value)[finite]
    size = np.abs(case.probs.astype("f8") * np.abs(case.grad_output.astype("f8")).max(-1, keepdims=True))[finite]
    unit = np.finfo("f8").eps / 2
    # The error of Dot2 is at most u|value| + γ² Σ|p g|; forming p (g - dot) takes three more roundings.
    dim = case.probs.shape[1]
    allowed = 4 * unit * np.abs(value[finite]) + (dim * unit) ** 2 * 2 * size + np.finfo("f8").smallest_subnormal
    assert (error <= allowed).all()


def test_the_reference_accepts_the_exact_value_and_rejects_an_error_of_twice_the_bound(nonempty_case):
    case = nonempty_case
    sums = reference.row_sums(case.probs, case.grad_output)
    exact = exact_value(case.probs, case.grad_output).astype(case.probs.dtype)
    assert not reference.worst(case.probs, case.grad_output, exact, sums).wrong
    finite = case.finite
    bound = sums.bound(case.probs)
    row, column = np.argwhere(finite[:, np.newaxis] & (bound == bound[finite].max()))[0]
    wrong = exact.astype(np.float64)
    wrong[row, column] += 2 * bound[row, column] + np.abs(wrong[row, column]) * np.finfo(case.probs.dtype).eps
    found = reference.worst(case.probs, case.grad_output, wrong.astype(case.probs.dtype), sums)
    assert found.wrong
    assert (found.row, found.column) == (row, column)
    assert found.in_words().endswith(f"times what rounding explains, at row {row}, column {column}")


@pytest.mark.parametrize("exponent", [-1000, 0, 1020])
def test_the_sums_of_the_reference_have_twice_the_working_precision(exponent):
    rng = np.random.default_rng(0)
    probs, grad = rng.dirichlet(np.ones(67))[np.newaxis], np.ldexp(rng.standard_normal((1, 67)), exponent)
    sums = reference.row_sums(probs, grad)
    products = [Fraction(p) * Fraction(g) for p, g in zip(probs[0].tolist(), grad[0].tolist(), strict=True)]
    found = (Fraction(sums.dot[0]) + Fraction(sums.dot_low[0])) / Fraction(sums.factor[0])
    assert abs(found - sum(products)) <= sum(map(abs, products)) / 2**95


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_reference_requires_nan_in_rows_without_an_answer_and_only_there(bad):
    probs, grad = np.full((3, 4), 0.25), np.arange(12.0).reshape(3, 4)
    grad[1, 2] = bad
    sums = reference.row_sums(probs, grad)
    result = exact_value(probs, grad)
    result[1] = np.nan
    assert not reference.worst(probs, grad, result, sums).wrong
    finite_in_row_1 = result.copy()
    finite_in_row_1[1, 0] = 0
    assert reference.worst(probs, grad, finite_in_row_1, sums).ratio == np.inf
    nan_in_row_2 = result.copy()
    nan_in_row_2[2, 3] = np.nan
    found = reference.worst(probs, grad, nan_in_row_2, sums)
    assert (found.wrong, found.row, found.column) == (True, 2, 3)


def test_flush_to_zero_allows_subnormal_results_to_be_zero():
    tiny = np.finfo("f4").tiny
    probs, grad = np.array([[1.0, tiny / 4]], "f4"), np.array([[0.0, 1.0]], "f4")
    sums = reference.row_sums(probs, grad)
    flushed = np.zeros((1, 2), "f4")
    assert reference.worst(probs, grad, flushed, sums).wrong
    assert not reference.worst(probs, grad, flushed, sums, flush_to_zero=True).wrong


def test_gamma_is_infinite_where_its_analysis_does_not_hold():
    assert bounds.gamma(2**24, np.dtype("float32")) == np.inf
    assert bounds.gamma(1, np.dtype("float64")) == pytest.approx(2.0**-53)
