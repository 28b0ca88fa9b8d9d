"""The program this project began with, as a user would want it: softmax for any loss, with its gradient check.

``python -m softmax_impls.source`` runs it: forward, backward and numeric gradients for two losses.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_impls.arguments import as_real_array
from softmax_impls.backward import from_spec
from softmax_impls.checks.numeric import numeric_gradient
from softmax_impls.contract import LARGEST_TEMPORARIES, Array, Impl
from softmax_impls.layer import Softmax
from softmax_impls.wording import RAISED, in_bytes, told

SOURCE_STEP = 1e-3


def loss_fn(probs: ArrayLike, ys: ArrayLike, loss_type: str) -> tuple[np.floating[Any], Array]:
    """Return a loss of probabilities and labels, and its gradient with respect to the probabilities.

    Parameters
    ----------
    probs : array_like
        (B, D), B ≥ 1.
    ys : array_like of int
        (B,): the index of each row's label, 0 to D - 1.
    loss_type : {"mse", "xent"}
        "mse": ``sum((p_y - 1)²) / B``, a dummy of the original's author's. "xent": ``-sum(log p_y) / B``.

    Returns
    -------
    loss : float
    grad : ndarray
        dL/dprobs, (B, D): zero except at the labels, where it is ``2 (p_y - 1) / B`` or ``-1 / (p_y B)``.

    Raises
    ------
    TypeError
        If `probs` is not of real numbers or `ys` not of integers.
    ValueError
        If a shape is off, a label is out of range or the loss is unknown.

    Examples
    --------
    >>> from softmax_impls.source import loss_fn
    >>> loss, grad = loss_fn([[0.25, 0.75]], [1], "mse")
    >>> float(loss), grad
    (0.0625, array([[ 0. , -0.5]]))
    """
    given = as_real_array("probs", probs)
    p = given.astype(np.result_type(given, np.float32), copy=False)  # float16 can't even count the rows
    if p.ndim != 2 or not p.shape[0]:
        raise ValueError(f"probs must be (B, D) with at least one row, got shape {p.shape}")
    labels = _labels(ys, *p.shape)
    at_label = (np.arange(len(p)), labels)
    p_y = p[at_label]
    if loss_type == "mse":
        loss, slope = np.sum((p_y - 1) ** 2) / len(p), 2 * (p_y - 1) / len(p)
    elif loss_type == "xent":
        loss, slope = -np.sum(np.log(p_y)) / len(p), -1 / (p_y * len(p))
    else:
        raise ValueError(f"loss_type must be 'mse' or 'xent', got {loss_type!r}")
    grad = np.zeros_like(given)
    grad[at_label] = slope
    return loss, grad


def _labels(ys: ArrayLike, rows: int, classes: int) -> NDArray[np.integer[Any]]:
    if isinstance(ys, np.ma.MaskedArray):
        raise TypeError("ys must not be a masked array")
    labels = np.asarray(ys)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"ys must hold integers, got dtype {labels.dtype}")
    if labels.shape != (rows,):
        raise ValueError(f"ys must have shape ({rows},), one label for each row of probs, got {labels.shape}")
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise ValueError(f"ys must lie in 0 to {classes - 1}, got {wrong[0]}")
    return labels


def gradient_check(x: ArrayLike, ys: ArrayLike, loss_type: str, impl: Impl = "auto") -> float:
    """Return the original's measure of how far backward is from numeric gradients: sum((backward - numeric)²) / B.

    The numeric gradients are central differences with the original's step of 1e-3, in float64.

    Parameters
    ----------
    x : array_like
        Logits, (B, D).
    ys, loss_type, impl
        As in `loss_fn` and `softmax_backward`.
    """
    layer = Softmax(impl)
    logits = np.array(as_real_array("x", x), dtype=np.float64)
    probs = layer.forward(logits)
    _, bp_err = loss_fn(probs, ys, loss_type)
    grads = layer.backward(logits, probs, bp_err)
    numeric = numeric_gradient(lambda at: loss_fn(layer.forward(at), ys, loss_type)[0], logits, step=SOURCE_STEP)
    return float(np.sum((grads - numeric) ** 2) / len(logits))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see --help)\n")


def _size(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_size.__name__ = "positive integer"  # argparse's word for what it expected


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the original program; returns the exit status."""
    parser = _Parser(
        prog="python -m softmax_impls.source",
        description="Softmax forward and backward for two losses, checked against numeric gradients.",
        epilog="example: python -m softmax_impls.source --impl column_loop --batch 10 --dim 5",
    )
    parser.add_argument(
        "--impl", default="auto", metavar="NAME", help="an implementation's name, or package.module:function"
    )
    parser.add_argument("--batch", type=_size, default=10, metavar="B", help="rows (default %(default)s)")
    parser.add_argument("--dim", type=_size, default=5, metavar="D", help="classes (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the random logits and labels (default %(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.seed < 0:
        parser.error(f"argument --seed: must not be negative, got {options.seed}")
    try:
        impl = options.impl if options.impl == "auto" else from_spec(options.impl)
    except (ValueError, ImportError) as error:
        parser.error(f"argument --impl: {error}")
    if not isinstance(impl, str) and (too_large := impl.too_large(options.batch, options.dim, np.dtype(np.float64))):
        parser.error(f"argument --impl: {impl.name} is pruned: {too_large}")
    if options.batch * options.dim * 8 > LARGEST_TEMPORARIES:
        parser.error(f"--batch × --dim: logits would take {in_bytes(options.batch * options.dim * 8)}")
    rng = np.random.default_rng(options.seed)
    x = rng.random((options.batch, options.dim))
    ys = rng.integers(options.dim, size=options.batch)
    try:
        for loss_type in ("mse", "xent"):
            print(f"loss_type = {loss_type}, grad diff = {gradient_check(x, ys, loss_type, impl)}", flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except RAISED as error:
        print(f"{options.impl}: raised {told(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
