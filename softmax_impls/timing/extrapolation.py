"""Predict the time of a call from smaller calls, before it is started.

The column loop on 512×50257 would take an hour. So a kernel is first called on probes, which are parts of the cell's
arrays: one row of small dim, then alternately a larger dim and a larger batch. Probing stops before a probe that might
take longer than allowed. The time of the whole call is extrapolated.
"""

import itertools
import math
import time
import timeit
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import optimize

from softmax_impls.implementation import Array, Implementation, invoke

FIRST_DIM = 16  # of the first probe, a single row
STEP = 4  # factor between two probe sizes
LARGEST_PROBE = 4  # a further probe is made only if the whole arrays are more than so many times as large

Probe = tuple[int, int, float]  # a call on part of the arrays: batch, dim, seconds


class Prediction(NamedTuple):
    """The predicted time of a call."""

    seconds: float
    at_least: float  # seconds, if the time grows with B·D from the last probe on
    fits: bool  # whether the call and its probes fit the time that is allowed


UNKNOWN = Prediction(math.inf, 0.0, fits=True)


def predict(
    implementation: Implementation, probs: Array, grad_output: Array, allowance: float, copying: float = 0.0
) -> Prediction:
    """Predict the time of one call on these arrays, (B, D) each; it and its probes may take `allowance` seconds.

    `copying` are the seconds that the call takes to copy rows. The time between probes does not count: another process
    may have the processor then.
    """
    batch, dim = probs.shape
    spent, probes = 0.0, list[Probe]()
    for b, d in probe_sizes(batch, dim):
        if probes:
            whole, last = _extrapolate(probes, batch, dim), probes[-1]
            if spent + _grown(last, batch, dim, power=2) <= allowance:  # even a Jacobian fits
                break
            # A probe may be long if even the whole call is allowed.
            if spent + 2 * _grown(last, b, d, power=2) > allowance and spent + whole > allowance:
                break
            if whole > 8 * allowance and spent > allowance / 8:  # a better prediction would not change the decision
                break
        *inputs, out = (array[:b, :d].copy() for array in (probs, grad_output, probs))
        call = partial(invoke, implementation.kernel, *inputs, out=out)
        seconds = min(timeit.repeat(call, timer=time.perf_counter, number=1, repeat=2))  # a call may be disturbed
        probes.append((b, d, seconds))
        spent += 2 * seconds
    seconds = _extrapolate(probes, batch, dim)
    return Prediction(copying + seconds, copying + _grown(probes[-1], batch, dim), spent + seconds <= allowance)


def probe_sizes(batch: int, dim: int) -> Iterator[tuple[int, int]]:
    """Yield (batch, dim) of the probes: from one short row to less than the whole; a tiny whole has a single probe."""
    b, d = 1, min(FIRST_DIM, dim)
    yield b, d
    for batch_factor, dim_factor in itertools.cycle(((1, STEP), (STEP, 1))):
        if LARGEST_PROBE * STEP * b * d >= batch * dim or (STEP * b > batch and STEP * d > dim):
            return
        if batch_factor * b <= batch and dim_factor * d <= dim:
            b, d = batch_factor * b, dim_factor * d
            yield b, d


def _extrapolate(probes: list[Probe], batch: int, dim: int) -> float:
    """Fit the time to 1, B, D, B·D and B·D² with non-negative coefficients, and return it for the whole arrays.

    With fewer than three probes, or without a fit, the time grows with B·D.
    """
    if len(probes) < 3:
        return _grown(probes[-1], batch, dim)
    terms = np.array([[1, b, d, b * d, b * d**2] for b, d, _ in [*probes, (batch, dim, 0.0)]], float)
    terms /= terms[-1]  # the fit ignores coefficients that are much smaller than others
    seconds = np.array([probe[-1] for probe in probes])
    weights = 1 / (seconds + 1e-6)  # for relative errors; but two equal calls may differ by a microsecond
    try:
        coefficients, _ = optimize.nnls(terms[:-1] * weights[:, None], seconds * weights)
        if (terms[:-1, -1] * coefficients[-1] < 0.1 * seconds).all():  # from noise, B·D² would predict hours
            coefficients, _ = optimize.nnls(terms[:-1, :-1] * weights[:, None], seconds * weights)
    except RuntimeError:  # nnls did not converge
        return _grown(probes[-1], batch, dim)
    return float(coefficients.sum())


def _grown(probe: Probe, batch: int, dim: int, power: int = 1) -> float:
    """Return the seconds of a larger call if the time grows with B·D**power; the power of a Jacobian is 2."""
    b, d, seconds = probe
    return seconds * (batch / b) * (dim / d) ** power
