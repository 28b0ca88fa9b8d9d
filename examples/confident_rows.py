"""What the textbook gradient loses on confident rows, seen in training: softmax regression on scikit-learn's digits.

``python examples/confident_rows.py`` trains twice in float32 from the same start, once through the textbook form and
once through the exact one, writes confident_rows.png, and says what it found. scikit-learn and matplotlib are needed.

What it finds (docs/results/confident_rows.png): the longer one trains, the more rows have a textbook gradient of
exactly zero at their label's logit. But the loss does not notice: those rows' gradients are too small to matter
beside the others', and the two runs agree to five digits and more. Who looks at single rows' gradients will notice.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softmax_impls import softmax, softmax_backward

try:
    from sklearn.datasets import load_digits
except ImportError as error:
    raise SystemExit("the digits come with scikit-learn: pip install scikit-learn matplotlib") from error

Floats = NDArray[np.float32]
TEXTBOOK, EXACT = "closed_form", "auto"
CONFIDENT = 0.999  # a row is confident when its label has more than that


@dataclass
class History:
    """What happened, step by step.

    Attributes
    ----------
    loss : list of float
        The mean cross-entropy.
    norm : list of float
        The norm of the confident rows' gradient with respect to their label's logit.
    confident, zero : list of int
        How many rows are confident, and in how many of them that gradient is exactly zero.
    accuracy : float
        In the end.
    """

    loss: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    confident: list[int] = field(default_factory=list)
    zero: list[int] = field(default_factory=list)
    accuracy: float = 0.0

    @property
    def mostly_zero_from(self) -> int | None:
        """The first step from which on more than half of the confident rows' gradients are exactly zero."""
        good = [step for step, (n, z) in enumerate(zip(self.confident, self.zero, strict=True)) if 2 * z <= n]
        first = good[-1] + 1 if good else 0
        return first if first < len(self.loss) else None


def data(seed: int) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Return digits, (N, 65) with a constant column, their labels, and small random weights to start from, (65, 10)."""
    pixels, labels = load_digits(return_X_y=True)
    x = np.hstack([(pixels - 8) / 8, np.ones((len(pixels), 1))]).astype(np.float32)
    return x, labels, np.random.default_rng(seed).normal(0, 0.01, (65, 10)).astype(np.float32)


def train(impl: str, steps: int, rate: float = 2.0, seed: int = 0) -> History:
    """Train by gradient descent on all digits at once, the loss's gradient going back through `impl`."""
    x, labels, weights = data(seed)
    rows = np.arange(len(x))
    history = History()
    for _ in range(steps):
        probs = softmax(x @ weights)
        label_probs = probs[rows, labels]
        grad_output = np.zeros_like(probs)
        grad_output[rows, labels] = -1 / label_probs  # of the sum of -log p; the mean is taken below
        grad_logits = softmax_backward(probs, grad_output, impl=impl)
        at_label = grad_logits[rows, labels][label_probs > CONFIDENT].astype(np.float64)
        history.loss.append(float(-np.log(label_probs.astype(np.float64)).mean()))
        history.norm.append(float(np.linalg.norm(at_label)))
        history.confident.append(len(at_label))
        history.zero.append(int((at_label == 0).sum()))
        weights -= np.float32(rate) * (x.T @ grad_logits) / np.float32(len(x))
    history.accuracy = float((np.argmax(x @ weights, axis=1) == labels).mean())
    return history


def picture(textbook: History, exact: History, path: Path) -> None:
    """Draw the loss, the gradient's norm, and the share of confident rows whose gradient is exactly zero."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    for history, label, style in ((textbook, "textbook", "-"), (exact, "exact", "--")):
        share = np.array(history.zero) / np.maximum(1, history.confident)
        for axis, values in zip(axes, (history.loss, history.norm, share), strict=True):
            axis.plot(np.arange(1, len(history.loss) + 1), values, style, label=label)
    titles = ("loss", "norm of confident rows' gradient\nat their label's logit", "share of them that is exactly zero")
    for axis, title in zip(axes, titles, strict=True):
        axis.set(xscale="log", xlabel="step", title=title)
        axis.legend()
    axes[0].set_yscale("log")
    axes[1].set_yscale("log")
    if textbook.mostly_zero_from is not None:
        axes[2].axvline(textbook.mostly_zero_from + 1, color="gray", linewidth=1)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train twice, draw, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rate", type=float, default=2.0, help="learning rate")
    parser.add_argument("--output", type=Path, default=Path("confident_rows.png"))
    chosen = parser.parse_args()
    textbook, exact = (train(impl, chosen.steps, chosen.rate) for impl in (TEXTBOOK, EXACT))
    picture(textbook, exact, chosen.output)
    for name, history in (("textbook", textbook), ("exact", exact)):
        print(
            f"{name}: loss {history.loss[-1]:.9f}, accuracy {history.accuracy:.4f}; of {history.confident[-1]} "
            f"confident rows, {history.zero[-1]} have a zero gradient at their label; norm {history.norm[-1]:.5e}"
        )
    first = textbook.mostly_zero_from
    print(f"most are zero from step {first + 1} on" if first is not None else "at no step were most of them zero")


if __name__ == "__main__":
    main()
