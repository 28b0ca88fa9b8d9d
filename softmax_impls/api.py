"""The two calls that a user makes.

`softmax_backward` has a fast path for plain arrays, and a general path that validates and converts all other arguments.
"""

import contextlib
import importlib
from typing import Any

import numpy as np
from numpy import empty, ndarray
from numpy.typing import ArrayLike

from softmax_impls import dispatch, registry
from softmax_impls.implementation import Array, Impl, Implementation, invoke, read_only
from softmax_impls.layout import Axis, Layout, as_real_array, as_thread_count, run_kernel
from softmax_impls.simd.sizes import LARGE, UNFIT
from softmax_impls.threads import limit_threads

AUTO = "auto"
SIMD, COMPILED, OURS, USERS = range(4)  # kinds of kernels: numba_simd, our other compiled kernels, our other kernels
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class _FastPath:
    """What calls on plain arrays need, loaded by the first call that needs it.

    ``small(probs, grad_output, out)`` computes a small call of `numba_simd` and returns DONE. It returns LARGE for a
    call that `large` has to compute, and UNFIT if the shapes differ or `out` partly overlaps an input. Another kernel
    is called if ``fits(probs, grad_output, out)``: the arrays have one shape (B, D), and `out` overlaps no input.
    """

    __slots__ = ("fits", "large", "small")

    def __init__(self) -> None:
        self.small: Any = None
        self.large: Any = None
        self.fits: Any = _fits

    def load(self, impl: object) -> tuple[Any, int]:
        """Return the kernel that `impl` stands for and its kind; the next call finds them in `registry.resolved`."""
        record = _resolve(impl)
        kind = OURS if registry.is_ours(record) else USERS
        if "numba" in record.requires and dispatch.has_compiler():
            module = importlib.import_module("softmax_impls.backward.numba_simd")
            self.small, self.large, self.fits = module.run_if_small, module.run_large, module.fits
            if kind == OURS:
                kind = SIMD if record.name == "numba_simd" else COMPILED
        if not (isinstance(impl, str) and ":" in impl):  # its module may be imported again
            with contextlib.suppress(TypeError):  # a kernel that is not hashable
                registry.resolved[impl] = record.kernel, kind
        return record.kernel, kind


def _fits(probs: Array, grad_output: Array, out: Array) -> bool:
    """As `numba_simd.fits`, without Numba."""
    if not (probs.shape == grad_output.shape == out.shape and probs.ndim == 2 and probs.size):
        return False
    return not (np.may_share_memory(out, probs) or np.may_share_memory(out, grad_output))


_fast_path = _FastPath()


