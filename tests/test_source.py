"""The original program: layer, losses, gradient check, and the two lines that it prints."""

import re
import subprocess
import sys

import numpy as np
import pytest

from softmax_impls import Softmax, numeric_gradient, softmax
from softmax_impls.registry import names
from softmax_impls.source import gradient_check, loss_fn

P = softmax(np.random.default_rng(0).standard_normal((4, 3)))
YS = np.array([0, 2, 1, 1])


def test_the_program_prints_one_line_for_each_loss():
    command = [sys.executable, "-m", "softmax_impls.source"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for line, loss_type in zip(done.stdout.splitlines(), ("mse", "xent"), strict=True):
        assert float(re.fullmatch(rf"loss_type = {loss_type}, grad diff = (\S+)", line)[1]) <= 1e-15


@pytest.mark.parametrize("loss_type", ["mse", "xent"])
@pytest.mark.parametrize("name", ["auto", *names()])
def test_every_implementation_passes_the_original_gradient_check(name, loss_type):
    rng = np.random.default_rng(3)
    assert gradient_check(rng.random((7, 4)), rng.integers(4, size=7), loss_type, name) <= 1e-15


def test_a_wrong_backward_pass_fails_the_original_gradient_check():
    def flipped(probs, grad_output, out):
        out[...] = probs * ((probs * grad_output).sum(-1, keepdims=True) - grad_output)

    rng = np.random.default_rng(0)
    assert gradient_check(rng.random((10, 5)), rng.integers(5, size=10), "xent", flipped) > 1e-6


def test_a_float16_loss_of_many_rows_does_not_overflow():
    probs = np.full((70_000, 2), 0.5, "f2")
    loss, grad = loss_fn(probs, np.zeros(70_000, int), "xent")
    assert loss == pytest.approx(np.log(2), rel=1e-3)
    assert grad.dtype == np.float16


@pytest.mark.parametrize("loss_type", ["mse", "xent"])
def test_the_gradient_of_a_loss_matches_differences(loss_type):
    loss, grad = loss_fn(P, YS, loss_type)
    numeric = numeric_gradient(lambda p: loss_fn(p, YS, loss_type)[0], P)
    np.testing.assert_allclose(grad, numeric, atol=1e-8)
    assert np.isscalar(loss)


def test_losses_have_the_originals_values():
    probs, ys = [[0.25, 0.75], [0.5, 0.5]], [1, 0]
    assert loss_fn(probs, ys, "mse")[0] == ((0.75 - 1) ** 2 + (0.5 - 1) ** 2) / 2
    assert loss_fn(probs, ys, "xent")[0] == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2, rel=1e-15)


@pytest.mark.parametrize(
    ("probs", "ys", "loss_type", "error", "match"),
    [
        (P, YS[:3], "mse", ValueError, r"ys must have shape \(4,\), one label for each row of probs, got \(3,\)"),
        (P, YS[:, None], "mse", ValueError, r"ys must have shape \(4,\)"),
        (P, YS.astype(float), "mse", TypeError, "ys must hold integers, got dtype float64"),
        (P, [0, 1, 2, 3], "mse", ValueError, "ys must lie in 0 to 2, got 3"),
        (P, [0, -1, 2, 1], "mse", ValueError, "ys must lie in 0 to 2, got -1"),
        (P, YS, "hinge", ValueError, "loss_type must be 'mse' or 'xent', got 'hinge'"),
        (P[0], YS, "mse", ValueError, r"probs must be \(B, D\) with at least one row, got shape \(3,\)"),
        (P[:0], YS[:0], "mse", ValueError, "with at least one row"),
        (P, list(np.ma.masked_equal(YS, 1)), "mse", TypeError, "ys must not be a masked array"),
        (P.astype(complex), YS, "mse", TypeError, "probs must hold"),
    ],
)
def test_bad_labels_and_losses_are_refused_by_name(probs, ys, loss_type, error, match):
    with pytest.raises(error, match=match):
        loss_fn(probs, ys, loss_type)


def test_the_layer_runs_forward_and_backward_and_checks_shapes():
    layer = Softmax(impl="column_loop")
    assert repr(layer) == "Softmax(impl='column_loop')"
    x = np.random.default_rng(0).random((4, 3))
    np.testing.assert_array_equal(layer.forward(x), softmax(x))
    with pytest.raises(ValueError, match=r"x and probs must have the same shape, got x \(3, 3\) and probs \(4, 3\)"):
        layer.backward(x[:3], P, P)
