"""The examples run, and show what they state."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tools.scripts import ROOT, script


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("sklearn")
    return script(ROOT / "examples" / "confident_rows.py")


def test_textbook_and_accurate_gradient_give_nearly_the_same_loss(example):
    textbook, accurate = (example.train(impl, steps=60, rate=2.0) for impl in (example.TEXTBOOK, example.ACCURATE))
    assert textbook.loss[0] == accurate.loss[0]
    assert accurate.loss[-1] < 0.2 * accurate.loss[0]
    assert textbook.loss[-1] == pytest.approx(accurate.loss[-1], rel=1e-3)
    assert accurate.accuracy > 0.95


def test_first_step_with_mostly_zero_gradients_comes_after_the_last_step_without(example):
    history = example.History(loss=[1.0] * 4, confident=[10, 10, 10, 10], zero=[0, 6, 4, 8])
    assert history.mostly_zero_from == 3
    assert example.History(loss=[1.0], confident=[10], zero=[5]).mostly_zero_from is None


def test_example_refuses_to_train_without_steps(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["confident_rows.py", "--steps", "0"])
    with pytest.raises(SystemExit):
        example.main()
    assert "--steps must be at least 1, got 0" in capsys.readouterr().err


def test_example_prints_both_results_and_draws_a_picture_in_a_new_folder(tmp_path):
    pytest.importorskip("sklearn")
    command = [sys.executable, str(ROOT / "examples" / "confident_rows.py"), "--steps", "20", "--output", "new/x.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "textbook: loss" in done.stdout
    assert "accurate: loss" in done.stdout
    assert Path(tmp_path, "new", "x.png").read_bytes().startswith(b"\x89PNG")


def test_textbook_gradient_is_zero_where_the_probability_of_the_label_rounds_to_one(example):
    probs = example.softmax(np.array([[20.0, 0, -1, -2]], np.float32))
    grad = np.array([[-1 / probs[0, 0], 0, 0, 0]], np.float32)
    assert example.softmax_backward(probs, grad, impl=example.TEXTBOOK)[0, 0] == 0
    assert example.softmax_backward(probs, grad, impl=example.ACCURATE)[0, 0] == pytest.approx(-3.0984e-09, rel=1e-4)
