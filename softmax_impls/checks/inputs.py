"""The inputs of the checks: ordinary inputs, inputs that cancel, and inputs that break kernels.

Each family of inputs is a function that draws logits and a gradient from a seeded generator. The logits are rounded to
the dtype. The probabilities are the exact softmax of the rounded logits, rounded once. So the checks measure the errors
of the backward pass alone.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from softmax_impls.api import softmax
from softmax_impls.checks import oracle, reference
from softmax_impls.implementation import Array, read_only

Kind = Literal["ordinary", "saturated", "hostile"]
Drawn = tuple[NDArray[Any], NDArray[Any]]  # logits and grad_output, (B, D) each
Draw = Callable[[Generator], Drawn]

SUBNORMAL = "subnormal probabilities"
DIGITS = Path(__file__).with_name("digits.npz")  # logits, (200, 10), and labels: tools/train_digits.py writes it
# Shapes that reach different code paths: a batch or dim of 1, whole vectors and remainders, square arrays, many rows,
# long rows, large arrays.
SHAPES = ((1, 1), (1, 10), (1, 1000), (2, 3), (3, 2), (16, 16), (9, 32), (33, 64), (70, 128), (5000, 3), (2, 4099))


@dataclass(frozen=True, eq=False)
class Case:
    """The input of one family in one dtype, and the exact answers. The input's arrays are (B, D) and read-only."""

    family: str
    kind: Kind
    logits: Array
    probs: Array
    grad_output: Array
    exact_probs: oracle.Exact  # the exact softmax of the logits
    given_probs: oracle.Exact  # the exact value for the rounded probabilities
    given_logits: oracle.Exact  # the exact gradient with respect to the logits
    sums: reference.RowSums  # of each row; they give the bound on the error given the probabilities
    finite: NDArray[np.bool_]  # whether each row, (B,), contains neither NaN nor inf in `probs` and `grad_output`
    in_range: NDArray[np.bool_]  # whether p (g - Σ p g) computes the element from finite numbers in range; (B, D)

    def __str__(self) -> str:
        return f"{self.family} {self.probs.dtype}"


@cache
def cases(dtype: str, seed: int) -> tuple[Case, ...]:
    """Return a case for each family in `FAMILIES`, in the dtype float32 or float64.

    A repeated call returns the same objects.
    """
    drawn = [_draw(name, dtype, seed) for name in FAMILIES]
    found = []
    for (name, (kind, _)), problem, exact in zip(FAMILIES.items(), drawn, oracle.answers(drawn), strict=True):
        logits, probs, grad_output = map(read_only, (problem[0], exact.probs.high.astype(dtype), problem[1]))
        sums, finite = reference.row_sums(probs, grad_output), np.all(np.isfinite((probs, grad_output)), axis=(0, -1))
        in_range = sums.formula_in_range(probs, grad_output)
        found.append(Case(name, kind, logits, probs, grad_output, *exact, sums, finite, in_range))
    return tuple(found)


def _draw(name: str, dtype: str, seed: int) -> tuple[Array, Array]:
    """Return the logits and the gradient of a family, (B, D) each."""
    info, rng = np.finfo(dtype), np.random.default_rng([seed, zlib.crc32(name.encode())])  # for this family
    units = [float(getattr(info, unit, 1)) for unit in UNITS.get(name, ("", ""))]
    logits, grad_output = (
        np.ascontiguousarray(unit * array, dtype=dtype)
        for unit, array in zip(units, FAMILIES[name][1](rng), strict=True)
    )
    if name == SUBNORMAL:  # the logits depend on the dtype
        logits[:, 1::2] = np.log(float(info.smallest_normal)) - rng.uniform(0, 12, logits[:, 1::2].shape)
    return logits, grad_output


@cache
def problem(batch: int, dim: int, dtype: str, seed: int) -> tuple[Array, Array]:
    """Return probabilities and a gradient of any shape, read-only; the probabilities are `softmax` of normal logits."""
    rng = np.random.default_rng([seed, batch, dim])
    logits = rng.standard_normal((batch, dim)).astype(dtype)
    return read_only(softmax(logits)), read_only(rng.standard_normal((batch, dim)).astype(dtype))


