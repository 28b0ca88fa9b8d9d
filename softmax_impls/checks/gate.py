"""The gate: what an implementation has to pass before anything else is said of it.

Each check is a small function that yields what it found wrong. `judge` runs them all on every input family in both
dtypes. Implementations are run as the contract says and never more gently: `out` is full of garbage, inputs are
watched, and read-only for a user's kernel.
"""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from softmax_impls import api
from softmax_impls.checks import bounds, gradients, inputs, reference
from softmax_impls.checks.inputs import Case
from softmax_impls.checks.reference import row_sums
from softmax_impls.checks.verdict import Failure, Verdict, beyond, raised
from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import INPUTS, Array, Implementation, invoke, read_only

DTYPES = ("float32", "float64")
# Shapes at which kernels take other turns: one row or class, whole vectors and remainders, square, many, long, large.
SHAPES = ((1, 1), (1, 10), (1, 1000), (2, 3), (3, 2), (16, 16), (9, 32), (33, 64), (70, 128), (5000, 3), (2, 4099))
MEMORY_SHAPE = (256, 128)
MEMORY_SLACK = 8 * np.getbufsize() + 8192  # bytes: one of NumPy's own buffers, and Python's small objects

Outputs = dict[Case, Array]


@np.errstate(all="ignore")  # NaN, inf and underflow are what is looked for, not news
def judge(
    implementations: Mapping[str, Implementation], seed: int = 0, dtypes: Iterable[str] = DTYPES
) -> dict[str, Verdict]:
    """Check implementations, each on its own and every two against each other; returns their verdicts by name."""
    verdicts, outputs = {}, {}
    for name, one in implementations.items():
        verdicts[name], outputs[name] = _alone(one, seed, dtypes)
    sound = [name for name in verdicts if verdicts[name].right]
    for name, verdict in verdicts.items():
        for rival in sound:
            if rival != name:
                verdict.failures += _pair(
                    outputs[name],
                    outputs[rival],
                    rival,
                    implementations[name].flush_to_zero or implementations[rival].flush_to_zero,
                )
    return verdicts


@np.errstate(all="ignore")
def judge_softmax(function: Callable[[Array], Array] = api.softmax, seed: int = 0) -> Verdict:
    """Check a forward pass, which maps logits (B, D) to probabilities, against the exact softmax."""
    verdict = Verdict("softmax", "logits")
    for dtype in DTYPES:
        for case in inputs.cases(dtype, seed):
            try:
                found = function(case.logits)
            except KERNEL_ERRORS as error:
                verdict.failures.append(raised(case, error))
                continue
            off = case.exact_probs.error_of(found)
            bound = bounds.forward(case.logits, case.exact_probs.high) if found.size else np.ones(found.shape)
            good = np.isfinite(case.exact_probs.high)
            verdict.failures += beyond("forward", case, off[good], bound[good])
            if np.isfinite(found[~good]).any():
                verdict.failures.append(Failure("non-finite", str(case), "a row without a softmax has finite elements"))
            verdict.note_error(case, "probabilities", off, case.exact_probs.high)
    return verdict


def _alone(one: Implementation, seed: int, dtypes: Iterable[str]) -> tuple[Verdict, Outputs]:
    verdict, outputs = Verdict(one.name, one.accurate_for), {}
    for dtype in dtypes:
        for case in inputs.cases(dtype, seed):
            try:
                if 0 in case.probs.shape:
                    verdict.failures += _empty(one, case)
                else:
                    outputs[case] = run(one, case.probs, case.grad_output)
                    verdict.failures += _one_case(one, case, outputs[case])
                    verdict.note_error(case, case.kind, *logits_error(case, outputs[case]))
            except KERNEL_ERRORS as error:
                verdict.failures.append(raised(case, error))
    if not verdict.failed("runs"):
        for dtype in dtypes:
            verdict.failures += _guarded(_shapes, one, dtype, seed)
            verdict.failures += _guarded(_memory, one, dtype)
        verdict.failures += _numeric(outputs, seed)
    return verdict, outputs


def _guarded(check: Callable[..., Iterable[Failure]], *arguments: Any) -> list[Failure]:
    """Run a check; what the kernel raises in it is a failure of its own."""
    try:
        return list(check(*arguments))
    except KERNEL_ERRORS as error:
        return [Failure("runs", check.__name__.strip("_"), f"raised {one_line(error)}")]


def run(one: Implementation, probs: Array, grad_output: Array, fill: float = np.nan) -> Array:
    """Return what an implementation makes of a case, in an `out` that was full of something else."""
    out = np.full_like(probs, fill)
    invoke(one.kernel, *_handed(one, probs, grad_output), out=out)
    return out


def _handed(one: Implementation, *arrays: Array) -> list[Array]:
    """Return inputs as `softmax_backward` hands them over: read-only to a user's kernel, as they come to others.

    Cases are read-only, for which Numba compiles everything once more: 7 of 18 s, where nothing is in its cache.
    """
    return [array if one.family == "user" else array.copy() for array in arrays]


def _one_case(one: Implementation, case: Case, out: Array) -> Iterator[Failure]:
    yield from _value(one, case, out)
    if one.accurate_for == "logits":
        yield from _logits(case, out)
    yield from _non_finite(case, out)
    yield from _inputs_and_out(one, case, out)
    yield from _in_place(one, case)


def _value(one: Implementation, case: Case, out: Array) -> Iterator[Failure]:
    """Right about p (g - Σ p g) for the p and g that came in."""
    good = case.finite
    yield from beyond("value", case, case.given_probs.error_of(out)[good], _value_bound(case, one.flush_to_zero)[good])


