"""The two calls a user makes. All that is not arithmetic happens here and in `arguments`; kernels stay bare."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import empty, ndarray
from numpy.typing import ArrayLike

from softmax_impls import backward, dispatch
from softmax_impls.arguments import Axis, Layout, as_real_array, as_threads
from softmax_impls.backward._limits import LARGE, UNFIT, limited
from softmax_impls.contract import Array, Impl, Implementation, invoke, read_only

AUTO = "auto"
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_if_small: Any = None  # what "auto" picks, once it is needed: `numba_simd` for a small call,
_large: Any = None  # and for any other


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
    return _call(_forward, ("x",), arrays, Layout.of(arrays, axis), out)


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
        impl = dispatch.pick(layout.rows, layout.classes, layout.compute).impl
    implementation = _implementation(impl)
    guarded = not backward.is_ours(implementation)
    return _call(implementation.kernel, implementation.in_place, arrays, layout, out, guarded=guarded)


def _load() -> bool:
    """Load what "auto" picks for every call where Numba compiles; returns whether it does."""
    global _if_small, _large
    if dispatch.has_compiler():
        kernel = importlib.import_module("softmax_impls.backward.numba_simd")
        _if_small, _large = kernel.if_small, kernel.large
    return _if_small is not None


def _implementation(impl: object) -> Implementation:
    if isinstance(impl, str):
        return backward.get(impl)
    if isinstance(impl, Implementation):
        return impl
    if callable(impl):
        return backward.from_kernel(impl)
    raise TypeError(f"impl must be a name, 'auto' or a kernel (probs, grad_output, out), got {type(impl).__name__}")


def _call(
    kernel: Callable[..., Any],
    in_place: tuple[str, ...],
    arrays: dict[str, Array],
    layout: Layout,
    out: Array | None,
    guarded: bool = False,
) -> Array:
    """Run a kernel on rows of these arrays, writing its result straight to where it belongs if that can be done."""
    result = layout.new_out() if out is None else layout.checked_out(out)
    if not layout.empty:
        inputs = {name: layout.read(array) for name, array in arrays.items()}
        if guarded:
            inputs = {name: read_only(array) for name, array in inputs.items()}
        rows = layout.view(result)
        shared = [] if rows is None else [name for name in inputs if np.may_share_memory(rows, inputs[name])]
        # Straight to where it belongs, unless that would overwrite an input in a way the kernel can't stand.
        direct = not shared or (len(shared) == 1 and shared[0] in in_place and _is_same(rows, inputs[shared[0]]))
        if rows is None or not direct:
            rows, direct = np.empty((layout.rows, layout.classes), layout.compute), False
        if guarded and not (direct and shared):
            rows.fill(np.nan)  # a kernel that writes nothing is not to return whatever lay there
        invoke(kernel, *inputs.values(), out=rows)
        if not direct:
            with np.errstate(all="ignore"):  # float16 may overflow
                layout.write(rows, result)
    if out is not None:
        return out
    return result if result.ndim else result[()]


def _is_same(a: Array | None, b: Array) -> bool:
    """Whether two C-contiguous arrays of one shape and dtype are the very same memory."""
    return a is not None and bool(a.__array_interface__["data"][0] == b.__array_interface__["data"][0])


def _forward(x: Array, out: Array) -> None:
    """Softmax of each row; all in `out`, which may be `x`."""
    np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=-1, keepdims=True), out=out)
