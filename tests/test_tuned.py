"""A rule made on this machine: followed by "auto" if it is sound, and if not, a warning and the built-in one."""

import importlib.metadata
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

from softmax_impls import api, backward, dispatch, explain, running, softmax, softmax_backward, tuned
from softmax_impls.contract import invoke
from softmax_impls.tuned import Line

LINES = (
    Line("pivoted", (("itemsize", 4), ("rows", 2))),
    Line("numba_pivoted", (("elements", 100), ("threads", 64))),
    Line("numba_simd"),
)


@pytest.fixture
def forget(monkeypatch):
    """Look for the rule anew, in this test and after it."""

    def forget():
        dispatch.in_force.cache_clear()
        api._if_small = api._by_rule = None

    forget()
    yield forget
    monkeypatch.undo()
    forget()


@pytest.fixture
def follow(tmp_path, monkeypatch, forget):
    """Return a function that writes a rule and has it followed."""

    def follow(lines=LINES, **changes):
        path = tmp_path / "rule.json"
        tuned.write(path, lines)
        if changes:
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        monkeypatch.setenv(tuned.VARIABLE, str(path))
        forget()
        return path

    return follow


@pytest.mark.parametrize(
    ("shape", "dtype", "impl"),
    [
        ((2, 7), "float32", "pivoted"),
        ((2, 7), "float16", "pivoted"),  # computed in float32
        ((2, 7), "float64", "numba_pivoted"),
        ((10, 10), "float32", "numba_pivoted"),
        ((10, 11), "float32", "numba_simd"),
        ((2, 5, 11), "float64", "numba_simd"),
    ],
)
def test_auto_follows_it_and_explain_says_so(follow, monkeypatch, shape, dtype, impl):
    path = follow()
    choice = explain(shape, dtype)
    assert (choice.impl, choice.rule) == (impl, str(path))
    assert str(path) in str(choice)
    called = []

    def spy(kernel, *inputs, out):
        called.append(kernel)
        invoke(kernel, *inputs, out=out)

    monkeypatch.setattr(api, "invoke", spy)
    monkeypatch.setattr(running, "invoke", spy)
    rng = np.random.default_rng(0)
    p, g = softmax(rng.standard_normal(shape)).astype(dtype), rng.standard_normal(shape).astype(dtype)
    called.clear()  # softmax runs its own
    result = softmax_backward(p, g)
    assert called == ([] if impl == "numba_simd" else [backward.get(impl).kernel])  # that one has its own way
    np.testing.assert_array_equal(result, softmax_backward(p, g, impl=impl))


