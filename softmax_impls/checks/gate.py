"""The gate: the checks that an implementation must pass before it is timed or recommended.

Each check is a small function that yields failures. `judge` runs most checks on every family of inputs. The checks of
further shapes and of the memory of a call have their own inputs. Most calls are the hardest that the contract allows:
`out` is full of NaN, and the inputs of a user's kernel are read-only.
"""

import functools
import itertools
import re
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls import api
from softmax_impls.checks import bounds, inputs, reference
from softmax_impls.checks.inputs import Case
from softmax_impls.checks.numeric import numeric_gradient
from softmax_impls.checks.verdict import Check, Failure, Verdict
from softmax_impls.formatting import KERNEL_ERRORS, one_line
from softmax_impls.implementation import INPUTS, Array, Implementation, invoke

DTYPES = ("float32", "float64")
NUMERIC_FAMILIES = ("uniform logits", "standard normal")  # their logits are at most a few units
NUMERIC_STEPS = (("central", 1e-3), ("central", 1e-5), ("complex", 1e-30))
LARGEST_CHECKED = 50_000_000  # bytes of temporary memory: Jacobians of the longest rows would take seconds
MEMORY_SHAPE = (256, 128)
MEMORY_SLACK = 8 * np.getbufsize() + 8192  # bytes: a buffer of NumPy's own, and small Python objects

Outputs = dict[Case, Array]


@np.errstate(all="ignore")  # NaN, inf and underflow are expected
def judge(
    implementations: Mapping[str, Implementation], seed: int = 0, dtypes: Sequence[str] = DTYPES
) -> dict[str, Verdict]:
    """Check implementations: each alone, then each against every other that passed. `seed` determines the inputs."""
    verdicts, outputs = {}, {}
    for name, implementation in implementations.items():
        verdicts[name], outputs[name] = _judge_alone(implementation, seed, dtypes)
    passed = [name for name in verdicts if verdicts[name].right]
    for name, other in itertools.product(verdicts, passed):
        if other != name:
            flush_to_zero = implementations[name].flush_to_zero or implementations[other].flush_to_zero
            verdicts[name].failures += _pairs(outputs[name], outputs[other], other, flush_to_zero)
    return verdicts


@np.errstate(all="ignore")
def judge_softmax(function: Callable[[Array], Array] = api.softmax, seed: int = 0) -> Verdict:
    """Check a forward pass, which maps logits (B, D) to probabilities, against the exact softmax."""
    verdict = Verdict("softmax", "logits")
    for dtype in DTYPES:
        for case in inputs.cases(dtype, seed):
            verdict.failures += _caught(case, _check_softmax(function, case, verdict))
    return verdict


def _check_softmax(function: Callable[[Array], Array], case: Case, verdict: Verdict) -> Iterator[Failure]:
    probs, exact = function(case.logits), case.exact_probs
    error = exact.error_of(probs)
    exists = np.isfinite(exact.high)
    bound = bounds.forward(case.logits, exact.high)
    yield from _compare("forward", case, error[exists], bound[exists])
    if np.isfinite(probs[~exists]).any():
        yield Failure("non-finite", str(case), "a row that has no softmax contains finite results")
    verdict.note_error(case, "probabilities", error, exact.high)


def _judge_alone(implementation: Implementation, seed: int, dtypes: Sequence[str]) -> tuple[Verdict, Outputs]:
    verdict, outputs = Verdict(implementation.name, implementation.accurate_for), Outputs()
    for dtype in dtypes:
        for case in inputs.cases(dtype, seed):
            if case.probs.size:  # kernels receive no empty arrays
                verdict.failures += _caught(case, _check_case(implementation, case, verdict, outputs))
    if not verdict.failed("runs"):
        for dtype in dtypes:
            verdict.failures += _caught("shapes", _shapes(implementation, dtype, seed))
            verdict.failures += _caught("memory", _memory(implementation, dtype))
    return verdict, outputs


