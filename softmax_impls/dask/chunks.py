"""The functions that compute a chunk of a Dask array. They do not use Dask.

`softmax` and `backward` compute chunks of whole rows by the plain functions. The other functions are for rows that are
divided into several chunks. In the forward pass, `softmax` computes the softmax of each chunk alone, and `scaled`
multiplies it by the chunk's share of the sum over the whole row. A report is an array with a record for each row of a
chunk, such as the sum over the chunk's part of the row. It has the shape of the chunk, but length 1 on the axes of the
classes. The backward pass computes p (h - Σ p h) with h = g - c, where c is g at the largest p of the row, or 0 if
Σ p g is accurate. The functions are called in this order::

    backward           computes               forward           computes
    ---------------    -------------------    --------------    ----------
    backward_report    each chunk             softmax           each chunk
    merge_dots         whole rows             softmax_report    each chunk
    shifted_dot        each chunk             merge_sums        whole rows
    merge_shifted      whole rows             scaled            each chunk
    gradient           each chunk

The backward pass is computed in float64. In the forward pass, `softmax_report` needs s = Σ exp(x - max x) of a chunk.
It computes s without another sum, from the softmax of the chunk, exp(x - max x) / s: the largest exponential is
exp(0) = 1, so the largest element of the softmax is 1 / s.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls import api
from softmax_impls.dask import kernels
from softmax_impls.implementation import Array, Impl, read_only
from softmax_impls.layout import Layout, as_real_arrays
from softmax_impls.simd.sizes import MAX_UNSHIFTED_RATIO
from softmax_impls.threads import limit_threads

Axes = tuple[int, ...]
Records = NDArray[Any]
Floats = NDArray[np.float64]

# A sum is "sum" + "rest", the part that rounding lost. So the error does not grow with the number of chunks. Sums are
# added in longdouble. The bytes of a longdouble differ between processors, so reports do not contain longdoubles.
SUM = [("sum", np.float64), ("rest", np.float64)]
DOT = np.dtype(SUM)  # Σ p h
TOP_AND_DOT = np.dtype([("p", np.float64), ("g", np.float64), *SUM])  # the largest p, its g, Σ p g
MAX_AND_SUM = np.dtype([("max", np.float64), *SUM])  # the largest x, Σ exp(x - max)

# If |Σ p g| and |g at the largest p| are below this limit, subtracting them from any g does not overflow: the limit is
# less than half a unit in the last place of the largest float64.
SMALL = 2.0**968


def softmax(x: Array, axes: Axes) -> Array:
    """Compute the softmax of each row of a chunk, in one thread.

    If the chunk has only a part of each row, the result is the softmax of this part alone.
    """
    with limit_threads(1):
        return api.softmax(x, axis=_axis(axes))


def backward(probs: Array, grad_output: Array, axes: Axes, impl: Impl) -> Array:
    """Compute the gradient of whole rows, in one thread."""
    return api.softmax_backward(probs, grad_output, axis=_axis(axes), impl=impl, threads=1)


def _axis(axes: Axes) -> int | Axes:
    return axes[0] if len(axes) == 1 else axes  # plain calls take the fast path only for an int


@np.errstate(all="ignore")
def softmax_report(x: Array, part: Array, axes: Axes) -> Records:
    """Return the largest x and Σ exp(x - max x) of each row of a chunk; `part` is the softmax of the chunk alone.

    If all x of a row are -inf, the sum is 0.
    """
    largest = x.max(axis=axes, keepdims=True, initial=-np.inf)
    sums = 1 / part.max(axis=axes, keepdims=True, initial=0).astype(np.longdouble)
    return _report_of(MAX_AND_SUM, np.where(largest == -np.inf, 0, sums), max=largest)


def _report_of(dtype: np.dtype[Any], sums: Any, **others: Array) -> Records:
    report = np.empty(sums.shape, dtype)
    for name, values in others.items():
        report[name] = values
    report["sum"] = sums
    report["rest"] = sums - report["sum"]
    return report


def _sums_of(reports: Records) -> Any:
    return reports["sum"] + reports["rest"].astype(np.longdouble)


@np.errstate(all="ignore")
def merge_sums(reports: Records, axis: Axes, keepdims: bool = True) -> Records:
    """Merge the results of `softmax_report` for chunks of the same rows.

    Return the largest x and Σ exp(x - max x) of each row.
    """
    largest = reports["max"].max(axis=axis, keepdims=True)
    sums = _sums_of(reports) * np.exp(reports["max"] - largest, dtype=np.longdouble)
    sums[reports["max"] == -np.inf] = 0  # if all x of a row are -inf, the total is 0, and `scaled` returns NaN
    return _report_of(MAX_AND_SUM, sums.sum(axis=axis, keepdims=True), max=largest)


@np.errstate(all="ignore")
def scaled(part: Array, report: Records, total: Records, result: Any) -> Array:
    """Return a chunk of the softmax of whole rows, from `part`, the softmax of the chunk alone.

    `report` is the result of `softmax_report` for this chunk, and `total` the result of `merge_sums` for all chunks of
    its rows. `result` is the dtype of the result.
    """
    share = _sums_of(report) * np.exp(report["max"] - total["max"], dtype=np.longdouble)
    factor = (share / _sums_of(total)).astype(np.float64)
    if (masked := report["max"] == -np.inf).any():
        part = np.where(masked, 0, part)  # the softmax of the chunk alone is NaN
    return np.asarray(np.multiply(part, factor, out=np.empty(part.shape, result), casting="same_kind"))


@np.errstate(all="ignore")
def backward_report(probs: Array, grad_output: Array, axes: Axes) -> Records:
    """Return the largest p of each row of a chunk, its g, and Σ p g."""
    p, g, layout = _rows(probs, grad_output, axes)
    reports = np.empty([1 if axis in axes else size for axis, size in enumerate(layout.shape)], TOP_AND_DOT)
    rows = reports.reshape(-1)
    if p.shape[1]:
        top = np.arange(len(p)), p.argmax(axis=-1)
        rows["p"], rows["g"] = p[top], g[top]
    else:
        rows["p"], rows["g"] = -1, 0  # for an empty chunk: every other chunk has a larger p
    rows["sum"], rows["rest"] = kernels.dots(p, g, np.ones(len(p)), np.zeros(len(p)))
    return reports


@np.errstate(all="ignore")
def merge_dots(reports: Records, axis: Axes, keepdims: bool = True) -> Records:
    """Merge the results of `backward_report` for chunks of the same rows.

    Return the largest p of each row, its g, and Σ p g. Of several chunks with the largest p, the first gives the g.
    """
    chunks_first = np.moveaxis(reports, axis, range(len(axis)))
    flat = chunks_first.reshape(-1, *chunks_first.shape[len(axis) :])
    top = np.take_along_axis(flat, flat["p"].argmax(axis=0)[np.newaxis], axis=0)[0]
    merged = _report_of(TOP_AND_DOT, _sums_of(flat).sum(axis=0), p=top["p"], g=top["g"])
    return np.asarray(np.expand_dims(merged, axis))


def _shifts(total: Records) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return the factor and the shift of each row for h = factor·g - shift, with which the backward pass computes.

    The result has three arrays: whether the row needs a shift, the factors, and the shifts, which are 0 where no shift
    is needed. `total` has the merged reports of whole rows. As in `simd.passes`, a row needs a shift if its Σ p g is
    too inaccurate. The factor is 1/4 if a difference of two g may overflow, else 1. A row that may overflow or contains
    NaN also needs a shift, because its Σ p g cannot be used.
    """
    g, dot = total["g"].reshape(-1), total["sum"].reshape(-1)
    small = (np.abs(g) < SMALL) & (np.abs(dot) < SMALL)
    needed = ~(small & (np.abs(g) <= MAX_UNSHIFTED_RATIO * np.abs(dot - g)))
    factor = np.where(small, 1.0, 0.25)
    return needed, factor, np.where(needed, factor * g, 0.0)


