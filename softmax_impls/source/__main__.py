"""The command ``python -m softmax_impls.source``."""

import argparse

import numpy as np

from softmax_impls.source import gradient_check


def main() -> None:
    """Run the original program: check the backward pass for two losses, and print the differences."""
    description = "Softmax forward and backward for two losses, checked against numeric gradients."
    argparse.ArgumentParser("python -m softmax_impls.source", description=description).parse_args()
    rng = np.random.default_rng(0)
    x, ys = rng.random((10, 5)), rng.integers(5, size=10)
    for loss_type in ("mse", "xent"):
        print(f"loss_type = {loss_type}, grad diff = {gradient_check(x, ys, loss_type, impl='column_loop')}")


if __name__ == "__main__":
    main()
