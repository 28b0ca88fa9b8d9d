"""The Pareto front, a mix of shapes, and the number of calls after which compiling has paid."""

import math

import pytest

from softmax_impls.choice.answer import MEASURED, Answer, Candidate, Question
from softmax_impls.choice.tradeoffs import calls_until_paid, front, over_mix
from softmax_impls.timing.statistics import Comparison, Ratio


def candidate(name, seconds, error=1e-7, memory=0.0, accurate_for="logits"):
    return Candidate(name, seconds, seconds, seconds, memory, math.nan, accurate_for, error_bound=error)


def test_the_front_leaves_out_kernels_that_another_beats_in_everything():
    found = {
        name: candidate(name, *rest)
        for name, *rest in (
            ("fast", 1, 1e3),
            ("accurate", 2),
            ("slower", 3),
            ("equally accurate", 2, 1.5e-7),
            ("large", 1.5, 1e-7, 1e6),
            ("unknown", 4, math.nan, math.nan),
        )
    }
    assert front(found) == ("fast", "large", "accurate", "equally accurate")
    assert front({"unknown": found["unknown"]}) == ()
    assert front({}) == ()


def test_the_front_compares_measured_errors_and_not_a_measured_error_with_a_bound():
    ours = Candidate("ours", 1, 1, 1, 0.0, 2e-7, "logits", error_bound=7.6e-6)
    mine = Candidate("mine", 2, 2, 2, 0.0, 1e-7, "logits", error_bound=1e-7)
    assert front({"ours": ours, "mine": mine}) == ("ours",)


def answer_with(*, ties=(), lossy=(), **times):
    best = min(times.keys() - lossy, key=times.__getitem__)
    ratios = {name: Ratio(t, t, t) for name, t in times.items() if name != best}
    return Answer(
        Question(1, 1, "float32"),
        MEASURED,
        {n: candidate(n, t, accurate_for="probs" if n in lossy else "logits") for n, t in times.items()},
        Comparison(best, ratios, 0.02, ties),
    )


def test_a_mix_is_weighted_and_leaves_out_kernels_that_miss_a_shape():
    found = over_mix([(3, answer_with(a=1, b=4, c=2)), (1, answer_with(a=16, b=1))])
    assert [(m.name, pytest.approx(m.mean), m.worst) for m in found] == [("a", 2, 16), ("b", 4**0.75, 4)]
    assert found[0].times == (1, 16)


def test_in_a_mix_ties_count_as_equal_and_the_default_call_comes_first():
    answer = answer_with(a=1, numba_simd=1.04, b=1.5, ties=("numba_simd",))
    found = over_mix([(1, answer), (1, answer)])
    assert [m.name for m in found] == ["numba_simd", "a", "b"]
    assert (found[0].mean, found[0].mean_beyond_ties) == (pytest.approx(1.04), 1)


def test_in_a_mix_an_implementation_that_loses_saturated_rows_is_not_first():
    answer = answer_with(lossy={"a"}, a=0.5, b=1, c=2)
    assert [(m.name, m.allowed) for m in over_mix([(1, answer)])] == [("b", True), ("a", False), ("c", True)]


def test_a_mix_without_an_accurate_implementation_at_some_shape_has_no_answer():
    unanswered = Answer(Question(1, 1, "float32"), MEASURED, {"a": candidate("a", 1, accurate_for="probs")})
    assert over_mix([(1, answer_with(a=1)), (1, unanswered)]) == []


@pytest.mark.parametrize("weight", [1e308, 5e-324])
def test_weights_may_be_of_any_size(weight):
    answers = [answer_with(a=1, b=4), answer_with(a=16, b=1)]
    assert over_mix([(weight, answer) for answer in answers])[0].mean == pytest.approx(2)


def test_a_slow_first_call_pays_after_a_number_of_calls_or_never():
    assert calls_until_paid(1.0, 1e-3, 3e-3) == 500
    assert calls_until_paid(0.0, 1e-3, 3e-3) == 0
    assert calls_until_paid(1.0, 1e-3, 1e-3) == math.inf
