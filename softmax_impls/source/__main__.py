"""The command ``python -m softmax_impls.source``."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from softmax_impls.formatting import KERNEL_ERRORS, format_bytes, one_line
from softmax_impls.implementation import LARGEST_TEMPORARIES
from softmax_impls.registry import from_spec
from softmax_impls.source import gradient_check


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line, as the command line of this package does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see --help)\n")


def _size(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


_size.__name__ = "positive integer"  # argparse puts this name into its error message


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m softmax_impls.source",
        description="Softmax forward and backward for two losses, checked against numeric gradients.",
        epilog="example: python -m softmax_impls.source --impl column_loop --batch 10 --dim 5",
    )
    parser.add_argument(
        "--impl", default="auto", metavar="NAME", help="name of an implementation, or package.module:function"
    )
    parser.add_argument("--batch", type=_size, default=10, metavar="B", help="rows (default %(default)s)")
    parser.add_argument("--dim", type=_size, default=5, metavar="D", help="classes (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the logits and labels (default %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the original program; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.seed < 0:
        parser.error(f"argument --seed: must not be negative, got {options.seed}")
    try:
        impl = None if options.impl == "auto" else from_spec(options.impl)
    except (ValueError, ImportError) as error:
        parser.error(f"argument --impl: {error}")
    if impl and (too_large := impl.too_large(options.batch, options.dim, np.dtype(np.float64))):
        parser.error(f"argument --impl: {impl.name} was not started: {too_large}")
    if options.batch * options.dim * 8 > LARGEST_TEMPORARIES:
        parser.error(f"--batch × --dim: the logits would take {format_bytes(options.batch * options.dim * 8)}")
    rng = np.random.default_rng(options.seed)
    x = rng.random((options.batch, options.dim))
    ys = rng.integers(options.dim, size=options.batch)
    try:
        for loss_type in ("mse", "xent"):
            print(
                f"loss_type = {loss_type}, grad diff = {gradient_check(x, ys, loss_type, impl or 'auto')}", flush=True
            )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KERNEL_ERRORS as error:
        print(f"{options.impl}: raised {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
