"""The command ``python -m softmax_impls.source``: it runs the program that this project started from."""

import argparse

import numpy as np

from softmax_impls.registry import names
from softmax_impls.source import gradient_check


def main() -> None:
    """Run the original program: check the backward pass for two losses, and print the differences."""
    parser = argparse.ArgumentParser(
        "python -m softmax_impls.source",
        description="Softmax forward and backward for two losses, checked against numeric gradients.",
    )
    parser.add_argument("--impl", default="column_loop", choices=["auto", *names()], help="default: %(default)s")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x, ys = rng.random((10, 5)), rng.integers(5, size=10)
    for loss_type in ("mse", "xent"):
        print(f"loss_type = {loss_type}, grad diff = {gradient_check(x, ys, loss_type, options.impl)}")


if __name__ == "__main__":
    main()
