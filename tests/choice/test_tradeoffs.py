"""The Pareto front, a mix of shapes, and when compiling has paid."""

import math

import pytest

from softmax_impls.choice.answer import MEASURED, Answer, Contender, Question
from softmax_impls.choice.tradeoffs import calls_until_paid, front, over_mix
from softmax_impls.timing.statistics import Ratio, Standing


def one(name, seconds, error=1e-7, memory=0.0):
    return Contender(name, seconds, seconds, seconds, memory, error)


def test_the_front_has_those_that_nobody_beats_in_everything():
    found = {
        name: one(name, *rest)
        for name, *rest in (
            ("fast", 1, 1e3),
            ("exact", 2),
            ("slower", 3),
            ("as exact", 2, 1.5e-7),
            ("large", 1.5, 1e-7, 1e6),
            ("unknown", 4, math.nan, math.nan),
        )
    }
    assert front(found) == ("fast", "large", "exact", "as exact")
    assert front({}) == ()


def answered(**times):
    best = min(times, key=times.__getitem__)
    ratios = {name: Ratio(t, t, t) for name, t in times.items() if name != best}
    return Answer(
        Question(1, 1, "float32"),
        MEASURED,
        {name: one(name, t) for name, t in times.items()},
        Standing(best, ratios, 0.02, (), (), True),
    )


def test_a_mix_is_weighted_and_leaves_out_who_can_not_do_all_of_it():
    found = over_mix([(3, answered(a=1, b=4, c=2)), (1, answered(a=16, b=1))])
    assert [(m.name, pytest.approx(m.mean), m.worst) for m in found] == [("a", 2, 16), ("b", 4**0.75, 4)]
    assert found[0].times == (1, 16)


def test_weights_may_be_of_any_size():
    answers = [answered(a=1, b=4), answered(a=16, b=1)]
    for weight in (1e308, 5e-324):
        assert over_mix([(weight, one) for one in answers])[0].mean == pytest.approx(2)


def test_compiling_pays_after_so_many_calls_or_never():
    assert calls_until_paid(1.0, 1e-3, 3e-3) == 500
    assert calls_until_paid(0.0, 1e-3, 3e-3) == 0
    assert calls_until_paid(1.0, 1e-3, 1e-3) == math.inf
