"""From measured or predicted times to an answer: which implementations meet the requirements, and how they compare."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from softmax_impls.choice.answer import Answer, Candidate, Question
from softmax_impls.choice.ranking import ours
from softmax_impls.formatting import format_bytes
from softmax_impls.implementation import Implementation
from softmax_impls.registry import is_ours
from softmax_impls.timing.statistics import Comparison, Ratio
from softmax_impls.usage import Usage, usage

# Error bound of our implementations that stay accurate on saturated rows, in units of rounding (eps / 2). Of millions
# of random rows, the largest error was 29 units. Rows that were changed step by step to enlarge the error had up to 34
# units in numba_simd. Rows of 43,550 classes with gradients of very different sizes had up to 67 units in pivoted.
UNITS = 128

Implementations = Mapping[str, Implementation]
Compare = Callable[[Mapping[str, Candidate]], Comparison]  # compares at least one candidate


def answer_from(
    question: Question,
    basis: str,
    found: Mapping[str, Candidate],
    not_timed: Mapping[str, str],
    compare: Compare,
    implementations: Implementations,
) -> Answer:
    """Answer with the candidates in `found` that meet the requirements of the question.

    `basis` is `MEASURED` or `PREDICTED`. `not_timed` has the implementations without a time, each with the reason.
    `compare` is called with candidates, and returns their comparison. The candidates are sorted by the ratios of this
    comparison, which also decide ties; this may be another order than that of their times. If no candidate can be
    recommended, they are sorted by time.
    """
    names = question.only or (*found, *not_timed)
    wanted = {name: _with_record(found[name], question, implementations) for name in names if name in found}
    ruled_out = {name: why for name, candidate in wanted.items() if (why := _excess(question, candidate))}
    within = {name: candidate for name, candidate in wanted.items() if name not in ruled_out}
    ruled_out |= {name: not_timed.get(name, "not in these results") for name in names if name not in found}
    answer = Answer(question, basis, within, ruled_out=ruled_out)
    if allowed := {name: candidate for name, candidate in within.items() if answer.allows(candidate)}:
        answer = replace(answer, comparison=_compare_all(compare, allowed, within))
    order = sorted(within, key=lambda name: answer.ratio(name).value if allowed else within[name].seconds)
    answer = replace(answer, candidates={name: within[name] for name in order})
    return replace(answer, usage=usage_of(answer.pick, question, implementations) if answer.pick else None)


def usage_of(candidate: Candidate, question: Question, implementations: Implementations) -> Usage | None:
    """Return the code that calls a candidate at the shape of a question; None if it cannot be imported by name."""
    record = implementations.get(candidate.name) or ours(candidate.name)
    place = record.spec if record else candidate.spec
    known = record and (is_ours(record) or record.usage)
    # Text from a results file must not become code, except for a name. Lambdas and inner functions cannot be imported.
    if known or re.fullmatch(r"[\w.]+:[\w.]+", place):
        name = candidate.name if record else place
        return usage(name, record, question.batch, question.dim, question.dtype, question.threads)
    return None


def code_for_mix(name: str, answers: Iterable[Answer], implementations: Implementations) -> str | None:
    """Return the code that calls an implementation at the shapes of all answers; None if `usage_of` has no code."""
    usages = [(of.question, usage_of(of.candidates[name], of.question, implementations)) for of in answers]
    blocks = [f"# {question.batch}x{question.dim}\n{found}" for question, found in usages if found]
    return "\n\n".join(blocks) if len(blocks) == len(usages) else None


def _with_record(candidate: Candidate, question: Question, implementations: Implementations) -> Candidate:
    """Return the candidate with its `error_bound`, and with the memory and accuracy that its implementation states.

    Memory and accuracy that the candidate already has are kept. The bound of other kernels and of peers is the
    `error` of the candidate. The bound of our implementations is infinite if they are inaccurate on saturated rows.
    Otherwise it is `UNITS` units of rounding, or the `error` if this is larger.
    """
    memory, accurate_for, bound = candidate.temporary_bytes, candidate.accurate_for, candidate.error
    if record := implementations.get(candidate.name) or ours(candidate.name):
        accurate_for = accurate_for or record.accurate_for
        if math.isnan(memory) and record.temporaries is not None:
            memory = record.temporary_bytes(question.batch, question.dim, np.dtype(question.dtype))
        if is_ours(record) and record.family != "peer":
            units = UNITS if accurate_for == "logits" else math.inf
            bound = float(np.fmax(bound, units * float(np.finfo(question.dtype).eps) / 2))
    return replace(candidate, temporary_bytes=memory, accurate_for=accurate_for, error_bound=bound)


def _excess(question: Question, candidate: Candidate) -> str:
    """Return which requirement a candidate does not meet; "" if it meets all."""
    memory, error = candidate.temporary_bytes, candidate.error_bound
    if question.max_memory < math.inf and not memory <= question.max_memory:
        more = f"{format_bytes(memory)}, more than {format_bytes(question.max_memory)}"
        return f"its temporary memory is {'unknown' if math.isnan(memory) else more}"
    if question.max_error < math.inf and not error <= question.max_error:
        if math.isinf(error):
            return "its worst error has no bound"
        more = f"its worst error may be {error:.1e}, more than {question.max_error:g}"
        return "its worst error is unknown" if math.isnan(error) else more
    return ""


def _compare_all(compare: Compare, allowed: Mapping[str, Candidate], within: Mapping[str, Candidate]) -> Comparison:
    """Compare the `allowed` candidates, and add a ratio for each other candidate in `within`.

    The ratio is the time of the other candidate over the time of the fastest allowed candidate. It may be less than 1,
    but only allowed candidates win or tie.
    """
    comparison = compare(allowed)
    best, ratios = comparison.best, dict(comparison.ratios)
    for name in within.keys() - allowed.keys():
        pair = compare({best: within[best], name: within[name]})
        ratio = pair.ratios[best if pair.best == name else name]
        ratios[name] = Ratio(1 / ratio.value, 1 / ratio.high, 1 / ratio.low) if pair.best == name else ratio
    return replace(comparison, ratios=ratios)