def _caught(where: object, failures: Iterator[Failure]) -> Iterator[Failure]:
    """Yield the failures of a check. An exception of the kernel is a failure, too."""
    try:
        yield from failures
    except KERNEL_ERRORS as error:
        text = one_line(error)
        hint = "; a kernel must not write to its inputs" if re.search(r"is read-only|setitem\(readonly", text) else ""
        yield Failure("runs", str(where), f"raised {text}{hint}")


def _check_case(implementation: Implementation, case: Case, verdict: Verdict, outputs: Outputs) -> Iterator[Failure]:
    """Check a kernel on a case, and note its result in `outputs` and its error in `verdict`."""
    finite, error = case.finite, case.given_logits.error_of
    required = _required(implementation, case).all(axis=-1)
    out = outputs[case] = _run(implementation, case.probs, case.grad_output)
    yield from _value(implementation, case, out)
    if implementation.accurate_for == "logits":
        bound = bounds.given_logits(case.exact_probs.high, case.grad_output)
        yield from _compare("logits", case, error(out)[finite], bound[finite])
    yield from _inputs_and_out(implementation, case, out)
    yield from _in_place(implementation, case)
    for method, gradient, bound in numeric_gradients(case):
        yield from _compare("numeric", f"{case}, {method}", np.abs(out - gradient), bound)
    verdict.note_error(case, case.kind, error(out)[required], case.given_logits.high[required])


def _required(implementation: Implementation, case: Case) -> NDArray[np.bool_]:
    """Return which elements of the result must be right, as booleans of shape (B, D).

    An implementation that computes the textbook formula may be wrong where the formula overflows.
    """
    if implementation.accurate_for == "logits":
        return np.broadcast_to(case.finite[:, np.newaxis], case.in_range.shape)
    return case.in_range


@functools.cache
def numeric_gradients(case: Case) -> tuple[tuple[str, bounds.Floats, bounds.Floats], ...]:
    """Return the name, the gradient and the bound on the gradient's error of each numeric method.

    The gradient and the bound are (B, D). The tuple is empty if the case is float32, or if its family of inputs is not
    in `NUMERIC_FAMILIES`.
    """
    if case.family not in NUMERIC_FAMILIES or case.probs.dtype != np.float64:
        return ()

    def loss(x: Any) -> Any:
        powers = np.exp(x - x.real.max(axis=-1, keepdims=True))
        return np.sum(case.grad_output * powers / powers.sum(axis=-1, keepdims=True))

    found = []
    for method, step in NUMERIC_STEPS:
        gradient = numeric_gradient(loss, case.logits, method=method, step=step)
        bound = bounds.numeric(case.probs, case.grad_output, method, step)
        found.append((f"{method} differences, step {step:g}", gradient, bound))
    return tuple(found)


@functools.cache
def _bound(case: Case, flush_to_zero: bool) -> bounds.Floats:
    """Return the bound on the error of each element, (B, D), given the probabilities."""
    return case.sums.bound(case.probs, flush_to_zero)


def _as_passed(implementation: Implementation, *arrays: Array) -> list[Array]:
    """Return the inputs for a kernel: the read-only arrays for a user's kernel, writeable copies for any other."""
    # For read-only arrays, Numba would compile the kernels again, which takes 7 of 18 s where its cache is empty.
    return [array if implementation.family == "user" else array.copy() for array in arrays]


def _run(implementation: Implementation, probs: Array, grad_output: Array) -> Array:
    """Return the result of a kernel, in a new `out` that was full of NaN."""
    out = np.full_like(probs, np.nan)
    invoke(implementation.kernel, *_as_passed(implementation, probs, grad_output), out=out)
    return out


def _compare(check: Check, where: object, error: bounds.Floats, bound: bounds.Floats) -> Iterator[Failure]:
    """Yield a failure of `check` on the input `where` if an element of `error` is NaN or larger than its `bound`."""
    wrong = ~(error <= bound)
    if wrong.any():
        worst = np.argmax(np.where(np.isnan(error), np.inf, error) / bound)
        seen = f"off by {error.flat[worst]:.2g}, but rounding explains at most {bound.flat[worst]:.2g}"
        yield Failure(check, str(where), seen)