def _logits(case: Case, out: Array) -> Iterator[Failure]:
    """Right about the true gradient with respect to the logits, for those that promise it."""
    good = case.finite
    bound = bounds.given_logits(case.exact_probs.high, case.grad_output)
    yield from beyond("logits", case, case.given_logits.error_of(out)[good], bound[good])


def _non_finite(case: Case, out: Array) -> Iterator[Failure]:
    """A row with NaN or inf has no gradient, and none of its elements may look like one. Others: see the value."""
    if np.isfinite(out[~case.finite]).any():
        yield Failure("non-finite", str(case), "a row with NaN or inf came out with finite elements")


def _inputs_and_out(one: Implementation, case: Case, out: Array) -> Iterator[Failure]:
    """The inputs stay as they were; the result depends on nothing that was in `out`."""
    probs, grad_output = case.probs.copy(), case.grad_output.copy()
    again = run(one, probs, grad_output, fill=7)
    for name, now, before in (("probs", probs, case.probs), ("grad_output", grad_output, case.grad_output)):
        if now.tobytes() != before.tobytes():
            yield Failure("inputs", str(case), f"{name} was modified")
    if not np.array_equal(again, out, equal_nan=True):
        yield Failure("written", str(case), "the result depends on what was in out, or was not written whole")


def _in_place(one: Implementation, case: Case) -> Iterator[Failure]:
    """What the record says may be `out` itself really may."""
    for name in one.in_place:
        given = dict(zip(INPUTS, _handed(one, case.probs, case.grad_output), strict=True))
        out = given[name] = given[name].copy()
        invoke(one.kernel, given["probs"], given["grad_output"], out=out)
        good = case.finite
        yield from beyond(
            "in place", case, case.given_probs.error_of(out)[good], _value_bound(case, one.flush_to_zero)[good]
        )
        if np.isfinite(out[~good]).any():
            yield Failure("in place", str(case), "a row with NaN or inf came out with finite elements")


def _empty(one: Implementation, case: Case) -> Iterator[Failure]:
    result = api.softmax_backward(case.probs, case.grad_output, impl=one)
    if result.shape != case.probs.shape or result.dtype != case.probs.dtype:
        yield Failure("empty", str(case), f"shape {result.shape}, dtype {result.dtype}")


def _numeric(outputs: Outputs, seed: int) -> Iterator[Failure]:
    """Within truncation and rounding of numeric gradients."""
    for case, method, gradient, bound in gradients.gradients(seed):
        if case not in outputs:  # float64 was not asked for
            continue
        yield from beyond("numeric", f"{case}, {method}", np.abs(outputs[case] - gradient), bound)


def _shapes(one: Implementation, dtype: str, seed: int) -> Iterator[Failure]:
    """Right about the value at sizes beyond the families', and the same again from another call."""
    for shape in SHAPES:
        probs, grad_output = _problem(shape, dtype, seed)
        if one.too_large(*shape, probs.dtype):
            continue
        sums = row_sums(probs, grad_output)
        for attempt in ("", ", called again"):
            worst = reference.worst(probs, grad_output, run(one, probs, grad_output), sums, one.flush_to_zero)
            if worst.wrong:
                yield Failure("shapes", f"{shape[0]}×{shape[1]} {dtype}{attempt}", worst.in_words())


@functools.cache
def _problem(shape: tuple[int, int], dtype: str, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng([seed, *shape])
    logits = rng.standard_normal(shape).astype(dtype)
    return read_only(api.softmax(logits)), read_only(rng.standard_normal(shape).astype(dtype))


def _memory(one: Implementation, dtype: str) -> Iterator[Failure]:
    """The record's prediction, which decides what is not started, covers what a call really takes."""
    if one.temporaries is None:
        return
    probs = np.full(MEMORY_SHAPE, 1 / MEMORY_SHAPE[1], dtype)
    out = np.empty_like(probs)
    one.kernel(probs, probs, out)  # what is made once and kept does not count
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    one.kernel(probs, probs, out)
    taken = tracemalloc.get_traced_memory()[1] - before
    if not tracing:
        tracemalloc.stop()
    predicted = one.temporary_bytes(*MEMORY_SHAPE, probs.dtype)
    if taken > predicted + MEMORY_SLACK:
        seen = f"took {taken} bytes where its record predicts {predicted}"
        yield Failure("memory", f"shape {MEMORY_SHAPE} {dtype}", seen)


def _pair(ours: Outputs, theirs: Outputs, rival: str, flush_to_zero: bool) -> Iterator[Failure]:
    """Two implementations agree to within the sum of their bounds."""
    for case in ours.keys() & theirs.keys():
        good = case.finite
        difference = np.abs(ours[case][good].astype(np.float64) - theirs[case][good])
        yield from beyond("pairs", f"{case}, against {rival}", difference, 2 * _value_bound(case, flush_to_zero)[good])


def _value_bound(case: Case, flush_to_zero: bool) -> bounds.Floats:
    sums = row_sums(case.probs, case.grad_output)
    return bounds.given_probs(case.probs, sums.largest, sums.total, sums.defect, flush_to_zero)


def logits_error(case: Case, out: Array) -> tuple[bounds.Floats, bounds.Floats]:
    """Return the error against the true gradient with respect to the logits, and that gradient."""
    truth = np.where(case.finite[:, np.newaxis], case.given_logits.high, np.nan)
    return case.given_logits.error_of(out), truth
