"""The gate lets every implementation through, and none of the mutants."""

import pytest

from softmax_impls import implementations
from softmax_impls.checks.gate import judge, judge_softmax

from .mutants import BACKWARD, FORWARD

EXACT = {"float32": 1e-6, "float64": 2e-15}  # what the project promises of those that are right about the logits


@pytest.fixture(scope="module")
def ours():
    return judge(implementations())


@pytest.mark.parametrize("name", implementations())
def test_every_implementation_is_right(ours, name):
    assert ours[name].failures == []


@pytest.mark.parametrize("seed", [1, 2])
def test_and_not_by_luck_of_the_seed(seed):
    assert [failure for verdict in judge(implementations(), seed).values() for failure in verdict.failures] == []


@pytest.mark.parametrize("name", implementations())
def test_accuracy_is_what_the_record_says(ours, name):
    """Exact ones are good to a few units of rounding everywhere; textbook ones have no digit left on saturated rows."""
    for dtype, errors in ours[name].errors.items():
        assert errors["ordinary"] < 1e-4
        if ours[name].accurate_for == "logits":
            assert max(errors.values()) <= EXACT[dtype]
        else:
            assert errors["saturated"] > 0.5


@pytest.mark.parametrize("name", BACKWARD)
def test_every_mutant_is_rejected_by_the_checks_meant_for_it(name):
    mutant, expected = BACKWARD[name]
    good = implementations()["numba_pivoted"]
    verdicts = judge({name: mutant, good.name: good})
    found = {failure.check for failure in verdicts[name].failures}
    assert expected <= found, f"{name} was rejected by {found or 'nothing'}"
    assert verdicts[good.name].right, "a wrong rival must not be held against a right implementation"


def test_there_are_enough_mutants():
    assert len(BACKWARD) >= 12


@pytest.mark.parametrize("name", FORWARD)
def test_every_forward_mutant_is_rejected(name):
    verdict = judge_softmax(FORWARD[name])
    expected = {
        "masked_rows_made_uniform": "non-finite",
        "raises_on_rows_without_classes": "runs",
    }.get(name, "forward")
    assert verdict.failed(expected), [str(failure) for failure in verdict.failures]


def test_softmax_is_right():
    assert judge_softmax().failures == []
    assert judge_softmax(seed=5).failures == []


def test_what_a_failure_says():
    mutant, _ = BACKWARD["flipped_sign"]
    first = str(judge({"flipped_sign": mutant})["flipped_sign"].failures[0])
    assert first.startswith("value: uniform, as in the source float32: off by ")
    assert "where rounding explains" in first