def _value(
    implementation: Implementation, case: Case, out: Array, value: Check = "value", non_finite: Check = "non-finite"
) -> Iterator[Failure]:
    """Yield a failure if `out` differs from p (g - Σ p g), or if a row whose input has NaN or inf has finite results.

    The two failures are named `value` and `non_finite`.
    """
    required, bound = _required(implementation, case), _bound(case, implementation.flush_to_zero)
    error = case.given_probs.error_of(out)
    yield from _compare(value, case, error[required], bound[required])
    if np.isfinite(out[~case.finite]).any():
        yield Failure(non_finite, str(case), "a row with NaN or inf has finite results")


def _inputs_and_out(implementation: Implementation, case: Case, out: Array) -> Iterator[Failure]:
    """Require that the inputs are not modified, and that the result does not depend on the contents of `out`."""
    probs, grad_output, repeated = case.probs.copy(), case.grad_output.copy(), np.full_like(case.probs, 7)
    invoke(implementation.kernel, probs, grad_output, out=repeated)
    for name, after, before in (("probs", probs, case.probs), ("grad_output", grad_output, case.grad_output)):
        if after.tobytes() != before.tobytes():
            yield Failure("inputs", str(case), f"{name} was modified")
    if not np.array_equal(repeated, out, equal_nan=True):
        yield Failure("written", str(case), "the result depends on the contents of out, or is not written completely")


def _in_place(implementation: Implementation, case: Case) -> Iterator[Failure]:
    """Check the results of calls where `out` is one of the inputs that the record's `in_place` allows."""
    for name in implementation.in_place:
        arrays = dict(zip(INPUTS, _as_passed(implementation, case.probs, case.grad_output), strict=True))
        out = arrays[name] = arrays[name].copy()
        invoke(implementation.kernel, *arrays.values(), out=out)
        yield from _value(implementation, case, out, "in place", "in place")


def _shapes(implementation: Implementation, dtype: str, seed: int) -> Iterator[Failure]:
    """Call the kernel twice at each of `inputs.SHAPES` that needs little memory, and yield failures.

    A result that differs from p (g - Σ p g) is a failure.
    """
    for batch, dim in inputs.SHAPES:
        probs, grad_output = inputs.problem(batch, dim, dtype, seed)
        if implementation.temporary_bytes(batch, dim, probs.dtype) > LARGEST_CHECKED:
            continue
        sums = reference.row_sums(probs, grad_output)
        for call in ("", ", second call"):
            out = _run(implementation, probs, grad_output)
            worst = reference.worst(probs, grad_output, out, sums, implementation.flush_to_zero)
            if worst.wrong:
                yield Failure("shapes", f"{batch}×{dim} {dtype}{call}", worst.in_words())


def _memory(implementation: Implementation, dtype: str) -> Iterator[Failure]:
    """Require that a second call takes at most the memory that the record states, plus `MEMORY_SLACK`."""
    if implementation.temporaries is None:
        return
    probs = np.full(MEMORY_SHAPE, 1 / MEMORY_SHAPE[1], dtype)
    call = functools.partial(implementation.kernel, probs, probs, np.empty_like(probs))
    call()  # memory that the first call allocates and keeps does not count
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call()
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()
    stated = implementation.temporary_bytes(*MEMORY_SHAPE, probs.dtype)
    if taken > stated + MEMORY_SLACK:
        yield Failure("memory", f"shape {MEMORY_SHAPE} {dtype}", f"took {taken} bytes, but its record states {stated}")


def _pairs(outputs: Outputs, others: Outputs, other: str, flush_to_zero: bool) -> Iterator[Failure]:
    """Require that two implementations differ by at most the sum of their bounds; `other` is the name of the second."""
    for case in (case for case in outputs if case in others):
        difference = np.abs(outputs[case].astype(np.float64) - others[case])
        bound = 2 * _bound(case, flush_to_zero)
        yield from _compare("pairs", f"{case}, against {other}", difference[case.in_range], bound[case.in_range])