def _normal(
    rng: Generator, batch: int, dim: int, scale: float = 1, gradient_scale: float = 1, offset: float = 0
) -> Drawn:
    logits = scale * rng.standard_normal((batch, dim))
    return logits, gradient_scale * rng.standard_normal((batch, dim)) + offset


def _digits(rng: Generator) -> Drawn:
    with np.load(DIGITS) as file:
        logits, labels = file["logits"], file["labels"]
    chosen = rng.choice(len(logits), size=24, replace=False)
    return logits[chosen], np.where(np.arange(10) == labels[chosen, np.newaxis], -1.0, 0.0) + rng.random((24, 10))


def _shifted_logits(rng: Generator) -> Drawn:
    logits, grad_output = _normal(rng, 8, 17)
    return logits + np.where(np.arange(8) % 2, 1e4, -1e4)[:, np.newaxis], grad_output


def _constant_gradient(rng: Generator) -> Drawn:
    logits, grad_output = _normal(rng, 8, 17)
    return logits, np.broadcast_to(grad_output[:, :1], logits.shape)


def _dim_2_saturated(rng: Generator) -> Drawn:
    # The first row occurs in bug reports of other libraries. Its exact answer is ±5.55e-17.
    gaps = np.array([37.42994775023705, *rng.uniform(1, 60, 15)])
    return np.stack([gaps, np.zeros(16)], axis=1), np.tile([1.0, 0.0], (16, 1))


def _cross_entropy(rng: Generator) -> Drawn:
    certainty = np.array([5.0, 10.0, 17.0, 20.0, 30.0])
    logits = np.stack([certainty, *np.broadcast_to([[0.0], [-1.0], [-2.0]], (3, 5))], axis=1)
    grad_output = np.zeros_like(logits)
    grad_output[:, 0] = -1 / oracle.softmax(logits).high[:, 0]
    return logits, grad_output


def _one_hot_offset(rng: Generator, batch: int, dim: int) -> Drawn:
    logits, grad_output = _normal(rng, batch, dim, scale=40)
    return logits, np.round(grad_output, 1) + 1e6


def _heavy(rng: Generator, batch: int, dim: int, most: int) -> Drawn:
    """Draw rows in which 2 to `most` classes have equal g and nearly all of the probability; no p exceeds ½.

    Σ p g is nearly equal to this g. If a kernel rounds the sum, the difference of the sum and g may be lost.
    """
    heavy = np.arange(dim) < rng.integers(2, most + 1, size=(batch, 1))
    logits = np.where(heavy, 30.0, rng.uniform(-5, 5, (batch, dim)))
    return logits, np.where(heavy, rng.random((batch, 1)), 0.0)


def _partly_masked(rng: Generator) -> Drawn:
    logits, grad_output = _normal(rng, 8, 19)
    return np.where(rng.random(logits.shape) < 0.5, -np.inf, logits), grad_output


def _fully_masked(rng: Generator) -> Drawn:
    logits, grad_output = _normal(rng, 8, 19)
    logits[3] = -np.inf
    return logits, grad_output


def _non_finite(rng: Generator) -> Drawn:
    logits, grad_output = _normal(rng, 8, 19)
    logits[0, 5] = grad_output[2, 7] = np.nan
    grad_output[4, 0], grad_output[7, 18] = np.inf, -np.inf
    return logits, grad_output


def _opposite(rng: Generator, batch: int, pairs: int) -> Drawn:
    """Draw pairs of classes with equal logits and opposite g.

    The caller multiplies g by the dtype's largest number. Σ p g is 0, so the result does not overflow. But if a kernel
    subtracts a g from another g, the difference overflows.
    """
    logits, size = rng.standard_normal((batch, pairs)), rng.uniform(0.55, 0.95, (batch, pairs))
    order = rng.permutation(2 * pairs)
    return np.tile(logits, 2)[:, order], np.hstack([size, -size])[:, order]


def _uniform(rng: Generator, batch: int, dim: int, largest: float) -> Drawn:
    return rng.standard_normal((batch, dim)), rng.uniform(-largest, largest, (batch, dim))


