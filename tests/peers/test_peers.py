"""The adapters of other libraries: right, bound to given arrays, and held to their threads."""

import builtins
import sys

import numpy as np
import pytest

from softmax_impls import implementations, registry, softmax, softmax_backward
from softmax_impls.checks.gate import judge

PEERS = sorted(registry._PEERS)


@pytest.fixture(params=PEERS)
def peer(request):
    try:
        return registry.get(request.param)
    except ImportError as error:
        pytest.skip(f"{request.param} is not installed: {error}")


def problem(dtype, shape=(33, 65)):
    rng = np.random.default_rng(0)
    return softmax(rng.standard_normal(shape).astype(dtype)), rng.standard_normal(shape).astype(dtype)


@pytest.mark.filterwarnings("default")
def test_is_right(peer):
    verdict = judge({peer.name: peer})[peer.name]
    assert verdict.right, verdict.failures
    assert peer.kernel.__module__ == f"softmax_impls.peers.{peer.name}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bound_calls_write_out_or_allocate(peer, dtype):
    probs, grad = problem(dtype)
    expected = softmax_backward(probs, grad)
    out = np.full_like(probs, np.nan)
    call, read = peer.bind_call(probs, grad, out)
    result = read(call())
    assert (result is out) == (not peer.allocates)
    call, read_allocated = peer.bind_call(probs, grad, None)
    again = read_allocated(call())
    assert not np.shares_memory(again, out)
    for found in (result, again):
        assert found.dtype == probs.dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=np.finfo(dtype).eps)


def test_through_the_api_with_read_only_inputs(peer):
    probs, grad = problem("float64")
    for array in (probs, grad):
        array.flags.writeable = False
    found = softmax_backward(probs, grad, impl=peer.name)
    np.testing.assert_allclose(found, softmax_backward(probs, grad), rtol=0, atol=1e-15)


def test_threads_are_held_and_read_back(peer):
    assert peer.set_num_threads is not None
    try:
        assert [peer.set_num_threads(number) for number in (1, 2, 1)] == [1, 2, 1]
    finally:
        peer.set_num_threads(2)


def test_are_only_there_when_asked_for():
    assert not set(PEERS) & set(registry.names())
    assert set(PEERS) <= set(registry.names(peers=True))
    assert all(one.family != "peer" for one in implementations().values())


@pytest.mark.parametrize("broken", ["missing", "raises"])
def test_a_missing_or_broken_one_is_told_and_never_a_crash(monkeypatch, broken):
    real = builtins.__import__

    def without_numexpr(name, *rest, **more):
        if name == "numexpr":
            raise ModuleNotFoundError("No module named 'numexpr'") if broken == "missing" else OSError("bad library")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_numexpr)
    monkeypatch.delitem(sys.modules, "softmax_impls.peers.numexpr", raising=False)
    monkeypatch.delitem(registry._registry, "numexpr", raising=False)
    monkeypatch.setattr(registry, "_PEERS", {"numexpr": registry._PEERS["numexpr"]})
    usable, unusable = registry.catalogue(peers=True)
    assert "numexpr" not in usable
    assert ("No module named" if broken == "missing" else "bad library") in unusable["numexpr"]
