"""The original program: layer, losses, gradient check, and the two lines that it prints."""

import re
import subprocess
import sys

import numpy as np
import pytest

from softmax_impls import Softmax, numeric_gradient, softmax
from softmax_impls.registry import names
from softmax_impls.source import gradient_check, loss_fn
from softmax_impls.source.__main__ import main

LINE = r"loss_type = {}, grad diff = (\S+)"
P = softmax(np.random.default_rng(0).standard_normal((4, 3)))
YS = np.array([0, 2, 1, 1])


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "softmax_impls.source", *arguments], capture_output=True, text=True, check=False
    )


def test_the_program_prints_one_line_for_each_loss():
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    for line, loss_type in zip(done.stdout.splitlines(), ("mse", "xent"), strict=True):
        assert float(re.fullmatch(LINE.format(loss_type), line)[1]) <= 1e-15


@pytest.mark.parametrize("name", ["auto", *names()])
def test_every_implementation_passes_the_original_gradient_check(name, capsys):
    assert main(["--impl", name, "--batch", "7", "--dim", "4", "--seed", "3"]) == 0
    diffs = [float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines()]
    assert len(diffs) == 2
    assert max(diffs) <= 1e-15


def test_a_wrong_backward_pass_fails_the_original_gradient_check():
    def flipped(probs, grad_output, out):
        out[...] = probs * ((probs * grad_output).sum(-1, keepdims=True) - grad_output)

    rng = np.random.default_rng(0)
    assert gradient_check(rng.random((10, 5)), rng.integers(5, size=10), "xent", flipped) > 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--impl", "nothing"], "argument --impl: impl must be one of auto, closed_form"),
        (["--impl", "no_such_module:f"], "argument --impl: impl 'no_such_module:f' can't be loaded"),
        (
            ["--impl", "einsum_jacobian", "--batch", "4096", "--dim", "512"],
            "einsum_jacobian was not started: needs 8.6 GB",
        ),
        (["--batch", "1000000000000"], "--batch × --dim: the logits would take 40000.0 GB"),
        (["--batch", "0"], "argument --batch: invalid positive integer value: '0'"),
        (["--dim", "five"], "argument --dim: invalid positive integer value: 'five'"),
        (["--seed", "-1"], "argument --seed: must not be negative, got -1"),
        (["--loss", "mse"], "unrecognized arguments: --loss mse"),
    ],
)
def test_bad_command_lines_exit_2_with_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_kernel_that_raises_costs_one_line_and_exit_status_1(capsys, monkeypatch):
    monkeypatch.setattr("softmax_impls.source.__main__.gradient_check", lambda *arguments: 1 / 0)
    assert main(["--impl", "pivoted"]) == 1
    assert capsys.readouterr().err == "pivoted: raised ZeroDivisionError: division by zero\n"


def test_a_float16_loss_of_many_rows_does_not_overflow():
    probs = np.full((70_000, 2), 0.5, "f2")
    loss, grad = loss_fn(probs, np.zeros(70_000, int), "xent")
    assert loss == pytest.approx(np.log(2), rel=1e-3)
    assert grad.dtype == np.float16


def test_ctrl_c_exits_with_130(monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("softmax_impls.source.__main__.gradient_check", interrupt)
    assert main([]) == 130
    assert capsys.readouterr().err == "interrupted\n"


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
