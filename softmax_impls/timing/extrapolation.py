"""Predict the time of a call from smaller calls, before it is started.

The column loop on 512×50257 would take an hour. So a kernel is first called on probes, which are cut from the arrays of
the cell: one row of small dim, then alternately a larger dim and a larger batch, so that the times show what grows with
which. Probing stops before a probe that might take longer than allowed. The time of the whole call is extrapolated.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from softmax_impls.implementation import Array, Implementation, invoke
from softmax_impls.timing.policy import DEFAULT, SamplingPolicy


@dataclass(frozen=True)
class Probe:
    """A call on part of the arrays, and its time in seconds."""

    batch: int
    dim: int
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """The predicted time of a call in seconds, and whether it is short enough to be started."""

    seconds: float
    allowed: bool


def predict(
    implementation: Implementation,
    probs: Array,
    grad_output: Array,
    out: Array,
    allowance: float,
    policy: SamplingPolicy = DEFAULT,
) -> Prediction:
    """Predict the time of one call on these arrays, (B, D) each, without writing to them.

    The call is allowed if it takes, together with its probes, at most `allowance` seconds. The time of the probes is
    the sum of their calls, not what the clock says: another process may have had the processor in between.
    """
    if not probs.size:
        return Prediction(0.0, allowed=True)
    batch, dim = probs.shape
    spent = 0.0
    probes: list[Probe] = []
    for b, d in probe_sizes(batch, dim, policy):
        if probes:
            whole = _extrapolate(probes, batch, dim, policy)
            too_long = spent + policy.probe_calls * _upper_bound(probes[-1], b, d, policy) > allowance
            if too_long and spent + whole > allowance:  # a probe may be long if even the whole call is allowed
                break
            if whole > policy.probe_give_up * allowance and spent > allowance / policy.probe_give_up:
                break
        inputs = (array[:b, :d].copy() for array in (probs, grad_output, out))
        probes.append(Probe(b, d, _time(implementation, *inputs, calls=policy.probe_calls)))
        spent += policy.probe_calls * probes[-1].seconds
    seconds = _extrapolate(probes, batch, dim, policy)
    return Prediction(seconds, allowed=spent + seconds <= allowance)


def probe_sizes(batch: int, dim: int, policy: SamplingPolicy = DEFAULT) -> Iterator[tuple[int, int]]:
    """Yield (batch, dim) of the probes: from one short row to less than the whole; a tiny whole has a single probe."""
    step = policy.probe_step
    b, d = 1, min(policy.probe_dim, dim)
    yield b, d
    factors = itertools.cycle(((1, step), (step, 1)))
    while step * b * d < batch * dim and (step * b <= batch or step * d <= dim):
        batch_factor, dim_factor = next(factors)
        if batch_factor * b <= batch and dim_factor * d <= dim:
            b, d = batch_factor * b, dim_factor * d
            yield b, d


def _upper_bound(probe: Probe, batch: int, dim: int, policy: SamplingPolicy) -> float:
    return probe.seconds * (batch / probe.batch) * math.pow(dim / probe.dim, policy.max_exponent)


def _time(implementation: Implementation, probs: Array, grad_output: Array, out: Array, *, calls: int) -> float:
    best = math.inf
    for _ in range(calls):
        start = time.perf_counter()
        invoke(implementation.kernel, probs, grad_output, out=out)
        best = min(best, time.perf_counter() - start)
    return best


def _extrapolate(probes: list[Probe], batch: int, dim: int, policy: SamplingPolicy) -> float:
    """Fit the time to 1, B, D, B·D and B·D² with non-negative coefficients, and return it for the whole arrays.

    B·D² counts only if it was seen in the probes. With too few probes, or if no fit is found, time grows with B·D.
    """
    last = probes[-1]
    proportional = last.seconds * (batch / last.batch) * (dim / last.dim)
    if len(probes) < policy.min_probes:
        return proportional
    sizes = [(probe.batch, probe.dim) for probe in probes] + [(batch, dim)]
    terms = np.array([[1, b, d, b * d, b * d**2] for b, d in sizes], float)
    terms /= terms[-1]  # the fit ignores coefficients that are much smaller than others
    seconds = np.array([probe.seconds for probe in probes])
    weights = 1 / (seconds + policy.probe_noise)  # relative errors count alike, except for the shortest calls
    try:
        coefficients, _ = optimize.nnls(terms[:-1] * weights[:, None], seconds * weights)
        if (terms[:-1, -1] * coefficients[-1] < policy.min_quadratic * seconds).all():
            coefficients, _ = optimize.nnls(terms[:-1, :-1] * weights[:, None], seconds * weights)
    except RuntimeError:  # nnls did not converge
        return proportional
    return float(coefficients.sum())
