"""Real logits: the output of a softmax regression that was trained on scikit-learn's digits.

They are stored in ``digits.npz`` beside this file. ``python -m softmax_impls.checks.digits`` trains the model again and
writes the file. Training needs scikit-learn; reading the file does not.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_suffix(".npz")
Digits = tuple[NDArray[np.float64], NDArray[np.integer[Any]]]  # logits, (200, 10), and labels, (200,)


@functools.cache
def load() -> Digits:
    """Return the stored logits and labels."""
    with np.load(FILE) as file:
        return file["logits"], file["labels"]


def train() -> Digits:
    """Train the regression, and return its logits and labels for the first images."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(images / 16, labels)
    return model.decision_function(images[:200] / 16), labels[:200].astype(np.int64)


if __name__ == "__main__":
    logits, labels = train()
    np.savez_compressed(FILE, logits=logits, labels=labels)