@pytest.mark.parametrize("overlap", ["probs", "grad_output", "shifted", None])
@pytest.mark.parametrize("shape", [(2, 7), (1, 5, 3), (7,), (0, 7), (7, 0)])
def test_plain_calls_into_out_are_right_however_it_overlaps(follow, shape, overlap):
    follow([Line("numba_pivoted")])
    rng = np.random.default_rng(1)
    buffer = np.zeros(int(np.prod(shape)) + 1)
    p, g = softmax(rng.standard_normal(shape)), rng.standard_normal(shape)
    expected = softmax_backward(p, g, impl="numba_pivoted")
    if overlap == "shifted":
        buffer[:-1] = p.ravel()
        p, out = buffer[:-1].reshape(shape), buffer[1:].reshape(shape)
    else:
        out = {"probs": p, "grad_output": g, None: np.empty(shape)}[overlap]
    assert softmax_backward(p, g, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": 2}, "not a rule of schema 1"),
        ({"cpu": "another"}, "made with another cpu: another, here"),
        ({"versions": {}}, "made with another versions: {}, here"),
        ({"rules": []}, "1 to 32 lines"),
        ({"rules": [{"impl": "numba_simd"}] * 33}, "1 to 32 lines"),
        ({"rules": {"impl": "numba_simd"}}, "1 to 32 lines"),
        ({"rules": [{"impl": "<b>"}]}, "line 1: 'impl' has to be one of .* not '<b>'"),
        ({"rules": ["numba_simd"]}, "line 1: 'impl' has to be one of .* not 'numba_simd'"),
        ({"rules": [{"impl": ["numba_simd"]}]}, "line 1: 'impl' has to be one of"),
        ({"rules": [{"impl": "numba_simd", "rows": 3}]}, "line 1: 'rows': 3 is not a condition"),
        ({"rules": [{"impl": "numba_simd", "rows_at_most": True}]}, "is not a condition"),
        ({"rules": [{"impl": "numba_simd", "rows_at_most": 0}]}, "is not a condition"),
        ({"rules": [{"impl": "numba_simd", "rows_at_most": 1e400}]}, "Infinity is no number"),
        ({"rules": [{"impl": "numba_simd", "rows_at_most": 2**64}]}, "is not a condition"),
        ({"cpu": "\x1b[31m" + "x" * 10**4}, r"another cpu: \?\[31mx{195}, here"),
        ({"regret": {"unseen": {"median": float("nan")}}}, "NaN is no number"),
        ({"rules": [{"impl": "numba_simd", "rows_at_most": 1}]}, "has to hold for every call"),
    ],
)
def test_what_is_not_such_a_rule_costs_a_warning_and_the_built_in_one_is_followed(follow, changes, told):
    path = follow(**changes)
    with pytest.warns(RuntimeWarning, match=f"the built-in rule is used instead of .*{told}") as caught:
        assert explain((2, 3)).rule == "built-in"
    assert str(path) in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert softmax_backward(np.full((1, 2), 0.5), np.ones((1, 2))).tolist() == [[0, 0]]


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\x00", b"[" * 10**6, b"[]", b"null", b"[" * 50_000])
def test_neither_does_a_file_of_anything_else(follow, forget, text):
    path = follow()
    path.write_bytes(text)
    forget()
    with pytest.warns(RuntimeWarning, match=r"rule\.json: not"):
        assert explain((2, 3)).rule == "built-in"


def test_without_metadata_nobody_knows_whether_it_is_for_this_version(follow, forget, monkeypatch):
    def version(package):
        raise importlib.metadata.PackageNotFoundError(package)

    follow()
    monkeypatch.setattr(importlib.metadata, "version", version)
    forget()
    with pytest.warns(RuntimeWarning, match="the built-in rule is used instead of"):
        assert explain((2, 3)).rule == "built-in"


def test_a_file_that_was_asked_for_and_is_not_there_is_told(tmp_path, monkeypatch, forget):
    monkeypatch.setenv(tuned.VARIABLE, str(tmp_path / "gone.json"))
    forget()
    with pytest.warns(RuntimeWarning, match="No such file"):
        assert explain((2, 3)).rule == "built-in"


def test_it_is_found_where_platformdirs_says_and_can_be_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(tuned.VARIABLE)
    path = tuned.place()
    assert path.name == "rule.json"
    tuned.write(path, [Line("pivoted")])
    code = "from softmax_impls import explain; print(explain((2, 3)).impl)"

    def picked():
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert picked() == "pivoted"
    monkeypatch.setenv(tuned.VARIABLE, "built-in")
    assert picked() == "numba_simd"


def test_without_platformdirs_there_is_only_what_the_variable_says(monkeypatch):
    monkeypatch.delenv(tuned.VARIABLE)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert tuned.place() is None


def test_small_calls_are_not_asked_about_where_the_first_line_leaves_them_to_the_default():
    others = [Line("pivoted", (("rows", 2),)), Line("numba_simd")]
    assert tuned.asked_above([Line("numba_simd")], "numba_simd") is None
    assert tuned.asked_above(others, "numba_simd") == 0
    assert tuned.asked_above([Line("numba_simd", (("elements", 99),)), *others], "numba_simd") == 99
    assert tuned.asked_above([Line("numba_simd", (("elements", 99), ("rows", 1))), *others], "numba_simd") == 0
