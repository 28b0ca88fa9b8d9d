"""The adapters of other libraries: right, bound to given arrays, with the number of threads that was set."""

import builtins
import subprocess
import sys

import numpy as np
import pytest

from softmax_impls import implementations, registry, softmax, softmax_backward
from softmax_impls.checks.gate import judge
from softmax_impls.usage import usage

pytestmark = pytest.mark.filterwarnings("default")  # the libraries warn about themselves when they compile
PEERS = ["jax", "numexpr", "torch", "torch_compile"]
CHECKED = [pytest.param(name, marks=pytest.mark.slow if name in ("jax", "torch_compile") else ()) for name in PEERS]


@pytest.fixture(params=PEERS)
def peer(request):
    try:
        return registry.get(request.param)
    except ImportError as error:
        pytest.skip(f"{request.param} is not installed: {error}")


def problem(dtype, shape=(33, 65)):
    rng = np.random.default_rng(0)
    return softmax(rng.standard_normal(shape).astype(dtype)), rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("peer", CHECKED, indirect=True)
def test_each_peer_passes_the_checks(peer):
    verdict = judge({peer.name: peer})[peer.name]
    assert verdict.right, verdict.failures
    assert peer.kernel.__module__ == f"softmax_impls.peers.{peer.name}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bound_calls_write_out_or_allocate_a_result(peer, dtype):
    probs, grad = problem(dtype)
    expected = softmax_backward(probs, grad)
    out = np.full_like(probs, np.nan)
    call, read = peer.bind_call(probs, grad, out)
    result = read(call())
    assert (result is out) == (peer.name != "jax")  # JAX cannot write into a given array
    assert result.dtype == probs.dtype
    np.testing.assert_allclose(result, expected, rtol=0, atol=np.finfo(dtype).eps)


def test_the_code_of_a_peer_runs_in_a_new_process_and_is_right(peer):
    code = usage(peer.name, peer, 33, 65, "float64", threads=1)
    setup, line = str(code.setup), code.line
    check = (
        f"{setup}\nfrom softmax_impls import softmax_backward\nresult = {line}\n"
        "result = out if result is None else np.asarray(result)\n"
        "assert np.abs(result - softmax_backward(probs, grad_output)).max() < 1e-14\nprint('right')"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.stdout == "right\n", done.stderr[-2000:]


def test_softmax_backward_accepts_a_peer_and_read_only_inputs(peer):
    probs, grad = problem("float64")
    for array in (probs, grad):
        array.flags.writeable = False
    found = softmax_backward(probs, grad, impl=peer.name)
    np.testing.assert_allclose(found, softmax_backward(probs, grad), rtol=0, atol=1e-15)


def test_set_num_threads_sets_the_number_that_the_library_reports(peer):
    assert peer.set_num_threads is not None
    try:
        assert [peer.set_num_threads(number) for number in (1, 2, 1)] == [1, 2, 1]
    finally:
        peer.set_num_threads(2)


def test_jax_runs_on_the_first_cpu_even_if_another_device_is_its_default(monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    code = """
import jax, numpy as np
from softmax_impls.registry import get
jax.config.update("jax_default_device", jax.devices("cpu")[1])
probs = np.full((2, 4), 0.25)
call, _ = get("jax").bind_call(probs, probs, probs.copy())
print(call().devices() == {jax.devices("cpu")[0]})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr[-2000:]


def test_peers_are_listed_only_on_request():
    assert not set(PEERS) & set(registry.names())
    assert set(PEERS) <= set(registry.names(peers=True))
    assert all(implementation.family != "peer" for implementation in implementations().values())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("No module named 'numexpr'", name="numexpr"), "not installed: pip install numexpr"),
        (OSError("bad library"), "bad library"),
    ],
    ids=["not installed", "import raises"],
)
def test_a_peer_that_cannot_be_imported_is_listed_with_the_reason(monkeypatch, error, reason):
    real_import = builtins.__import__

    def import_without_numexpr(name, *args, **kwargs):
        if name == "numexpr":
            raise error
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_without_numexpr)
    monkeypatch.delitem(sys.modules, "softmax_impls.peers.numexpr", raising=False)
    monkeypatch.delitem(registry._registered, "numexpr", raising=False)
    with pytest.raises(type(error), match=reason):
        registry.get("numexpr")
    monkeypatch.setattr(registry, "_PEERS", {"numexpr": registry._PEERS["numexpr"]})
    monkeypatch.setattr(registry, "_MODULES", {"numexpr": registry._PEERS["numexpr"]})
    usable, unusable = registry.catalogue(peers=True)
    assert "numexpr" not in usable
    assert reason in unusable["numexpr"]
