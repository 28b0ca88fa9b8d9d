"""Train a softmax regression on scikit-learn's digits, and write its logits to softmax_impls/checks/digits.npz.

They are the real logits among the inputs of the checks. Run ``python tools/train_digits.py``; it needs scikit-learn.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

FILE = Path(__file__).parents[1] / "softmax_impls" / "checks" / "digits.npz"


def train() -> tuple[NDArray[np.float64], NDArray[np.integer[Any]]]:
    """Fit the model on all images. Return its logits, (200, 10), and the labels, (200,), of the first 200 images."""
    images, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(images / 16, labels)
    return model.decision_function(images[:200] / 16), labels[:200].astype(np.int64)


if __name__ == "__main__":
    logits, labels = train()
    np.savez_compressed(FILE, logits=logits, labels=labels)
