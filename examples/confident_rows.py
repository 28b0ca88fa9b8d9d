"""Show the difference between the textbook gradient and the accurate gradient during training.

The model is softmax regression on the digits of scikit-learn. ``python examples/confident_rows.py`` trains it twice in
float32 from the same start, with the textbook form and with the accurate form, and writes confident_rows.png. It needs
scikit-learn and matplotlib.

The result (docs/pictures/confident_rows.png): as training goes on, the textbook gradient becomes exactly zero at the
label of more and more confident rows. The loss does not show it: the gradients of these rows are small beside the
others, and the losses of both runs agree to five digits. It matters to a program that uses gradients of single rows.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softmax_impls import softmax, softmax_backward

try:
    from matplotlib.figure import Figure
    from sklearn.datasets import load_digits
except ImportError as error:
    raise SystemExit("this example needs scikit-learn and matplotlib: pip install scikit-learn matplotlib") from error

Floats = NDArray[np.float32]
TEXTBOOK, ACCURATE = "closed_form", "auto"
CONFIDENT = 0.999  # a row is confident if the probability of its label is larger than this


@dataclass
class History:
    """The state of training at each step.

    Attributes
    ----------
    loss : list of float
        Mean cross-entropy.
    norm : list of float
        Norm of the gradients of confident rows with respect to the logit of their label.
    confident : list of int
        Number of confident rows.
    zero : list of int
        Number of confident rows whose gradient with respect to that logit is exactly zero.
    accuracy : float
        After the last step.
    """

    loss: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    confident: list[int] = field(default_factory=list)
    zero: list[int] = field(default_factory=list)
    accuracy: float = 0.0

    @property
    def mostly_zero_from(self) -> int | None:
        """The step after which more than half of these gradients are always exactly zero; None if there is none."""
        others = [step for step, (n, z) in enumerate(zip(self.confident, self.zero, strict=True)) if 2 * z <= n]
        first = others[-1] + 1 if others else 0
        return first if first < len(self.loss) else None


def data(seed: int) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Return the digits, (N, 65) with a constant column, their labels (N,), and small random weights, (65, 10)."""
    pixels, labels = load_digits(return_X_y=True)
    x = np.hstack([(pixels - 8) / 8, np.ones((len(pixels), 1))]).astype(np.float32)
    return x, labels, np.random.default_rng(seed).normal(0, 0.01, (65, 10)).astype(np.float32)


def train(impl: str, steps: int, rate: float = 2.0, seed: int = 0) -> History:
    """Train by gradient descent on all digits at once, with the softmax backward pass of `impl`."""
    x, labels, weights = data(seed)
    rows = np.arange(len(x))
    history = History()
    for _ in range(steps):
        probs = softmax(x @ weights)
        label_probs = probs[rows, labels]
        grad_output = np.zeros_like(probs)
        grad_output[rows, labels] = -1 / label_probs  # gradient of the sum of -log p; divided by N below
        grad_logits = softmax_backward(probs, grad_output, impl=impl)
        at_label = grad_logits[rows, labels][label_probs > CONFIDENT].astype(np.float64)
        history.loss.append(float(-np.log(label_probs.astype(np.float64)).mean()))
        history.norm.append(float(np.linalg.norm(at_label)))
        history.confident.append(len(at_label))
        history.zero.append(int((at_label == 0).sum()))
        weights -= np.float32(rate) * (x.T @ grad_logits) / np.float32(len(x))
    history.accuracy = float((np.argmax(x @ weights, axis=1) == labels).mean())
    return history


def draw(textbook: History, accurate: History, path: Path) -> None:
    """Draw the loss, the norm of the gradients, and the share of gradients that are exactly zero."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    for history, label, style in ((textbook, "textbook", "-"), (accurate, "accurate", "--")):
        share = np.array(history.zero) / np.maximum(1, history.confident)
        for axis, values in zip(axes, (history.loss, history.norm, share), strict=True):
            axis.plot(np.arange(1, len(history.loss) + 1), values, style, label=label)
    titles = ("loss", "norm of the gradients of confident rows\nat their label", "share of them that is exactly zero")
    for axis, title in zip(axes, titles, strict=True):
        axis.set(xscale="log", xlabel="step", title=title)
        axis.legend()
    axes[0].set_yscale("log")
    axes[1].set_yscale("log")
    if textbook.mostly_zero_from is not None:
        axes[2].axvline(textbook.mostly_zero_from + 1, color="gray", linewidth=1)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train twice, draw the picture and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rate", type=float, default=2.0, help="learning rate")
    parser.add_argument("--output", type=Path, default=Path("confident_rows.png"))
    options = parser.parse_args()
    if options.steps < 1:
        parser.error(f"--steps must be at least 1, got {options.steps}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    textbook, accurate = (train(impl, options.steps, options.rate) for impl in (TEXTBOOK, ACCURATE))
    draw(textbook, accurate, options.output)
    for name, history in (("textbook", textbook), ("accurate", accurate)):
        print(
            f"{name}: loss {history.loss[-1]:.9f}, accuracy {history.accuracy:.4f}, {history.confident[-1]} confident "
            f"rows, {history.zero[-1]} of them with a zero gradient at their label, norm {history.norm[-1]:.5e}"
        )
    first = textbook.mostly_zero_from
    print(f"more than half are zero from step {first + 1} on" if first is not None else "at most half are zero")


if __name__ == "__main__":
    main()
