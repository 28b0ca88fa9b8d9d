"""Measure the errors of `softmax_impls.dask` for many chunkings of difficult inputs.

``python tools/chunkings.py`` measures all families in both dtypes. cog puts `block` into docs/beyond-one-machine.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
import dask
import dask.array as da
import kept
import numpy as np
from markdown import paragraph, table
from msgspec import Struct
from numpy.typing import NDArray

import softmax_impls
from softmax_impls.checks import bounds, inputs
from softmax_impls.checks.inputs import Case
from softmax_impls.checks.oracle import Exact
from softmax_impls.dask import softmax, softmax_backward
from softmax_impls.implementation import Array
from softmax_impls.timing.workloads import DTYPES

RESULTS = kept.MEASUREMENTS / "chunkings.jsonl"
FAMILIES = (
    "long rows",
    "digits, softmax regression",
    "gradient offset by 100",
    "peaked, long rows",
    "one-hot, long rows, gradient offset by 1,000,000",
    "several heavy classes with equal gradients, long rows",
    "partly masked",
    "subnormal probabilities",
    "opposite gradients near the largest number, long rows",
    "gradients up to the largest number, long rows",
)
CHUNKINGS = 20
MOST = 48  # chunks of a row: each costs some tasks
SEEDS = range(2)  # different inputs of each family

Errors = tuple[float, float, float, float]


class Row(Struct, frozen=True):
    """The largest errors of a family in a dtype, in units of rounding of the largest element of their row."""

    family: str
    dtype: str
    shape: tuple[int, int]
    fewest: int  # chunks of a row
    most: int
    plain: float  # of the plain functions
    plain_forward: float
    chunked: float  # of all chunkings
    chunked_forward: float
    of_bound: float  # of all chunkings, relative to the bound for whole rows
    of_bound_forward: float


def chunkings(case: Case, seed: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield `CHUNKINGS` ways to divide the arrays: the sizes of the chunks along both axes, drawn at random.

    A row has first 2 chunks, and in the end `MOST`, or one for each class if there are fewer classes.
    """
    rng, (batch, dim) = np.random.default_rng(seed), case.probs.shape
    for number in range(CHUNKINGS):
        pieces = round(2 * (min(dim, MOST) / 2) ** (number / (CHUNKINGS - 1)))
        yield divided(rng, batch, 1 + number % min(batch, 3)), divided(rng, dim, pieces)


def divided(rng: np.random.Generator, size: int, pieces: int) -> tuple[int, ...]:
    """Divide an axis of this size into `pieces` chunks at random, and return the sizes of the chunks."""
    cuts = np.sort(rng.choice(np.arange(1, size), pieces - 1, replace=False))
    return tuple(int(n) for n in np.diff([0, *cuts, size]))


def units(result: Array, exact: Exact, rows: NDArray[np.bool_]) -> float:
    """Return the largest error of the chosen rows, in units of rounding of the largest element of their row."""
    size = np.abs(exact.high).max(axis=-1, keepdims=True)
    info = np.finfo(result.dtype)
    unit = np.maximum(size, float(info.smallest_normal)) * float(info.eps) / 2
    return float((exact.error_of(result) / unit)[rows].max(initial=0))


def measure(family: str, dtype: str) -> Row:
    """Return the errors of a family in a dtype."""
    plain, chunked = list[Errors](), list[Errors]()
    numbers: list[int] = []
    for seed in SEEDS:
        case = next(case for case in inputs.cases(dtype, seed) if case.family == family)
        divisions = list(chunkings(case, seed))
        numbers += [len(division[1]) for division in divisions]
        gradient = softmax_impls.softmax_backward(case.probs, case.grad_output)
        plain.append(errors(case, softmax_impls.softmax(case.logits), gradient))
        results = dask.compute(*(lazily(case, division) for division in divisions), scheduler="synchronous")
        chunked += [errors(case, *result) for result in results]
    worst = (*np.max(plain, axis=0).tolist()[:2], *np.max(chunked, axis=0).tolist())
    return Row(family, dtype, case.probs.shape, min(numbers), max(numbers), *worst)


def lazily(case: Case, division: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[da.Array, da.Array]:
    """Return softmax and softmax_backward of a case in these chunks."""
    logits, probs, grad = (da.from_array(a, chunks=division) for a in (case.logits, case.probs, case.grad_output))
    return softmax(logits), softmax_backward(probs, grad)


def errors(case: Case, probs: Array, gradient: Array) -> Errors:
    """Return the largest errors of the gradient and of the probabilities, each in two ways.

    The first two numbers are in units of rounding. The last two are relative to the bounds that the checks allow.
    """
    backward, forward = units(gradient, case.given_logits, case.finite), units(probs, case.exact_probs, case.finite)
    bound = bounds.given_logits(case.exact_probs.high, case.grad_output)
    of_bound = (case.given_logits.error_of(gradient) / bound)[case.finite].max()
    of_forward = (case.exact_probs.error_of(probs) / bounds.forward(case.logits, case.exact_probs.high))[case.finite]
    return backward, forward, float(of_bound), float(of_forward.max())


def block() -> str:
    """Return the Markdown for docs/beyond-one-machine.md: a table of the errors, and sentences about it."""
    rows: list[Row] = kept.read(RESULTS, Row)
    headings = ["input", "dtype", "chunks of a row", "backward: plain", "in chunks", "forward: plain", "in chunks"]
    lines = [
        [
            row.family, row.dtype, f"{row.fewest} to {row.most}", f"{row.plain:.2f}", f"{row.chunked:.2f}",
            f"{row.plain_forward:.2f}", f"{row.chunked_forward:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    backward, forward = (max(getattr(row, name) for row in rows) for name in ("of_bound", "of_bound_forward"))
    return table(headings, lines) + paragraph(
        f"The largest errors of {CHUNKINGS} chunkings of {len(SEEDS)} inputs each, in units of rounding of the largest "
        "element of the row. Compared with the bounds that the check of whole rows allows, the largest error is "
        f"{backward:.0%} (backward) and {forward:.0%} (forward)."
    )


@click.command()
def main() -> None:
    """Measure the errors, and replace the results that are kept."""
    kept.replace(RESULTS, (measure(family, dtype) for family in FAMILIES for dtype in DTYPES))


if __name__ == "__main__":
    main()
