"""The gate passes every implementation and rejects every mutant."""

import functools
import re
from typing import get_args

import numpy as np
import pytest

from softmax_impls import implementations
from softmax_impls.checks import inputs, reference
from softmax_impls.checks.gate import DTYPES, judge, judge_softmax
from softmax_impls.checks.verdict import Check, Verdict
from softmax_impls.registry import describe, get

from .mutants import BACKWARD, FORWARD
from .values import exact_value

# The documented promise for kernels that are accurate for the logits: the largest relative error of a row.
LARGEST_ERROR = {"float32": 1e-6, "float64": 2e-15}


def failures(verdicts):
    return [str(failure) for verdict in verdicts.values() for failure in verdict.failures]


@pytest.fixture(scope="module")
def verdicts():
    return judge(implementations())


@pytest.mark.parametrize("name", implementations())
def test_every_implementation_passes_the_gate(verdicts, name):
    assert verdicts[name].failures == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_every_implementation_passes_the_gate_with_other_inputs(seed):
    assert failures(judge(implementations(), seed)) == []


@pytest.mark.parametrize("name", [name for name in implementations() if get(name).accurate_for == "logits"])
def test_kernels_accurate_for_the_logits_have_errors_of_a_few_ulps_on_all_inputs(verdicts, name):
    for dtype, errors in verdicts[name].errors.items():
        assert errors.keys() == {"ordinary", "saturated", "hostile"}
        assert max(errors.values()) <= LARGEST_ERROR[dtype]


def test_saturated_inputs_tell_the_textbook_formula_from_an_accurate_kernel(verdicts):
    for dtype in DTYPES:
        assert verdicts["closed_form"].errors[dtype]["saturated"] > 0.5
        assert verdicts["pivoted"].errors[dtype]["saturated"] <= LARGEST_ERROR[dtype]


# More accurate kernels than their records state: the gate must not reject them.


@functools.cache
def cases_by_inputs():
    return {
        (case.probs.tobytes(), case.grad_output.tobytes()): case for dtype in DTYPES for case in inputs.cases(dtype, 0)
    }


def true_gradient(p, g, out):
    """Write the gradient with respect to the logits of a case, rounded once; other arrays have unknown logits."""
    case = cases_by_inputs().get((p.tobytes(), g.tobytes()))
    if case is None:
        normalised_probabilities(p, g, out)
    else:
        out[...] = case.given_logits.high


def normalised_probabilities(p, g, out):
    """Write the exact value for probabilities that are divided by their sum, rounded once."""
    p = p.astype(np.longdouble)
    out[...] = exact_value((p / p.sum(-1, keepdims=True)).astype(np.float64), g)


def test_the_gate_passes_kernels_that_are_more_accurate_than_their_records_state():
    good = implementations()
    more_accurate = {
        "pivoted": describe(good["pivoted"].kernel, in_place=["grad_output"]),
        "true_gradient": describe(true_gradient),
        "normalised_probabilities": describe(normalised_probabilities),
    }
    assert {kernel.accurate_for for kernel in more_accurate.values()} == {"probs"}
    others = {f"other {name}": good[name] for name in ("closed_form", "numba_simd")}
    assert failures(judge(more_accurate | others)) == []


def test_the_gate_passes_the_true_gradient_of_a_kernel_that_states_the_logits():
    assert failures(judge({"true_gradient": describe(true_gradient, accurate_for="logits")})) == []


def test_the_reference_accepts_the_true_gradient(nonempty_case):
    case = nonempty_case
    out = case.given_logits.high.astype(case.probs.dtype)
    sums = reference.row_sums(case.probs, case.grad_output)
    found = reference.worst(case.probs, case.grad_output, out, sums)
    assert not found.wrong, found.in_words()


# Mutants.


@pytest.mark.parametrize("name", BACKWARD)
def test_every_mutant_is_rejected_by_the_expected_checks(name):
    mutant, expected = BACKWARD[name]
    good = implementations()["numba_pivoted"]
    verdicts = judge({name: mutant, good.name: good})
    failed = {failure.check for failure in verdicts[name].failures}
    assert expected <= failed, f"{name} was rejected by {failed or 'no check'}"
    assert verdicts[good.name].right, "a wrong kernel must not be a reason to reject a right one"


@pytest.mark.parametrize("name", FORWARD)
def test_every_mutant_of_softmax_is_rejected_by_the_expected_check(name):
    function, expected = FORWARD[name]
    verdict = judge_softmax(function)
    assert verdict.failed(expected), [str(failure) for failure in verdict.failures]


def test_every_check_rejects_a_mutant():
    rejecting = set().union(*(checks for _, checks in BACKWARD.values()), {check for _, check in FORWARD.values()})
    assert rejecting == set(get_args(Check))


def test_softmax_passes_the_gate():
    assert judge_softmax().failures == []


@pytest.mark.slow
def test_softmax_passes_the_gate_with_other_inputs():
    assert judge_softmax(seed=5).failures == []


def test_a_failure_states_the_check_the_input_and_the_size_of_the_error():
    mutant, _ = BACKWARD["flipped_sign"]
    first = str(judge({"flipped_sign": mutant})["flipped_sign"].failures[0])
    assert first.startswith("value: uniform logits float32: off by ")
    assert "but rounding explains at most" in first


def test_a_kernel_that_changes_its_inputs_is_said_to_do_so():
    def changing(probs, grad_output, out):
        grad_output -= (probs * grad_output).sum(-1, keepdims=True)

    verdict = judge({"changing": describe(changing)}, dtypes=["float32"])["changing"]
    pattern = r"raised ValueError: .*read-only \(test_gate.py:\d+\); a kernel must not write to its inputs"
    assert all(re.fullmatch(pattern, failure.seen) for failure in verdict.failures if failure.check == "runs")
    assert verdict.failed("runs")


def test_an_error_that_is_nan_counts_as_infinite():
    verdict, case = Verdict("mine", "probs"), inputs.cases("float32", 0)[0]
    verdict.note_error(case, "ordinary", np.full(case.probs.shape, np.nan), case.given_logits.high)
    assert verdict.errors == {"float32": {"ordinary": np.inf}}
    assert verdict.as_dict()["errors"] == {"float32": {"ordinary": None}}


def test_only_the_requested_dtypes_are_checked():
    mutant, _ = BACKWARD["leaves_out_the_sum"]
    verdict = judge({"wrong": mutant}, dtypes=["float32"])["wrong"]
    assert verdict.errors.keys() == {"float32"}
    assert not any("float64" in failure.where for failure in verdict.failures)
