"""The gate: the checks that an implementation must pass before it is timed or recommended.

Each check is a small function that yields failures. `judge` runs every check on every family of inputs in both dtypes.
Kernels are called in the least favourable way that the contract allows: `out` is full of NaN, and the inputs are
read-only for a user's kernel.
"""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from softmax_impls import api
from softmax_impls.checks import bounds, gradients, inputs, reference
from softmax_impls.checks.bounds import Floats
from softmax_impls.checks.inputs import Case
from softmax_impls.checks.verdict import Check, Failure, Verdict, bound_failures, exception_failure
from softmax_impls.formatting import KERNEL_ERRORS
from softmax_impls.implementation import INPUTS, Array, Implementation, invoke

DTYPES = ("float32", "float64")
MEMORY_SHAPE = (256, 128)
MEMORY_SLACK = 8 * np.getbufsize() + 8192  # bytes: a buffer of NumPy's own, and small Python objects

Outputs = dict[Case, Array]


@np.errstate(all="ignore")  # NaN, inf and underflow are expected
def judge(
    implementations: Mapping[str, Implementation], seed: int = 0, dtypes: Iterable[str] = DTYPES
) -> dict[str, Verdict]:
    """Check implementations: each alone, then each against every other that passed.

    Parameters
    ----------
    implementations : mapping of str to Implementation
        The implementations, by name.
    seed : int, optional
        The seed of the inputs.
    dtypes : iterable of {"float32", "float64"}, optional
        The dtypes to check, by default both.

    Returns
    -------
    dict of str to Verdict
        The verdicts, by name.
    """
    dtypes = tuple(dtypes)
    verdicts, outputs = {}, {}
    for name, implementation in implementations.items():
        verdicts[name], outputs[name] = _judge_alone(implementation, seed, dtypes)
    passed = [name for name in verdicts if verdicts[name].right]
    for name, verdict in verdicts.items():
        for other in passed:
            if other != name:
                flush_to_zero = implementations[name].flush_to_zero or implementations[other].flush_to_zero
                verdict.failures += _pairs(outputs[name], outputs[other], other, flush_to_zero)
    return verdicts


@np.errstate(all="ignore")
def judge_softmax(function: Callable[[Array], Array] = api.softmax, seed: int = 0) -> Verdict:
    """Check a forward pass, which maps logits (B, D) to probabilities, against the exact softmax."""
    verdict = Verdict("softmax", "logits")
    for dtype in DTYPES:
        for case in inputs.cases(dtype, seed):
            try:
                probs = function(case.logits)
            except KERNEL_ERRORS as error:
                verdict.failures.append(exception_failure(case, error))
                continue
            error_of_probs = case.exact_probs.error_of(probs)
            bound = bounds.forward(case.logits, case.exact_probs.high) if probs.size else np.ones(probs.shape)
            exists = np.isfinite(case.exact_probs.high)
            verdict.failures += bound_failures("forward", case, error_of_probs[exists], bound[exists])
            if np.isfinite(probs[~exists]).any():
                seen = "a row that has no softmax contains finite results"
                verdict.failures.append(Failure("non-finite", str(case), seen))
            verdict.note_error(case, "probabilities", error_of_probs, case.exact_probs.high)
    return verdict


def _as_passed(implementation: Implementation, *arrays: Array) -> list[Array]:
    """Return inputs as `softmax_backward` passes them: read-only to a user's kernel, writeable to other kernels.

    The arrays of cases are read-only. Numba compiles a kernel again for read-only arrays, which takes 7 of 18 s where
    its cache is empty.
    """
    return [array if implementation.family == "user" else array.copy() for array in arrays]


def _judge_alone(implementation: Implementation, seed: int, dtypes: Iterable[str]) -> tuple[Verdict, Outputs]:
    verdict, outputs = Verdict(implementation.name, implementation.accurate_for), {}
    for dtype in dtypes:
        for case in inputs.cases(dtype, seed):
            if case.probs.size:  # kernels receive no empty arrays
                try:
                    outputs[case] = _run(implementation, case.probs, case.grad_output)
                    verdict.failures += _check_case(implementation, case, outputs[case])
                    verdict.note_error(case, case.kind, *_logits_error(case, outputs[case]))
                except KERNEL_ERRORS as error:
                    verdict.failures.append(exception_failure(case, error))
    if not verdict.failed("runs"):
        for dtype in dtypes:
            verdict.failures += _caught("shapes", _shapes, implementation, dtype, seed)
            verdict.failures += _caught("memory", _memory, implementation, dtype)
        verdict.failures += _numeric(outputs, seed)
    return verdict, outputs


def _caught(where: str, check: Callable[..., Iterable[Failure]], *arguments: Any) -> list[Failure]:
    """Return the failures of a check. An exception of the kernel is a failure, too."""
    try:
        return list(check(*arguments))
    except KERNEL_ERRORS as error:
        return [exception_failure(where, error)]


def _run(implementation: Implementation, probs: Array, grad_output: Array, fill: float = np.nan) -> Array:
    """Return the result of a kernel, in a new `out` that was full of `fill`."""
    out = np.full_like(probs, fill)
    invoke(implementation.kernel, *_as_passed(implementation, probs, grad_output), out=out)
    return out