@np.errstate(all="ignore")
def shifted_dot(probs: Array, grad_output: Array, total: Records, axes: Axes) -> Records:
    """Return Σ p h of each row of a chunk, where h = factor·g - shift; 0 for the rows that need no shift.

    `_shifts` computes the factor and the shift of each row from `total`, the result of `merge_dots` for whole rows.
    """
    needed, factor, shift = _shifts(total)
    dots = np.zeros(total.shape, DOT)
    if needed.any():
        p, g, _ = _rows(probs, grad_output, axes)
        rows = dots.reshape(-1)
        rows["sum"], rows["rest"] = kernels.dots(p, g, np.where(needed, factor, 0.0), shift)
    return dots


@np.errstate(all="ignore")
def merge_shifted(dots: Records, axis: Axes, keepdims: bool = True) -> Records:
    """Add the results of `shifted_dot` for chunks of the same rows."""
    return _report_of(DOT, _sums_of(dots).sum(axis=axis, keepdims=True))


@np.errstate(all="ignore")
def gradient(probs: Array, grad_output: Array, total: Records, dot: Records, axes: Axes) -> Array:
    """Return a chunk of the gradient, p (h - Σ p h) / factor, where h = factor·g - shift.

    `total` is the result of `merge_dots`. It gives the factor and the shift of each row (see `_shifts`). `dot` is the
    result of `merge_shifted`, with Σ p h of the rows that need a shift. For the other rows, the factor is 1 and the
    shift 0, and Σ p h is taken from `total`.
    """
    needed, factor, shift = _shifts(total)
    sums = np.where(needed, dot["sum"].reshape(-1), total["sum"].reshape(-1))
    p, g, layout = _rows(probs, grad_output, axes)
    rows = np.empty(p.shape, p.dtype)
    kernels.write(p, g, factor, shift, sums, rows)
    moved = rows.reshape([layout.shape[axis] for axis in layout.order])
    return moved.transpose(np.argsort(layout.order)).astype(layout.result, copy=False)


def _rows(probs: Array, grad_output: Array, axes: Axes) -> tuple[Array, Array, Layout]:
    """Return both arrays of a chunk as read-only rows, (B, n), and the layout of the chunk."""
    arrays = as_real_arrays({"probs": probs, "grad_output": grad_output})
    layout = Layout.of(arrays, axes)
    p, g = (read_only(layout.read(array)) for array in arrays.values())
    return p, g, layout