def softmax(x: ArrayLike, *, axis: Axis = -1, out: Array | None = None) -> Array:
    """Compute the softmax of `x` over `axis`: ``exp(x - max(x)) / sum(exp(x - max(x)))``.

    Parameters
    ----------
    x : array_like
        Logits, of any shape and strides. float32 and float64 are computed in their own dtype. float16 is computed in
        float32 and rounded once. Integers and lists are computed in float64.
    axis : int, tuple of int or None, optional
        The axis or axes of the classes, by default the last one; None for all of them.
    out : ndarray, optional
        The array to write the result to, with the result's shape and dtype. It may be `x`.

    Returns
    -------
    ndarray
        The probabilities, with the shape of `x`; `out` if it was given. A scalar where `x` is 0-d.

    Raises
    ------
    TypeError
        If `x` is masked or not real, `axis` is not an integer, or `out` has another dtype than the result.
    ValueError
        If `axis` is out of range or repeated, or `out` has another shape, is read-only or overlaps itself.

    Notes
    -----
    A row that is -inf throughout, or contains NaN or +inf, becomes NaN. Other rows are not affected. Subtracting the
    maximum prevents overflow (Blanchard, Higham and Higham, IMA Journal of Numerical Analysis 41 (4), 2021).

    Examples
    --------
    >>> from softmax_impls import softmax
    >>> softmax([[0.0, 0.0], [1000.0, 1000.0]])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    arrays = {"x": as_real_array("x", x)}
    return run_kernel(_forward, ("x",), arrays, Layout.of(arrays, axis), out)


def softmax_backward(
    probs: ArrayLike,
    grad_output: ArrayLike,
    *,
    axis: Axis = -1,
    out: Array | None = None,
    impl: Impl = "auto",
    threads: int | None = None,
) -> Array:
    """Compute the gradient of a loss with respect to the logits, from the gradient with respect to the probabilities.

    Parameters
    ----------
    probs : array_like
        The result of `softmax`, of any shape and strides. Along `axis` it sums to 1, up to rounding.
    grad_output : array_like
        dL/dprobs, with the shape of `probs`. The computation and the result have the wider dtype of the two inputs.
        float16 is computed in float32 and rounded once. Integers and lists are computed in float64.
    axis : int, tuple of int or None, optional
        The axis or axes of the classes, by default the last one; None for all of them.
    out : ndarray, optional
        The array to write the result to, with the result's shape and dtype. It may be `probs` or `grad_output`, or
        overlap them in any way.
    impl : str, callable or Implementation, optional
        The name of an implementation, see `implementations`; "auto" (the default), see `explain`; a kernel
        ``kernel(probs, grad_output, out)`` of yours, its place as "package.module:function", or its record, see
        `register`.
    threads : int, optional
        The largest number of threads that "auto" and "numba_simd" use, by default that of NUMBA_NUM_THREADS. Other
        implementations follow the settings of their own libraries. Where there are fewer long rows than threads, the
        threads share a row, and the last bit of its result may depend on the number of threads.

    Returns
    -------
    ndarray
        dL/dlogits, with the shape of `probs`; `out` if it was given. A scalar where `probs` is 0-d.

    Raises
    ------
    TypeError
        If an input is masked or not real, `axis` or `threads` is not an integer, `out` has another dtype than the
        result, `impl` is neither a name nor callable, or a kernel returns its result instead of writing it.
    ValueError
        If the shapes differ, `axis` is out of range or repeated, `threads` is less than 1, no implementation has that
        name or place, or `out` has another shape, is read-only or overlaps itself.

    Notes
    -----
    With probabilities p and their gradient g, dL/dx_i = p_i (g_i - Σ_j p_j g_j). This is the product of the Jacobian of
    softmax, diag(p) - p pᵀ, with g.

    The gradient of a row does not change when a constant is added to its g, as long as its p sum to 1. "auto" uses
    this to stay accurate where rows are saturated (one p near 1). If your rows do not sum to 1 and you want the formula
    exactly as written, pass ``impl="closed_form"``.

    NaN and inf stay in the row that contains them.

    Examples
    --------
    >>> from softmax_impls import softmax, softmax_backward
    >>> probs = softmax([37.42994775023705, 0.0])
    >>> softmax_backward(probs, [1.0, 0.0])
    array([ 5.55111512e-17, -5.55111512e-17])
    """
    # The fast path takes plain arrays of one native dtype that are C-contiguous, aligned and writeable, with the
    # classes on the last axis. `small` or `fits` checks the rest. The general path takes ten times as long as the
    # arithmetic of a small call. Moving these lines into a function of their own cost 3 % of a call at 1×10.
    if (
        type(probs) is ndarray
        and type(grad_output) is ndarray
        and (threads is None or (type(threads) is int and threads > 0))
        and ((dtype := probs.dtype) is FLOAT32 or dtype is FLOAT64 or dtype in (FLOAT32, FLOAT64))
        and (grad_output.dtype is dtype or grad_output.dtype == dtype)
        and grad_output.ndim == (ndim := probs.ndim) != 0
        and type(axis) is int
        and (axis == -1 or axis == ndim - 1)
        and probs.flags.carray
        and grad_output.flags.carray
        and (out is None or (type(out) is ndarray and out.dtype == dtype and out.ndim == ndim and out.flags.carray))
    ):
        try:
            kernel, kind = registry.resolved[impl]
        except (KeyError, TypeError):  # the first call with this `impl`; a TypeError if it is not hashable
            kernel, kind = _fast_path.load(impl)
        result = empty(probs.shape, dtype) if out is None else out
        if kind == SIMD:
            state = _fast_path.small(probs, grad_output, result)
            if state == LARGE:
                _fast_path.large(probs, grad_output, result, threads)
            if state != UNFIT:
                return result
        elif _fast_path.fits(probs, grad_output, result):
            if kind == COMPILED:  # it does not warn, and np.errstate takes longer than a small call
                kernel(probs, grad_output, result)
            else:
                _run_guarded(kernel, kind == USERS, probs, grad_output, result)
            return result
    return _general_path(probs, grad_output, axis, out, impl, threads)


def _run_guarded(kernel: Any, is_users: bool, probs: Array, grad_output: Array, result: Array) -> None:
    """Run a kernel that may warn; if it is the user's, on read-only inputs, with a `result` that starts as NaN."""
    if is_users:
        probs, grad_output = read_only(probs), read_only(grad_output)
        result.fill(np.nan)
    invoke(kernel, probs, grad_output, out=result)


def _general_path(
    probs: ArrayLike, grad_output: ArrayLike, axis: Axis, out: Array | None, impl: Impl, threads: int | None
) -> Array:
    """Compute any call: validate its arguments, and convert the arrays to the rows that kernels take."""
    if threads is not None:
        with limit_threads(as_thread_count(threads)):
            return softmax_backward(probs, grad_output, axis=axis, out=out, impl=impl)
    arrays = {"probs": as_real_array("probs", probs), "grad_output": as_real_array("grad_output", grad_output)}
    layout = Layout.of(arrays, axis)
    implementation = _resolve(impl)
    guarded = not registry.is_ours(implementation)
    return run_kernel(implementation.kernel, implementation.in_place, arrays, layout, out, guarded=guarded)


def _resolve(impl: object) -> Implementation:
    """Return the implementation that a name, a record or a kernel stands for."""
    if isinstance(impl, str):
        return registry.from_spec(dispatch.pick().impl if impl == AUTO else impl)
    if isinstance(impl, Implementation):
        return impl
    if callable(impl):
        return registry.from_kernel(impl)
    raise TypeError(f"impl must be a name, 'auto' or a kernel (probs, grad_output, out), got {type(impl).__name__}")


def _forward(x: Array, out: Array) -> None:
    """Compute the softmax of each row in `out`, which may be `x`."""
    np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=-1, keepdims=True), out=out)
