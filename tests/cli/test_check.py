"""The commands list and check."""

import json

from softmax_impls import dispatch, implementations

FEW = ("--impl", "closed_form", "--impl", "pivoted")


def test_list_shows_every_implementation_and_its_temporary_memory(output):
    text = output("list")
    assert all(name in text for name in implementations())
    assert "8.6 GB" in text


def test_list_as_json_includes_a_users_function(output, kernels):
    listed = json.loads(output("list", "--json", "--impl", "right_kernels:mine"))
    assert listed["implementations"].keys() == {*implementations(), "mine"}
    assert listed["implementations"]["pivoted"]["accurate_for"] == "logits"
    assert listed["not_available"] == {}


def test_auto_stands_for_the_implementation_of_the_default_call(output):
    listed = json.loads(output("list", "--impl", "auto", "--json"))
    assert list(listed["implementations"]) == [dispatch.pick().impl]


def test_check_passes_named_implementations_and_a_right_kernel(output, kernels):
    text = output("check", *FEW, "--impl", "right_kernels:mine")
    assert all(f"\n{name} " in text for name in ("closed_form", "pivoted", "mine", "softmax (forward)"))
    assert "column_loop" not in text
    assert text.rstrip().endswith("All implementations are right.")


def test_check_rejects_a_flipped_sign(output, kernels):
    text = output("check", *FEW, "--impl", "flipped_kernels:mine", status=1)
    assert "WRONG" in text
    assert "mine: value: uniform logits float32: off by" in text


def test_check_as_json_has_errors_and_failures(output, kernels):
    arguments = ["check", *FEW, "--impl", "flipped_kernels:mine", "--json"]
    verdicts = json.loads(output(*arguments, status=1))["verdicts"]
    assert verdicts["mine"]["right"] is False
    assert {"value", "numeric", "pairs"} <= {failure["check"] for failure in verdicts["mine"]["failures"]}
    assert all(verdict["right"] for name, verdict in verdicts.items() if name != "mine")
    assert verdicts["pivoted"]["errors"]["float64"]["saturated"] < 1e-15


def test_check_tells_two_functions_of_one_name_apart(output, kernels):
    arguments = ["check", "--impl", "closed_form", "--impl", "flipped_kernels:mine", "--impl", "right_kernels:mine"]
    text = output(*arguments, status=1)
    assert "WRONG" in text
    assert "right_kernels:mine" in text