def _large_logits(rng: Generator) -> Drawn:
    """Draw logits from -0.95 to 0.95 times the dtype's largest number. Two or three classes have the largest logit."""
    logits = rng.uniform(-0.95, 0.9, (8, 6))
    logits[:, 1] = logits[:, 4] = np.where(np.arange(8) % 2, 0.95, logits.max(axis=-1))
    return logits, rng.standard_normal((8, 6))


# Families whose numbers depend on the dtype: the units of the logits and of the gradient, attributes of np.finfo.
UNITS = {
    "opposite gradients near the largest number": ("", "max"),
    "opposite gradients near the largest number, long rows": ("", "max"),
    "gradients up to the largest number": ("", "max"),
    "gradients up to the largest number, long rows": ("", "max"),
    "gradients near the smallest normal number": ("", "smallest_normal"),
    "subnormal gradients": ("", "smallest_subnormal"),
    "logits near the largest number": ("max", ""),
}
FAMILIES: dict[str, tuple[Kind, Draw]] = {
    # The input of `softmax_impls.source`.
    "uniform logits": ("ordinary", lambda rng: (rng.random((10, 5)), rng.standard_normal((10, 5)))),
    "standard normal": ("ordinary", partial(_normal, batch=8, dim=67)),
    "long rows": ("ordinary", partial(_normal, batch=2, dim=1003)),
    "digits, softmax regression": ("ordinary", _digits),
    "logits shifted by ±10,000": ("ordinary", _shifted_logits),
    "gradient offset by 100": ("ordinary", partial(_normal, batch=8, dim=33, offset=100)),
    "constant gradient": ("ordinary", _constant_gradient),
    "tiny gradients": ("ordinary", partial(_normal, batch=1, dim=8, gradient_scale=1e-20)),
    "dim 2, equal probabilities": ("ordinary", lambda rng: (np.zeros((3, 2)), rng.standard_normal((3, 2)))),
    "peaked": ("saturated", partial(_normal, batch=16, dim=10, scale=10)),
    "one-hot": ("saturated", partial(_normal, batch=16, dim=10, scale=40)),
    "dim 2, saturated": ("saturated", _dim_2_saturated),
    "cross-entropy of confident, correct rows": ("saturated", _cross_entropy),
    "one-hot, gradient offset by 1,000,000": ("saturated", partial(_one_hot_offset, batch=16, dim=10)),
    "several heavy classes with equal gradients": ("saturated", partial(_heavy, batch=16, dim=9, most=8)),
    "peaked, long rows": ("saturated", partial(_normal, batch=8, dim=133, scale=10)),
    "one-hot, long rows, gradient offset by 1,000,000": ("saturated", partial(_one_hot_offset, batch=8, dim=70)),
    "several heavy classes with equal gradients, long rows": ("saturated", partial(_heavy, batch=8, dim=70, most=59)),
    "partly masked": ("hostile", _partly_masked),
    "a fully masked row among good ones": ("hostile", _fully_masked),
    "NaN and inf, each in one row": ("hostile", _non_finite),
    SUBNORMAL: ("hostile", partial(_normal, batch=8, dim=12)),  # `_draw` lowers every other logit
    "opposite gradients near the largest number": ("hostile", partial(_opposite, batch=8, pairs=3)),
    "opposite gradients near the largest number, long rows": ("hostile", partial(_opposite, batch=4, pairs=73)),
    "gradients up to the largest number": ("hostile", partial(_uniform, batch=32, dim=13, largest=0.95)),
    "gradients up to the largest number, long rows": ("hostile", partial(_uniform, batch=8, dim=133, largest=0.95)),
    "gradients near the smallest normal number": ("hostile", partial(_uniform, batch=8, dim=11, largest=4)),
    "subnormal gradients": ("hostile", partial(_uniform, batch=8, dim=6, largest=1000)),
    "logits near the largest number": ("hostile", _large_logits),
    "dim 1": ("hostile", partial(_normal, batch=7, dim=1)),
    "batch 0": ("hostile", partial(_normal, batch=0, dim=5)),
    "dim 0": ("hostile", partial(_normal, batch=5, dim=0)),
}