def _check_case(implementation: Implementation, case: Case, out: Array) -> Iterator[Failure]:
    yield from _value("value", implementation, case, out)
    if implementation.accurate_for == "logits":
        yield from _logits(case, out)
    yield from _non_finite("non-finite", case, out)
    yield from _inputs_and_out(implementation, case, out)
    yield from _in_place(implementation, case)


def _logits_error(case: Case, out: Array) -> tuple[Floats, Floats]:
    """Return the error against the gradient with respect to the logits, and that gradient, (B, D) each."""
    truth = np.where(case.finite[:, np.newaxis], case.given_logits.high, np.nan)
    return case.given_logits.error_of(out), truth


def _value(check: Check, implementation: Implementation, case: Case, out: Array) -> Iterator[Failure]:
    """Compare with p (g - Σ p g) for the p and g of the case."""
    finite = case.finite
    bound = _value_bound(case, implementation.flush_to_zero)
    yield from bound_failures(check, case, case.given_probs.error_of(out)[finite], bound[finite])


def _value_bound(case: Case, flush_to_zero: bool) -> Floats:
    return reference.row_sums(case.probs, case.grad_output).bound(case.probs, flush_to_zero)


def _logits(case: Case, out: Array) -> Iterator[Failure]:
    """Compare with the gradient with respect to the logits."""
    finite = case.finite
    bound = bounds.given_logits(case.exact_probs.high, case.grad_output)
    yield from bound_failures("logits", case, case.given_logits.error_of(out)[finite], bound[finite])


def _non_finite(check: Check, case: Case, out: Array) -> Iterator[Failure]:
    """Require NaN or inf throughout the rows that contain NaN or inf; `_value` checks the other rows."""
    if np.isfinite(out[~case.finite]).any():
        yield Failure(check, str(case), "a row with NaN or inf has finite results")


def _inputs_and_out(implementation: Implementation, case: Case, out: Array) -> Iterator[Failure]:
    """Require that the inputs are not modified, and that the result does not depend on the contents of `out`."""
    probs, grad_output = case.probs.copy(), case.grad_output.copy()
    repeated = _run(implementation, probs, grad_output, fill=7)
    for name, after, before in (("probs", probs, case.probs), ("grad_output", grad_output, case.grad_output)):
        if after.tobytes() != before.tobytes():
            yield Failure("inputs", str(case), f"{name} was modified")
    if not np.array_equal(repeated, out, equal_nan=True):
        yield Failure("written", str(case), "the result depends on the contents of out, or is not written completely")


def _in_place(implementation: Implementation, case: Case) -> Iterator[Failure]:
    """Check the results where `out` is an input that the record allows."""
    for name in implementation.in_place:
        arrays = dict(zip(INPUTS, _as_passed(implementation, case.probs, case.grad_output), strict=True))
        out = arrays[name] = arrays[name].copy()
        invoke(implementation.kernel, arrays["probs"], arrays["grad_output"], out=out)
        yield from _value("in place", implementation, case, out)
        yield from _non_finite("in place", case, out)


def _numeric(outputs: Outputs, seed: int) -> Iterator[Failure]:
    """Compare with numeric gradients, as far as float64 was checked."""
    for case, method, gradient, bound in gradients.gradients(seed):
        if case in outputs:
            yield from bound_failures("numeric", f"{case}, {method}", np.abs(outputs[case] - gradient), bound)


def _shapes(implementation: Implementation, dtype: str, seed: int) -> Iterator[Failure]:
    """Compare with p (g - Σ p g) at the shapes of `inputs.SHAPES`, in two calls each."""
    for batch, dim in inputs.SHAPES:
        probs, grad_output = inputs.problem(batch, dim, dtype, seed)
        if implementation.too_large(batch, dim, probs.dtype):
            continue
        sums = reference.row_sums(probs, grad_output)
        for call in ("", ", second call"):
            out = _run(implementation, probs, grad_output)
            worst = reference.worst(probs, grad_output, out, sums, implementation.flush_to_zero)
            if worst.wrong:
                yield Failure("shapes", f"{batch}×{dim} {dtype}{call}", worst.in_words())


def _memory(implementation: Implementation, dtype: str) -> Iterator[Failure]:
    """Compare the memory of a call with the record's `temporaries`."""
    if implementation.temporaries is None:
        return
    probs = np.full(MEMORY_SHAPE, 1 / MEMORY_SHAPE[1], dtype)
    taken = _traced_bytes(functools.partial(implementation.kernel, probs, probs, np.empty_like(probs)))
    stated = implementation.temporary_bytes(*MEMORY_SHAPE, probs.dtype)
    if taken > stated + MEMORY_SLACK:
        yield Failure("memory", f"shape {MEMORY_SHAPE} {dtype}", f"took {taken} bytes, but its record states {stated}")


def _traced_bytes(call: Callable[[], object]) -> int:
    """Return the largest amount of memory that the second of two calls takes, in bytes."""
    call()  # memory that the first call allocates and keeps does not count
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()


def _pairs(outputs: Outputs, others: Outputs, other: str, flush_to_zero: bool) -> Iterator[Failure]:
    """Require that two implementations differ by no more than the sum of their bounds."""
    for case in outputs:
        if case in others:
            finite = case.finite
            difference = np.abs(outputs[case][finite].astype(np.float64) - others[case][finite])
            bound = 2 * _value_bound(case, flush_to_zero)[finite]
            yield from bound_failures("pairs", f"{case}, against {other}", difference, bound)
