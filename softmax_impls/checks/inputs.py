"""The inputs that implementations are checked on: ordinary ones, those that cancel, those that break kernels.

Each family is a function of a seeded generator that returns logits and a gradient. The probabilities are the exact
softmax of the logits *after* these are rounded to the dtype, rounded once, so that what is measured is the backward
pass alone.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from softmax_impls.checks import digits, oracle
from softmax_impls.implementation import Array, read_only

Kind = Literal["ordinary", "saturated", "hostile"]
Made = tuple[NDArray[Any], NDArray[Any]]
_MADE: dict[str, tuple[Kind, Callable[[np.random.Generator], Made]]] = {}


@dataclass(frozen=True, eq=False)
class Case:
    """One family in one dtype: (B, D) logits, probabilities and gradient, and the exact answers to both questions."""

    family: str
    kind: Kind
    logits: Array
    probs: Array
    grad_output: Array

    def __str__(self) -> str:
        return f"{self.family} {self.probs.dtype}"

    @functools.cached_property
    def exact_probs(self) -> oracle.Exact:
        """The exact softmax of the logits."""
        return oracle.softmax(self.logits)

    @functools.cached_property
    def given_probs(self) -> oracle.Exact:
        """The exact value for the probabilities as rounded."""
        return oracle.given_probs(self.probs, self.grad_output)

    @functools.cached_property
    def given_logits(self) -> oracle.Exact:
        """The exact gradient with respect to the logits."""
        return oracle.given_logits(self.logits, self.grad_output)

    @functools.cached_property
    def finite(self) -> NDArray[np.bool_]:
        """Which rows, (B,), hold neither NaN nor inf in probabilities or gradient."""
        good: NDArray[np.bool_] = np.isfinite(self.probs) & np.isfinite(self.grad_output)
        return np.asarray(good.all(axis=-1))


def families() -> dict[str, Kind]:
    """Return the names of the families and what kind each one is."""
    return {name: kind for name, (kind, _) in _MADE.items()}


@functools.cache
def cases(dtype: DTypeLike, seed: int = 0) -> tuple[Case, ...]:
    """Return every family in one dtype, float32 or float64; each has its own generator."""
    return tuple(_case(name, np.dtype(dtype), seed) for name in _MADE)


def _case(name: str, dtype: np.dtype[Any], seed: int) -> Case:
    kind, make = _MADE[name]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    logits, grad_output = (np.ascontiguousarray(array, dtype=dtype) for array in make(rng))
    if name == "subnormal probabilities":  # logits low enough for the dtype at hand
        logits[:, 1::2] = np.log(float(np.finfo(dtype).tiny)) - rng.uniform(0, 12, logits[:, 1::2].shape)
    exact = oracle.softmax(logits)
    case = Case(name, kind, read_only(logits), read_only(exact.high.astype(dtype)), read_only(grad_output))
    case.__dict__["exact_probs"] = exact
    return case


def _family(name: str, kind: Kind) -> Callable[[Callable[[np.random.Generator], Made]], None]:
    def add(make: Callable[[np.random.Generator], Made]) -> None:
        _MADE[name] = (kind, make)

    return add


def _normal(rng: np.random.Generator, rows: int, classes: int, scale: float = 1.0) -> Made:
    return scale * rng.standard_normal((rows, classes)), rng.standard_normal((rows, classes))


@_family("uniform, as in the source", "ordinary")
def _(rng: np.random.Generator) -> Made:
    return rng.random((10, 5)), rng.standard_normal((10, 5))


@_family("standard normal", "ordinary")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 8, 67)


@_family("a thousand classes", "ordinary")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 2, 1003)


@_family("digits, softmax regression", "ordinary")
def _(rng: np.random.Generator) -> Made:
    logits, labels = digits.load()
    chosen = rng.choice(len(logits), size=24, replace=False)
    return logits[chosen], np.where(np.arange(10) == labels[chosen, np.newaxis], -1.0, 0.0) + rng.random((24, 10))


@_family("logits shifted by ±10,000", "ordinary")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 8, 17)
    return logits + np.where(np.arange(8) % 2, 1e4, -1e4)[:, np.newaxis], grad_output


@_family("gradient offset by 100", "ordinary")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 8, 33)
    return logits, grad_output + 100


@_family("constant gradient", "ordinary")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 8, 17)
    return logits, np.broadcast_to(grad_output[:, :1], logits.shape)


@_family("peaked", "saturated")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 16, 10, scale=10)


@_family("one-hot", "saturated")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 16, 10, scale=40)


@_family("two classes, one certain", "saturated")
def _(rng: np.random.Generator) -> Made:
    # The first row is the example of open reports against other libraries: the answer there is ±5.55e-17.
    gaps = np.array([37.42994775023705, *rng.uniform(1, 60, 15)])
    return np.stack([gaps, np.zeros(16)], axis=1), np.tile([1.0, 0.0], (16, 1))


@_family("cross-entropy of confident, correct rows", "saturated")
def _(rng: np.random.Generator) -> Made:
    certainty = np.array([5.0, 10.0, 17.0, 20.0, 30.0])
    logits = np.stack([certainty, *np.broadcast_to([[0.0], [-1.0], [-2.0]], (3, 5))], axis=1)
    grad_output = np.zeros_like(logits)
    grad_output[:, 0] = -1 / oracle.softmax(logits).high[:, 0]
    return logits, grad_output


@_family("one-hot, gradient offset by 1,000,000", "saturated")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 16, 10, scale=40)
    return logits, np.round(grad_output, 1) + 1e6


@_family("several heavy classes with equal gradients", "saturated")
def _(rng: np.random.Generator) -> Made:
    heavy = rng.integers(2, 9, size=(16, 1))  # none has p > ½, and the rounded mean of their g is not their g
    logits = np.where(np.arange(9) < heavy, 30.0, rng.uniform(-5, 5, (16, 9)))
    return logits, np.where(np.arange(9) < heavy, rng.random((16, 1)), 0.0)


@_family("peaked, long rows", "saturated")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 8, 133, scale=10)


@_family("one-hot, long rows, gradient offset by 1,000,000", "saturated")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 8, 70, scale=40)
    return logits, np.round(grad_output, 1) + 1e6


@_family("several heavy classes of a long row with equal gradients", "saturated")
def _(rng: np.random.Generator) -> Made:
    heavy = rng.integers(2, 60, size=(8, 1))
    logits = np.where(np.arange(70) < heavy, 30.0, rng.uniform(-5, 5, (8, 70)))
    return logits, np.where(np.arange(70) < heavy, rng.random((8, 1)), 0.0)


@_family("tiny gradients", "ordinary")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 1, 8)
    return logits, 1e-20 * grad_output


@_family("two classes, even", "ordinary")
def _(rng: np.random.Generator) -> Made:
    return np.zeros((3, 2)), rng.standard_normal((3, 2))


@_family("partly masked", "hostile")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 8, 19)
    return np.where(rng.random(logits.shape) < 0.5, -np.inf, logits), grad_output


@_family("a fully masked row among good ones", "hostile")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 8, 19)
    logits[3] = -np.inf
    return logits, grad_output


@_family("NaN and inf, each in one row", "hostile")
def _(rng: np.random.Generator) -> Made:
    logits, grad_output = _normal(rng, 8, 19)
    logits[0, 5] = np.nan
    grad_output[2, 7] = np.nan
    grad_output[4, 0] = np.inf
    grad_output[7, 18] = -np.inf
    return logits, grad_output


@_family("subnormal probabilities", "hostile")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 8, 12)  # every other logit is lowered in `_case`, as far as the dtype asks for


@_family("one class", "hostile")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 7, 1)


@_family("no rows", "hostile")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 0, 5)


@_family("no classes", "hostile")
def _(rng: np.random.Generator) -> Made:
    return _normal(rng, 5, 0)
