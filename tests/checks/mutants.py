"""Broken kernels, each like a mistake that people make, and the checks that have to notice.

`BACKWARD` maps a name to the record and the checks that must fail; others may fail as well. `FORWARD` holds broken
forward passes for `judge_softmax`.
"""

import numpy as np

from softmax_impls.implementation import Implementation
from softmax_impls.registry import describe

BACKWARD: dict[str, tuple[Implementation, set[str]]] = {}
FORWARD: dict[str, object] = {}


def backward(*checks, **record):
    def add(kernel):
        BACKWARD[kernel.__name__] = (describe(kernel, **record), set(checks))
        return kernel

    return add


def forward(function):
    FORWARD[function.__name__] = function
    return function


def textbook(p, g, out):
    out[...] = p * (g - np.sum(p * g, axis=-1, keepdims=True))


@backward("value", "numeric", "pairs")
def flipped_sign(p, g, out):
    out[...] = p * (np.sum(p * g, axis=-1, keepdims=True) - g)


@backward("value", "numeric", "pairs")
def wrong_axis(p, g, out):
    out[...] = p * (g - np.sum(p * g, axis=0, keepdims=True))


@backward("value", "numeric", "pairs")
def forgot_the_sum(p, g, out):
    out[...] = p * g


@backward("value", "numeric", "pairs")
def forgot_the_probabilities(p, g, out):
    out[...] = g - np.sum(p * g, axis=-1, keepdims=True)


@backward("value", "numeric", "pairs")
def sums_the_gradient_alone(p, g, out):
    out[...] = p * (g - np.sum(g, axis=-1, keepdims=True))


@backward("value", "numeric", "pairs")
def diagonal_of_the_jacobian_only(p, g, out):
    out[...] = p * (1 - p) * g


@backward("value", "pairs")
def last_class_left_out_of_the_sum(p, g, out):
    out[...] = p * (g - np.sum(p[:, :-1] * g[:, :-1], axis=-1, keepdims=True))


@backward("value", "written", "pairs")
def last_row_lost(p, g, out):
    textbook(p[:-1], g[:-1], out[:-1])


@backward("value", "written")
def adds_to_out(p, g, out):
    before = out.copy()
    textbook(p, g, out)
    out += before


@backward("value")
def float32_inside(p, g, out):
    out[...] = p.astype("f4") * (g.astype("f4") - np.sum(p.astype("f4") * g.astype("f4"), -1, keepdims=True))


@backward("value")
def float16_inside(p, g, out):
    textbook(p.astype("f2"), g.astype("f2"), out)


@backward("value")
def probabilities_clipped_for_stability(p, g, out):
    textbook(np.clip(p, 1e-7, 1 - 1e-7), g, out)


@backward("value")
def divides_by_an_epsilon_too_much(p, g, out):
    textbook(p / (p.sum(-1, keepdims=True) + 1e-6), g, out)


@backward("non-finite")
def nan_swallowed(p, g, out):
    textbook(np.nan_to_num(p), np.nan_to_num(g), out)


@backward("value")
def nan_spread_over_all_rows(p, g, out):
    textbook(p, g, out)
    out += 0 * np.sum(p * g)


@backward("inputs")
def gradient_scaled_in_place(p, g, out):
    textbook(p, g, out)
    if g.flags.writeable:
        g *= 2


@backward("inputs")
def probabilities_used_as_scratch(p, g, out):
    textbook(p, g, out)
    if p.flags.writeable:
        p[...] = out


@backward("runs")
def needs_writeable_inputs(p, g, out):
    g -= np.sum(p * g, axis=-1, keepdims=True)
    out[...] = p * g


@backward("in place", in_place=["probs"])
def overwrites_probabilities_that_it_still_needs(p, g, out):
    np.subtract(g, np.vecdot(p, g)[:, np.newaxis], out=out)
    np.multiply(out, p, out=out)


@backward("runs")
def returns_its_result(p, g, out):
    return p * (g - np.sum(p * g, axis=-1, keepdims=True))


@backward("runs")
def fails_with_one_class(p, g, out):
    np.partition(p, -2, axis=-1)
    textbook(p, g, out)


@backward("memory", temporaries=lambda rows, classes, itemsize: 0)
def hides_its_temporaries(p, g, out):
    textbook(p, g, out)


@backward("logits", accurate_for="logits")
def textbook_that_claims_the_logits(p, g, out):
    textbook(p, g, out)


