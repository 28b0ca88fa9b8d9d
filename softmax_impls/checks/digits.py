"""Real logits: those of a softmax regression trained on scikit-learn's digits, kept beside this file.

``python -m softmax_impls.checks.digits`` trains it again and writes them; that takes scikit-learn, which reading them
does not.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_suffix(".npz")
ROWS = 200

Digits = tuple[NDArray[np.float64], NDArray[np.integer[Any]]]


@functools.cache
def load() -> Digits:
    """Return logits, (200, 10), and labels, (200,)."""
    with np.load(FILE) as kept:
        return kept["logits"], kept["labels"]


def train() -> Digits:
    """Train the regression, and return what `load` is to return: its logits for the first images."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, labels = load_digits(return_X_y=True)
    images = images / 16
    model = LogisticRegression(max_iter=1000).fit(images, labels)
    return model.decision_function(images[:ROWS]), labels[:ROWS].astype(np.int64)


if __name__ == "__main__":
    logits, labels = train()
    np.savez_compressed(FILE, logits=logits, labels=labels)
