"""The examples do what they say, in fewer steps."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.scripts import ROOT, script


@pytest.fixture(scope="module")
def example():
    return script(ROOT / "examples" / "confident_rows.py")


def test_both_forms_train_alike_from_the_same_start(example):
    textbook, exact = (example.train(impl, steps=60, rate=2.0) for impl in (example.TEXTBOOK, example.EXACT))
    assert textbook.loss[0] == exact.loss[0]
    assert exact.loss[-1] < 0.2 * exact.loss[0]
    assert textbook.loss[-1] == pytest.approx(exact.loss[-1], rel=1e-3)
    assert exact.accuracy > 0.95


def test_zeros_are_counted_on_confident_rows(example):
    history = example.History(loss=[1.0] * 4, confident=[10, 10, 10, 10], zero=[0, 6, 4, 8])
    assert history.mostly_zero_from == 3
    assert example.History(loss=[1.0], confident=[10], zero=[5]).mostly_zero_from is None


def test_runs_and_draws(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "confident_rows.py"), "--steps", "20", "--output", "x.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "textbook: loss" in done.stdout
    assert "exact: loss" in done.stdout
    assert Path(tmp_path, "x.png").read_bytes().startswith(b"\x89PNG")


def test_what_it_is_about(example):
    """A label's probability that rounds to 1: the textbook gradient there is 0, the exact one is not."""
    probs = example.softmax(np.array([[20.0, 0, -1, -2]], np.float32))
    grad = np.array([[-1 / probs[0, 0], 0, 0, 0]], np.float32)
    assert example.softmax_backward(probs, grad, impl=example.TEXTBOOK)[0, 0] == 0
    assert example.softmax_backward(probs, grad, impl=example.EXACT)[0, 0] == pytest.approx(-3.0984e-09, rel=1e-4)