@backward("logits", accurate_for="logits")
def exact_in_short_rows_only(p, g, out):
    top = np.argmax(p, axis=-1, keepdims=True)
    h = g - np.take_along_axis(g, top, axis=-1) if p.shape[1] < 64 else g
    out[...] = p * (h - np.sum(p * h, axis=-1, keepdims=True))


@backward("logits", accurate_for="logits")
def shift_left_out_too_easily(p, g, out):
    """Where `numba_simd` allows a factor of 2."""
    top = np.take_along_axis(g, np.argmax(p, axis=-1, keepdims=True), axis=-1)
    total = np.sum(p * g, axis=-1, keepdims=True)
    h = g - np.where(np.abs(top) <= 1000 * np.abs(total - top), 0, top)
    out[...] = p * (h - np.sum(p * h, axis=-1, keepdims=True))


@backward("logits", accurate_for="logits")
def centred_that_claims_the_logits(p, g, out):
    textbook(p, g - np.vecdot(p, g)[:, np.newaxis], out)


@backward("logits", accurate_for="logits")
def pivoted_on_the_largest_gradient(p, g, out):
    textbook(p, g - g.max(-1, keepdims=True), out)


@backward("value")
def remembers_the_last_call(p, g, out, cache={}):  # noqa: B006
    cached = cache.setdefault(p.shape, np.empty_like(p))
    out[...] = cached
    cached = np.empty_like(p)
    textbook(p, g, cached)
    cache[p.shape] = cached


@backward("shapes")
def sums_over_rows_if_there_is_one(p, g, out):
    out[...] = p * (g - np.sum(p * g, axis=-1 if len(p) > 1 else 0, keepdims=True))


@backward("shapes")
def squeezes_too_much(p, g, out):
    total = np.einsum("bd,bd->b", p, g).squeeze()
    out[...] = p * (g - (total[:, np.newaxis] if total.ndim else 0 * total))


@backward("shapes")
def axis_chosen_by_shape(p, g, out):
    out[...] = p * (g - np.sum(p * g, axis=p.shape.index(p.shape[1]), keepdims=True))


@backward("shapes")
def buffer_of_2048_classes(p, g, out):
    out[...] = p * (g - np.sum((p * g)[:, :2048], axis=-1, keepdims=True))


@backward("shapes")
def tail_of_rows_lost_beyond_32(p, g, out):
    rows = len(p) if len(p) < 32 else len(p) - len(p) % 32
    textbook(p[:rows], g[:rows], out[:rows])


@backward("value")
def small_gradients_flushed(p, g, out):
    textbook(p, np.where(np.abs(g) < 1e-12, 0, g), out)


@backward("in place", in_place=["probs", "grad_output"])
def swallows_nan_in_place(p, g, out):
    textbook(np.nan_to_num(p), np.nan_to_num(g), out) if out is g else textbook(p, g, out)


@backward("logits", accurate_for="logits")
def pivoted_on_a_rounded_mean(p, g, out):
    textbook(p, g - (p * g).sum(-1, keepdims=True).astype(p.dtype), out)


@backward("runs")
def exits(p, g, out):
    raise SystemExit(0)


def _softmax(x, top, extra=0.0):
    with np.errstate(all="ignore"):
        powers = np.exp(x - top)
        return powers / (powers.sum(-1, keepdims=True) + extra)


@forward
def maximum_over_the_wrong_axis(x):
    return _softmax(x, x.max(axis=0, initial=-np.inf))


@forward
def maximum_of_the_whole_array(x):
    return _softmax(x, x.max(initial=-np.inf))


@forward
def no_maximum(x):
    return _softmax(x, 0)


@forward
def epsilon_in_the_sum(x):
    return _softmax(x, x.max(axis=-1, keepdims=True, initial=-np.inf), 1e-6)


@forward
def masked_rows_made_uniform(x):
    top = x.max(axis=-1, keepdims=True, initial=-np.inf)
    return np.where(np.isinf(top), 1 / x.shape[-1] if x.shape[-1] else 0, _softmax(x, top))


@forward
def computed_in_float16(x):
    return _softmax(x.astype("f2"), x.astype("f2").max(axis=-1, keepdims=True, initial=-np.inf)).astype(x.dtype)


@forward
def raises_on_rows_without_classes(x):
    return _softmax(x, x.max(axis=-1, keepdims=True))
