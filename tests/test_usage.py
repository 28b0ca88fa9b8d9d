"""The code that a user pastes, and the call that is timed in its place."""

import ast
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from softmax_impls import dispatch, implementations, softmax_backward, usage
from softmax_impls.implementation import Implementation
from softmax_impls.registry import from_spec, get, names
from softmax_impls.threads import available_cores, default_threads

DEFAULT = "softmax_backward(probs, grad_output, out=out)"


def closed_form(probs, grad_output):
    return probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))


def line(name, shape, threads):
    return usage.usage(name, get(name), *shape, "float32", threads).line


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", names())
def test_the_code_of_each_implementation_runs_as_it_stands(name, dtype):
    code = usage.usage(name, get(name), 3, 7, dtype, threads=1)
    variables = {}
    exec(str(code), variables)
    assert variables["probs"].dtype == variables["out"].dtype == dtype
    np.testing.assert_allclose(variables["out"], closed_form(variables["probs"], variables["grad_output"]), atol=1e-6)


def test_the_code_of_a_users_function_runs_in_a_new_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body = "def mine(probs, grad_output, out):\n    out[...] = 2 * probs\n"
    (tmp_path / "my_kernels.py").write_text(body)
    code = usage.usage("mine", from_spec("my_kernels:mine"), 2, 3, "float64", threads=1)
    assert code.line == "mine(probs, grad_output, out)"
    check = f"{code}\nassert (out == 2 * probs).all()\nprint('done')"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "done\n"


@pytest.mark.skipif(available_cores() == 1, reason="needs two processors")
def test_the_default_call_has_no_arguments_where_it_runs_in_the_same_number_of_threads():
    default = dispatch.pick().impl
    assert line(default, (1, 10), 1) == DEFAULT  # a small call runs in a single thread
    assert line(default, (4096, 4096), default_threads()) == DEFAULT


@pytest.mark.skipif(available_cores() == 1 or not dispatch.has_compiler(), reason="needs two threads")
def test_a_large_call_with_fewer_threads_than_the_default_states_them():
    assert default_threads() > 1
    assert line("numba_simd", (4096, 4096), 1) == "softmax_backward(probs, grad_output, out=out, threads=1)"


def test_an_implementation_that_is_not_the_default_is_named():
    assert line("closed_form", (4096, 4096), 1) == 'softmax_backward(probs, grad_output, out=out, impl="closed_form")'


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("shape", [(1, 10), (1000, 1000)])
def test_the_call_that_is_timed_has_the_arguments_of_the_code(name, shape, monkeypatch):
    monkeypatch.setattr(usage, "softmax_backward", lambda *arrays, out, **arguments: arguments)
    array = np.ones(shape, np.float32)
    call, _ = usage.bind(get(name), array, array, array, threads=1)
    (pasted,) = ast.parse(line(name, shape, 1)).body
    assert call() == {word.arg: ast.literal_eval(word.value) for word in pasted.value.keywords if word.arg != "out"}


def test_a_kernel_of_the_users_is_called_itself():
    calls = []
    record = Implementation("mine", lambda *arrays: calls.append(arrays), "records its calls")
    array = np.ones((1, 1))
    call, read = usage.bind(record, array, array, array, threads=1)
    call()
    assert calls == [(array, array, array)]
    assert read(None) is array


def test_every_peer_states_its_usage():
    peers = [record for record in implementations(peers=True).values() if record.family == "peer"]
    assert all(record.usage for record in peers)


def test_rows_are_copied_where_the_classes_are_on_another_axis_and_only_some_at_a_time():
    shape, name = (8, 21, 64, 64), "closed_form"
    assert usage.copied_rows(get(name), (3, 7), -1) == usage.copied_rows(get("numba_simd"), shape, 1) == 0
    assert usage.copied_rows(get(name), (2, 3, 5, 4), 1) == 2 * 5 * 4
    rows = usage.copied_rows(get(name), shape, 1)
    assert rows == 64 * 64  # an outer index has more elements than a block

    def peak(axis):
        arrays = [np.full(shape, 0.5) for _ in range(3)]
        tracemalloc.start()
        softmax_backward(*arrays[:2], axis=axis, out=arrays[2], impl=name)
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    stated = 3 * rows * 21 * 8 + get(name).temporary_bytes(rows, 21, np.dtype(float))
    assert peak(1) == pytest.approx(stated, rel=0.1)
