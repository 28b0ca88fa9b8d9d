"""Predict the time of a call from smaller calls, before it is started.

The column loop on 512×50257 would take 20 minutes or more. So a kernel is first called on probes, which are parts of
the cell's arrays: one row of small dim, then alternately a larger dim and a larger batch. Probing stops before a probe
that might take longer than allowed. The time of the whole call is extrapolated.
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

from softmax_impls.implementation import QUADRATIC, Array, Implementation, invoke

FIRST_DIM = 16  # of the first probe, a single row
STEP = 4  # factor by which dim or batch grows between two probes
LARGEST_PROBE = 4  # the whole arrays are more than this many times as large as any probe after the first

Probe = tuple[int, int, float]  # a call on part of the arrays: batch, dim, seconds


class Prediction(NamedTuple):
    """The predicted time of a call."""

    seconds: float
    at_least: float  # a low estimate in seconds: from the last probe on, the time grows with B·D
    fits: bool  # whether the call and its probes fit the time that is allowed


UNKNOWN = Prediction(math.inf, 0.0, fits=True)


def predict(
    implementation: Implementation, probs: Array, grad_output: Array, allowance: float, copying: float = 0.0
) -> Prediction:
    """Predict the time of one call on these arrays, (B, D) each, from probes: calls on smaller arrays.

    The call and its probes may take `allowance` seconds. The time between probes is not counted, because another
    process may use the processor then. To copy rows takes the call `copying` seconds, which are added to the
    prediction.
    """
    batch, dim = probs.shape
    is_quadratic = implementation.family in QUADRATIC
    spent, probes = 0.0, list[Probe]()
    for b, d in probe_sizes(batch, dim):
        if probes:
            whole, last = _extrapolate(probes, batch, dim, is_quadratic), probes[-1]
            if spent + _grown(last, batch, dim, power=2) <= allowance:  # the call fits even if its time grows with B·D²
                break
            # Make a probe that may take too long only if the whole call is expected to fit.
            if spent + 2 * _grown(last, b, d, power=2) > allowance and spent + whole > allowance:
                break
            if whole > 8 * allowance and spent > allowance / 8:  # a better prediction would not change the decision
                break
        *inputs, out = (array[:b, :d].copy() for array in (probs, grad_output, probs))
        call = partial(invoke, implementation.kernel, *inputs, out=out)
        seconds = min(timeit.repeat(call, timer=time.perf_counter, number=1, repeat=2))  # one may be slow
        probes.append((b, d, seconds))
        spent += 2 * seconds
    seconds = _extrapolate(probes, batch, dim, is_quadratic)
    return Prediction(copying + seconds, copying + _grown(probes[-1], batch, dim), spent + seconds <= allowance)


def probe_sizes(batch: int, dim: int) -> Iterator[tuple[int, int]]:
    """Yield (batch, dim) of the probes: one short row, then larger parts of the arrays; tiny arrays have one probe."""
    b, d = 1, min(FIRST_DIM, dim)
    yield b, d
    for batch_factor, dim_factor in itertools.cycle(((1, STEP), (STEP, 1))):
        if LARGEST_PROBE * STEP * b * d >= batch * dim or (STEP * b > batch and STEP * d > dim):
            return
        if batch_factor * b <= batch and dim_factor * d <= dim:
            b, d = batch_factor * b, dim_factor * d
            yield b, d


def _extrapolate(probes: list[Probe], batch: int, dim: int, is_quadratic: bool) -> float:
    """Return the predicted seconds of a call on the whole arrays, from a fit to the times of the probes.

    The terms are 1, B, D, B·D and B·D², with non-negative coefficients. With fewer than three probes, or if the fit
    fails, the time is assumed to grow with B·D. Unless the algorithm `is_quadratic`, a small term B·D² is left out.
    """
    if len(probes) < 3:
        return _grown(probes[-1], batch, dim)
    terms = np.array([[1, b, d, b * d, b * d**2] for b, d, _ in [*probes, (batch, dim, 0.0)]], float)
    terms /= terms[-1]  # scaled, because the fit ignores coefficients that are much smaller than others
    seconds = np.array([probe[-1] for probe in probes])
    weights = 1 / (seconds + 1e-6)  # of relative errors; 1e-6: two equal calls may differ by a microsecond
    try:
        coefficients, _ = optimize.nnls(terms[:-1] * weights[:, None], seconds * weights)
        # A small term B·D² is noise, and would predict hours. In a loop, the overhead hides it at the dims of probes.
        if not is_quadratic and (terms[:-1, -1] * coefficients[-1] < 0.1 * seconds).all():
            coefficients, _ = optimize.nnls(terms[:-1, :-1] * weights[:, None], seconds * weights)
    except RuntimeError:  # nnls did not converge
        return _grown(probes[-1], batch, dim)
    return float(coefficients.sum())


def _grown(probe: Probe, batch: int, dim: int, power: int = 1) -> float:
    """Return the seconds of `probe`, multiplied by the ratio of B·D**power at (batch, dim) to that of the probe.

    A `power` of 2 allows for kernels that take B·D² steps: for example, a kernel that computes each row's Jacobian.
    """
    b, d, seconds = probe
    return seconds * (batch / b) * (dim / d) ** power
