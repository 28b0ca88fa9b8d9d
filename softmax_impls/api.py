"""`softmax` and `softmax_backward`, the two functions that a user calls.

`softmax_backward` has a fast path for plain arrays, and a general path that validates and converts all other arguments.
"""

from numpy import empty, ndarray
from numpy.typing import ArrayLike

from softmax_impls import registry
from softmax_impls.blocks import run_arrays
from softmax_impls.calls import (
    COMPILED,
    SIMD,
    USERS,
    falls_back,
    fast_path,
    general_path,
    run_guarded,
    softmax_columns,
    softmax_compiled,
)
from softmax_impls.implementation import Array, Impl
from softmax_impls.layout import Axis
from softmax_impls.simd.sizes import LARGE, UNFIT


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
    If all logits of a row are -inf, or one is NaN or +inf, the row becomes NaN. Other rows are not affected.

    Subtracting the maximum prevents overflow (Blanchard, Higham and Higham, IMA Journal of Numerical Analysis 41 (4),
    2021).

    The softmax is computed by Numba, in as many threads as "auto" uses in `softmax_backward`. If Numba cannot compile,
    it is computed by NumPy.

    Examples
    --------
    >>> from softmax_impls import softmax
    >>> softmax([[0.0, 0.0], [1000.0, 1000.0]])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    if type(x) is ndarray and type(axis) is int and (axis == -1 or axis == x.ndim - 1):  # the fast path
        result = empty(x.shape, x.dtype) if out is None else out
        if softmax_compiled(x, result):
            return result
        del result  # the general path takes other memory
    return run_arrays(softmax_columns, {"x": x}, axis, out)


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
        The implementation: "auto" (the default, see `explain`), a name (see `implementations`), a function
        ``kernel(probs, grad_output, out)`` of yours (see `register`), the string "package.module:function" that names
        such a function, or an `Implementation`.
    threads : int, optional
        The largest number of threads that "auto" and "numba_simd" use, by default the value of NUMBA_NUM_THREADS. Other
        implementations follow the settings of their own libraries. If the rows are long, and there are fewer than two
        rows for each thread, the threads may share each row. Then the last bit of the result may depend on their
        number.

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
        If the shapes differ, `axis` is out of range or repeated, `threads` is less than 1, `impl` names no
        implementation, or `out` has another shape, is read-only or overlaps itself.

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
    # The fast path takes plain arrays of one shape and dtype, with the classes on one axis. `small`, `direct_call` or
    # `fits` checks them, see `arrays.common_size`. The general path takes ten times as long as the arithmetic of
    # a small call. When these lines were a function of their own, a call at 1×10 took 3 % longer.
    try:
        kernel, kind, record = found = registry.resolved[impl]
    except (KeyError, TypeError):  # KeyError: the first call with this `impl`. TypeError: it is not hashable
        kernel, kind, record = found = fast_path.load(impl)
    if type(probs) is ndarray and type(axis) is int and (threads is None or (type(threads) is int and threads > 0)):
        try:
            result = empty(probs.shape, probs.dtype) if out is None else out
            if axis != -1 and axis != probs.ndim - 1:
                if kind == SIMD and fast_path.simd.columns.direct_call(probs, grad_output, result, axis, threads):
                    return result
            elif kind == SIMD:
                state = fast_path.small(probs, grad_output, result, fast_path.table)
                if state == LARGE:
                    fast_path.simd.run_large(probs, grad_output, result, threads)
                if state != UNFIT:
                    return result
            elif fast_path.fits(probs, grad_output, result):
                if kind == COMPILED:  # such a kernel does not warn, and np.errstate takes longer than a small call
                    kernel[probs.itemsize](probs, grad_output, result)
                else:
                    run_guarded(kernel, kind == USERS, probs, grad_output, result)
                return result
        except Exception as error:
            if not falls_back(impl, error, record.name):
                raise
            return softmax_backward(probs, grad_output, axis=axis, out=out, impl=impl, threads=threads)
        del result  # the general path takes other memory
    return general_path(found, probs, grad_output, axis, out, impl, threads)
