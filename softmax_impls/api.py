"""The two calls a user makes. All that is not arithmetic happens here and in `arguments`; kernels stay bare."""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np
from numpy import empty, ndarray
from numpy.typing import ArrayLike

from softmax_impls import backward, dispatch
from softmax_impls.arguments import Axis, Layout, as_real_array, as_threads
from softmax_impls.backward._limits import LARGE, UNFIT, limited
from softmax_impls.backward._limits import threads as current_threads
from softmax_impls.contract import Array, Impl, Implementation, invoke
from softmax_impls.running import resolved, run

AUTO = "auto"
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_if_small: Any = None  # what "auto" picks, once it is needed: `numba_simd` for a small call,
_large: Any = None  # and for any other;
_by_rule: Any = None  # or what asks the rule, where one is followed that picks others, too,
_asked_above = 0  # for calls of more elements than that


def softmax(x: ArrayLike, *, axis: Axis = -1, out: Array | None = None) -> Array:
    """Softmax of `x` over `axis`: ``exp(x - max(x)) / sum(exp(x - max(x)))``.

    Parameters
    ----------
    x : array_like
        Logits, of any shape and strides. float32 and float64 are computed in their own dtype, float16 in float32
        and rounded once, integers and lists in float64.
    axis : int, tuple of int or None, optional
        The classes' axis, or axes; None for all of them. The last one by default.
    out : ndarray, optional
        Where to write the result: of the shape and dtype of the result. It may be `x` itself.

    Returns
    -------
    ndarray
        The probabilities, of the shape of `x`: `out` if that was given; a scalar where `x` is 0-d.

    Raises
    ------
    TypeError
        If `x` is not of real numbers or masked, `axis` is not of integers, or `out` is of another dtype.
    ValueError
        If `axis` is out of range or repeated, or `out` is of another shape, read-only or overlaps itself.

    Notes
    -----
    A row that is -inf throughout, or holds NaN or +inf, comes out as NaN; other rows are not touched by it.
    The shift by the maximum keeps the exponential from overflowing [1]_.

    References
    ----------
    .. [1] P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax functions",
       IMA Journal of Numerical Analysis 41 (4), 2021.

    Examples
    --------
    >>> from softmax_impls import softmax
    >>> softmax([[0.0, 0.0], [1000.0, 1000.0]])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    arrays = {"x": as_real_array("x", x)}
    return run(_forward, ("x",), arrays, Layout.of(arrays, axis), out)


def softmax_backward(
    probs: ArrayLike,
    grad_output: ArrayLike,
    *,
    axis: Axis = -1,
    out: Array | None = None,
    impl: Impl = "auto",
    threads: int | None = None,
) -> Array:
    """Gradient of a loss with respect to the logits, from the probabilities and the gradient with respect to them.

    Parameters
    ----------
    probs : array_like
        What `softmax` returned, of any shape and strides: along `axis` it sums to 1, up to rounding.
    grad_output : array_like
        dL/dprobs, of the shape of `probs`. The wider dtype of the two is that of the computation and the result;
        float16 is computed in float32 and rounded once, integers and lists in float64.
    axis : int, tuple of int or None, optional
        The classes' axis, or axes; None for all of them. The last one by default.
    out : ndarray, optional
        Where to write the result: of the shape and dtype of the result. It may be `probs` or `grad_output` itself,
        or overlap them in any way.
    impl : str, callable or Implementation, optional
        A name out of `implementations`; "auto" (the default), see `explain`; or a kernel of your own,
        ``kernel(probs, grad_output, out)``, or its record, see `register`.
    threads : int, optional
        How many threads "auto" and ``"numba_simd"`` may use where that pays; by default as many as Numba may, which
        NUMBA_NUM_THREADS says. Other implementations keep to their own libraries' settings. Where there are fewer long
        rows than threads, each is summed by parts: its last bit may then depend on how many threads there were.

    Returns
    -------
    ndarray
        dL/dlogits, of the shape of `probs`: `out` if that was given; a scalar where `probs` is 0-d.

    Raises
    ------
    TypeError
        If an input is not of real numbers or masked, `axis` or `threads` is not of integers, `out` is of another dtype,
        or `impl` is neither a name nor callable, or a kernel that returns its result instead of writing it.
    ValueError
        If the shapes differ, `axis` is out of range or repeated, `out` is of another shape, read-only or overlaps
        itself, `threads` is less than 1, or there is no implementation of that name.

    Notes
    -----
    With p the probabilities and g the gradient with respect to them, dL/dx_i = p_i (g_i - Σ_j p_j g_j): the product
    of softmax's Jacobian, diag(p) - p pᵀ, with g.

    A row's gradient does not change when a constant is added to its g, as long as p sums to 1. "auto" makes use of
    that and stays exact where rows are saturated (some p near 1). If your rows do not sum to 1 and you want the
    formula to the letter, ask for ``impl="closed_form"``.

    NaN and inf stay in the row that they came in.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax_impls import softmax, softmax_backward
    >>> probs = softmax([37.42994775023705, 0.0])
    >>> softmax_backward(probs, [1.0, 0.0])
    array([ 5.55111512e-17, -5.55111512e-17])
    """
    # The most frequent kind of call goes without ceremony: plain arrays of one native dtype, C-contiguous, aligned and
    # writeable, over the last axis. What is left to check, the kernel does; all the checks in Python take ten times as
    # long as a small call's arithmetic, and one more function around this a thirtieth.
    if (
        impl is AUTO
        and threads is None
        and type(probs) is ndarray
        and type(grad_output) is ndarray
        and (_if_small is not None or _load())
    ):
        dtype, ndim = probs.dtype, probs.ndim
        if (
            (dtype is FLOAT32 or dtype is FLOAT64 or dtype in (FLOAT32, FLOAT64))
            and (grad_output.dtype is dtype or grad_output.dtype == dtype)
            and grad_output.ndim == ndim != 0
            and type(axis) is int
            and (axis == -1 or axis == ndim - 1)
            and probs.flags.carray
            and grad_output.flags.carray
            and (out is None or (type(out) is ndarray and out.dtype == dtype and out.ndim == ndim and out.flags.carray))
        ):
            result = empty(probs.shape, dtype) if out is None else out
            if _by_rule is not None and probs.size > _asked_above and _by_rule(probs, grad_output, out, result):
                return result
            state = _if_small(probs, grad_output, result)
            if state == LARGE:
                _large(probs, grad_output, result)
            if state != UNFIT:
                return result
    return _with_care(probs, grad_output, axis, out, impl, threads)


def _with_care(
    probs: ArrayLike, grad_output: ArrayLike, axis: Axis, out: Array | None, impl: Impl, threads: int | None
) -> Array:
    """Do any call: check all there is to check, and bring the arrays into the form that kernels take."""
    if threads is not None:
        with limited(as_threads(threads)):
            return softmax_backward(probs, grad_output, axis=axis, out=out, impl=impl)
    arrays = {
        "probs": as_real_array("probs", probs),
        "grad_output": as_real_array("grad_output", grad_output),
    }
    layout = Layout.of(arrays, axis)
    if isinstance(impl, str) and impl == AUTO:
        impl = dispatch.pick(layout.rows, layout.classes, layout.compute, current_threads()).impl
    implementation = resolved(impl)
    guarded = not backward.is_ours(implementation)
    return run(implementation.kernel, implementation.in_place, arrays, layout, out, guarded=guarded)


def _load() -> bool:
    """Load what "auto" picks where Numba compiles, by the built-in rule for every call; returns whether it does."""
    global _if_small, _large, _by_rule, _asked_above
    if dispatch.has_compiler():
        asked_above = dispatch.asked_above()
        _by_rule, _asked_above = (None, 0) if asked_above is None else (_plain_by_rule, asked_above)
        _picked.cache_clear()
        kernel = importlib.import_module("softmax_impls.backward.numba_simd")
        _if_small, _large = kernel.if_small, kernel.large
    return _if_small is not None


def _plain_by_rule(probs: Array, grad_output: Array, out: Array | None, result: Array) -> bool:
    """Do a plain call by what the rule picks; False if that is `numba_simd`, which has its own way for each."""
    picked = _picked(probs.shape, probs.dtype, current_threads())
    if picked is None:
        return False
    if not backward.is_ours(picked) or (
        out is not None and (np.may_share_memory(out, probs) or np.may_share_memory(out, grad_output))
    ):
        _with_care(probs, grad_output, -1, result, AUTO, None)
    else:
        shape = -1, probs.shape[-1]
        invoke(picked.kernel, probs.reshape(shape), grad_output.reshape(shape), out=result.reshape(shape))
    return True


@functools.lru_cache(maxsize=1024)
def _picked(shape: tuple[int, ...], dtype: np.dtype[Any], threads: int) -> Implementation | None:
    """Return what the rule picks; None for `numba_simd`, and where there is nothing to do."""
    size, classes = math.prod(shape), shape[-1]
    name = dispatch.pick(size // classes, classes, dtype, threads).impl if size else dispatch.COMPILED
    return None if name == dispatch.COMPILED else backward.get(name)


def _forward(x: Array, out: Array) -> None:
    """Softmax of each row; all in `out`, which may be `x`."""
    np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=-1, keepdims=True), out=out)
