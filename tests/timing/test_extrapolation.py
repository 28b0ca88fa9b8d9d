"""The time of calls that would take too long is predicted."""

from types import SimpleNamespace

import numpy as np
import pytest

from softmax_impls.registry import describe
from softmax_impls.timing import extrapolation
from softmax_impls.timing.extrapolation import predict, probe_sizes


@pytest.fixture
def taking(monkeypatch):
    """Return a function that makes kernels that take simulated time, each with a list of the shapes of its calls."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(extrapolation, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def kernel_taking(seconds_of):
        shapes = []

        def kernel(probs, grad_output, out):
            shapes.append(probs.shape)
            clock.now += seconds_of(*probs.shape)

        return describe(kernel), shapes

    return kernel_taking


def arrays(batch, dim):
    return np.zeros((batch, dim)), np.zeros((batch, dim))


@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (1, 64), (3, 64), (128, 10), (1, 1000), (256, 1000)])
def test_probes_grow_to_less_than_the_whole(shape):
    probes = list(probe_sizes(*shape))
    sizes = [b * d for b, d in probes]
    assert sizes == sorted(sizes)
    assert sizes[-1] * extrapolation.STEP * extrapolation.LARGEST_PROBE >= shape[0] * shape[1]
    assert all(b <= shape[0] and d <= shape[1] for b, d in probes)


def test_a_linear_time_is_predicted(taking):
    kernel, _ = taking(lambda b, d: 1e-6 * b * d)
    seconds, _, allowed = predict(kernel, *arrays(100, 1000), allowance=1)
    assert allowed
    assert seconds == pytest.approx(0.1, rel=0.05)


def test_the_time_to_copy_rows_is_added(taking):
    kernel, _ = taking(lambda b, d: 1e-6 * b * d)
    alone, copying = (predict(kernel, *arrays(100, 1000), allowance=1, copying=seconds) for seconds in (0.0, 0.3))
    assert copying.seconds - alone.seconds == pytest.approx(0.3)
    assert copying.at_least - alone.at_least == pytest.approx(0.3)


def test_a_quadratic_time_is_extrapolated_without_a_long_call(taking):
    kernel, shapes = taking(lambda b, d: 1e-8 * b * d**2)
    seconds, _, allowed = predict(kernel, *arrays(512, 50_257), allowance=0.05)
    assert not allowed
    assert seconds == pytest.approx(1e-8 * 512 * 50_257**2, rel=0.05)
    assert sum(b * d**2 for b, d in shapes) * 1e-8 <= 0.05


def test_the_overhead_of_a_step_over_the_dim_is_not_multiplied_by_the_batch(taking):
    kernel, _ = taking(lambda b, d: 1e-5 * d + 1e-9 * b * d)
    seconds, _, allowed = predict(kernel, *arrays(256, 20_000), allowance=0.05)
    assert not allowed
    assert seconds == pytest.approx(0.205, rel=0.05)


def test_a_call_that_takes_twice_the_allowance_is_not_started(taking):
    kernel, shapes = taking(lambda b, d: 1e-4 * b)
    seconds, _, allowed = predict(kernel, *arrays(1000, 8), allowance=0.05)
    assert not allowed
    assert seconds == pytest.approx(0.1, rel=0.05)
    assert max(b for b, _ in shapes) <= 500


def test_probes_and_call_together_have_to_fit_the_allowance(taking):
    kernel, shapes = taking(lambda b, d: 1e-4 * b)
    assert not predict(kernel, *arrays(400, 8), allowance=0.0401).fits  # the call itself would take 0.04 s
    assert sum(1e-4 * b for b, _ in shapes) <= 0.0401


def test_no_further_probes_are_needed_once_the_call_is_sure_to_fit(taking):
    kernel, shapes = taking(lambda b, d: 1e-8 * b * d**2)
    assert predict(kernel, *arrays(256, 256), allowance=10.0).fits
    assert shapes == [(1, 16)] * 2


def test_a_single_disturbed_probe_does_not_matter(taking):
    disturbances = iter([0.03])
    kernel, _ = taking(lambda b, d: next(disturbances, 1e-5))
    assert predict(kernel, *arrays(128, 10), allowance=0.03).fits


def test_without_a_fit_the_time_grows_with_the_size(taking, monkeypatch):
    def fail(*_):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr(extrapolation.optimize, "nnls", fail)
    kernel, _ = taking(lambda b, d: 1e-6 * b * d)
    assert predict(kernel, *arrays(64, 64), allowance=1.0).seconds == pytest.approx(64 * 64 * 1e-6, rel=0.05)
