"""Mutants: broken kernels, each with a mistake that people make, and the checks that must reject them.

`BACKWARD` maps the name of a mutant to its record and to the checks that must fail; other checks may fail, too.
`FORWARD` maps the name of a broken forward pass to itself and to the check that must fail in `judge_softmax`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from softmax_impls.implementation import Implementation
from softmax_impls.registry import describe

BACKWARD: dict[str, tuple[Implementation, set[str]]] = {}
FORWARD: dict[str, tuple[Callable[..., Any], str]] = {}


def backward(*checks, **record):
    def add(kernel):
        BACKWARD[kernel.__name__] = (describe(kernel, **record), set(checks))
        return kernel

    return add


def forward(check):
    def add(function):
        FORWARD[function.__name__] = (function, check)
        return function

    return add


def textbook(p, g, out):
    out[...] = p * (g - np.sum(p * g, axis=-1, keepdims=True))


@backward("value", "numeric", "pairs")
def flipped_sign(p, g, out):
    out[...] = p * (np.sum(p * g, axis=-1, keepdims=True) - g)


@backward("value", "numeric", "pairs")
def wrong_axis(p, g, out):
    out[...] = p * (g - np.sum(p * g, axis=0, keepdims=True))


@backward("value", "numeric", "pairs")
def leaves_out_the_sum(p, g, out):
    out[...] = p * g


@backward("value", "numeric", "pairs")
def leaves_out_the_probabilities(p, g, out):
    out[...] = g - np.sum(p * g, axis=-1, keepdims=True)


@backward("value", "numeric", "pairs")
def sums_the_gradient_without_the_probabilities(p, g, out):
    out[...] = p * (g - np.sum(g, axis=-1, keepdims=True))


@backward("value", "numeric", "pairs")
def diagonal_of_the_jacobian_only(p, g, out):
    out[...] = p * (1 - p) * g


@backward("value", "pairs")
def leaves_the_last_column_out_of_the_sum(p, g, out):
    out[...] = p * (g - np.sum(p[:, :-1] * g[:, :-1], axis=-1, keepdims=True))


@backward("value", "written", "pairs")
def leaves_the_last_row_unwritten(p, g, out):
    textbook(p[:-1], g[:-1], out[:-1])


@backward("value", "written")
def adds_to_out(p, g, out):
    before = out.copy()
    textbook(p, g, out)
    out += before


@backward("value")
def computes_in_float32(p, g, out):
    out[...] = p.astype("f4") * (g.astype("f4") - np.sum(p.astype("f4") * g.astype("f4"), -1, keepdims=True))


@backward("value")
def computes_in_float16(p, g, out):
    textbook(p.astype("f2"), g.astype("f2"), out)


@backward("value")
def clips_the_probabilities(p, g, out):
    textbook(np.clip(p, 1e-7, 1 - 1e-7), g, out)


@backward("value")
def adds_an_epsilon_to_the_normalisation(p, g, out):
    textbook(p / (p.sum(-1, keepdims=True) + 1e-6), g, out)


@backward("non-finite")
def replaces_nan_by_zero(p, g, out):
    textbook(np.nan_to_num(p), np.nan_to_num(g), out)


@backward("value")
def spreads_nan_to_all_rows(p, g, out):
    textbook(p, g, out)
    out += 0 * np.sum(p * g)


@backward("inputs")
def scales_the_gradient_in_place(p, g, out):
    textbook(p, g, out)
    if g.flags.writeable:
        g *= 2


@backward("inputs")
def uses_the_probabilities_as_work_array(p, g, out):
    textbook(p, g, out)
    if p.flags.writeable:
        p[...] = out


@backward("inputs", family="numba")
def modifies_writeable_inputs_as_no_user_receives_them(p, g, out):
    textbook(p, g, out)
    g *= 2


@backward("runs")
def needs_writeable_inputs(p, g, out):
    g -= np.sum(p * g, axis=-1, keepdims=True)
    out[...] = p * g


@backward("in place", in_place=["probs"])
def overwrites_probabilities_that_are_still_needed(p, g, out):
    np.subtract(g, np.vecdot(p, g)[:, np.newaxis], out=out)
    np.multiply(out, p, out=out)


@backward("runs")
def returns_its_result(p, g, out):
    return p * (g - np.sum(p * g, axis=-1, keepdims=True))


@backward("runs")
def raises_for_a_dim_of_1(p, g, out):
    np.partition(p, -2, axis=-1)
    textbook(p, g, out)


@backward("memory", temporaries=lambda batch, dim, itemsize: 0)
def states_no_temporaries_but_allocates(p, g, out):
    textbook(p, g, out)


@backward("logits", accurate_for="logits")
def textbook_that_states_the_logits(p, g, out):
    textbook(p, g, out)


@backward("logits", accurate_for="logits")
def accurate_in_short_rows_only(p, g, out):
    top = np.argmax(p, axis=-1, keepdims=True)
    h = g - np.take_along_axis(g, top, axis=-1) if p.shape[1] < 64 else g
    out[...] = p * (h - np.sum(p * h, axis=-1, keepdims=True))


@backward("logits", accurate_for="logits")
def omits_the_shift_too_often(p, g, out):
    # `bounds.py` allows a factor of 2 instead of 1000.
    top = np.take_along_axis(g, np.argmax(p, axis=-1, keepdims=True), axis=-1)
    total = np.sum(p * g, axis=-1, keepdims=True)
    h = g - np.where(np.abs(top) <= 1000 * np.abs(total - top), 0, top)
    out[...] = p * (h - np.sum(p * h, axis=-1, keepdims=True))


@backward("logits", accurate_for="logits")
def centred_that_states_the_logits(p, g, out):
    textbook(p, g - np.vecdot(p, g)[:, np.newaxis], out)


@backward("logits", accurate_for="logits")
def pivoted_on_the_largest_gradient(p, g, out):
    textbook(p, g - g.max(-1, keepdims=True), out)


@backward("value")
def shifts_by_a_gradient_near_the_largest_number(p, g, out):
    textbook(p, g - np.take_along_axis(g, np.argmax(p, axis=-1, keepdims=True), axis=-1), out)


@backward("value", "logits", accurate_for="logits")
def uses_the_formula_for_gradients_near_the_largest_number(p, g, out):
    top = np.take_along_axis(g, np.argmax(p, axis=-1, keepdims=True), axis=-1)
    textbook(p, np.where(np.abs(g).max(axis=-1, keepdims=True) < np.finfo(g.dtype).max / 4, g - top, g), out)


@backward("value")
def flushes_subnormal_gradients_to_zero(p, g, out):
    textbook(p, np.where(np.abs(g) < np.finfo(g.dtype).smallest_normal, 0, g), out)


@backward("value")
def returns_the_result_of_the_previous_call(p, g, out, cache={}):  # noqa: B006
    cached = cache.setdefault(p.shape, np.empty_like(p))
    out[...] = cached
    cached = np.empty_like(p)
    textbook(p, g, cached)
    cache[p.shape] = cached


@backward("shapes")
def sums_over_the_batch_for_a_batch_of_1(p, g, out):
    out[...] = p * (g - np.sum(p * g, axis=-1 if len(p) > 1 else 0, keepdims=True))


@backward("shapes")
def squeezes_a_batch_of_1(p, g, out):
    total = np.einsum("bd,bd->b", p, g).squeeze()
    out[...] = p * (g - (total[:, np.newaxis] if total.ndim else 0 * total))


@backward("shapes")
def finds_the_axis_by_its_size(p, g, out):
    out[...] = p * (g - np.sum(p * g, axis=p.shape.index(p.shape[1]), keepdims=True))


@backward("shapes")
def sums_only_2048_columns(p, g, out):
    out[...] = p * (g - np.sum((p * g)[:, :2048], axis=-1, keepdims=True))


@backward("shapes")
def leaves_the_remainder_of_32_rows_unwritten(p, g, out):
    written = len(p) if len(p) < 32 else len(p) - len(p) % 32
    textbook(p[:written], g[:written], out[:written])


@backward("shapes")
def computes_large_arrays_only_once(p, g, out, known=set()):  # noqa: B006
    key = p.shape, p.dtype
    if p.size < 4000 or key not in known:
        textbook(p, g, out)
    known.add(key)


@backward("value")
def treats_small_gradients_as_zero(p, g, out):
    textbook(p, np.where(np.abs(g) < 1e-12, 0, g), out)


@backward("in place", in_place=["probs", "grad_output"])
def replaces_nan_by_zero_in_place(p, g, out):
    textbook(np.nan_to_num(p), np.nan_to_num(g), out) if out is g else textbook(p, g, out)


@backward("logits", accurate_for="logits")
def pivoted_on_a_rounded_mean(p, g, out):
    textbook(p, g - (p * g).sum(-1, keepdims=True).astype(p.dtype), out)


@backward("runs")
def exits_the_process(p, g, out):
    raise SystemExit(0)


def _softmax(x, top, extra=0.0):
    with np.errstate(all="ignore"):
        powers = np.exp(x - top)
        return powers / (powers.sum(-1, keepdims=True) + extra)


@forward("forward")
def maximum_over_the_wrong_axis(x):
    return _softmax(x, x.max(axis=0, initial=-np.inf))


@forward("forward")
def maximum_of_the_whole_array(x):
    return _softmax(x, x.max(initial=-np.inf))


@forward("forward")
def no_maximum(x):
    return _softmax(x, 0)


@forward("forward")
def epsilon_in_the_sum(x):
    return _softmax(x, x.max(axis=-1, keepdims=True, initial=-np.inf), 1e-6)


@forward("non-finite")
def makes_masked_rows_uniform(x):
    top = x.max(axis=-1, keepdims=True, initial=-np.inf)
    return np.where(np.isinf(top), 1 / x.shape[-1] if x.shape[-1] else 0, _softmax(x, top))


@forward("forward")
def computes_softmax_in_float16(x):
    return _softmax(x.astype("f2"), x.astype("f2").max(axis=-1, keepdims=True, initial=-np.inf)).astype(x.dtype)


@forward("runs")
def raises_for_a_dim_of_0(x):
    return _softmax(x, x.max(axis=-1, keepdims=True))
