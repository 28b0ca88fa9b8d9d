"""What is computed on a chunk of a Dask array; without Dask.

The first functions compute whole rows by the plain functions. The others are for rows that are divided into several
chunks. Their results for each row, the reports, have the shape of the chunk with length 1 on the axes of the classes.

Backward, p (h - Σ p h) with h = g - c: `backward_report`, `merge_dots` for the row, `shifted_dot`, `merge_shifted` for
the row, `gradient`. All of them compute in float64.

Forward: `softmax_part`, `softmax_report`, `merge_sums` for the row, `scaled`. The softmax of a chunk is q = e / s, with
e = exp(x - m) and s = Σ e. Its largest q is 1 / s, because the largest e is exp(0) = 1: so s need not be summed again.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax_impls import api
from softmax_impls.dask import kernels
from softmax_impls.implementation import Array, Impl, read_only
from softmax_impls.layout import Layout, as_real_array, run_kernel
from softmax_impls.simd.sizes import MAX_UNSHIFTED_RATIO
from softmax_impls.threads import limit_threads

Axes = tuple[int, ...]
Records = NDArray[Any]
Floats = NDArray[np.float64]

DOT = np.dtype(np.float64)
TOP_AND_DOT = np.dtype([("p", DOT), ("g", DOT), ("dot", DOT)])  # the largest p, its g, Σ p g
# The largest x, Σ exp(x - max). Where the processor has more digits than float64, the errors are those of whole rows.
MAX_AND_SUM = np.dtype([("max", DOT), ("sum", np.longdouble)])

# If Σ p g and g at the largest p are smaller, no difference of two g overflows: it rounds to a number in range.
SMALL = 2.0**968


def softmax(x: Array, axes: Axes) -> Array:
    """Compute the softmax of whole rows, in one thread."""
    with limit_threads(1):
        return api.softmax(x, axis=_axis(axes))


def backward(probs: Array, grad_output: Array, axes: Axes, impl: Impl) -> Array:
    """Compute the gradient of whole rows, in one thread."""
    return api.softmax_backward(probs, grad_output, axis=_axis(axes), impl=impl, threads=1)


def _axis(axes: Axes) -> int | Axes:
    return axes[0] if len(axes) == 1 else axes  # plain calls take the fast path only for an int


def softmax_part(x: Array, axes: Axes) -> Array:
    """Return the softmax of a chunk alone, in the dtype of the computation."""
    return softmax(x.astype(np.result_type(x, np.float32), copy=False), axes)


@np.errstate(all="ignore")
def softmax_report(x: Array, part: Array, axes: Axes) -> Records:
    """Return the largest x of a chunk, and its Σ exp(x - max x). A chunk that is -inf throughout has the sum 0."""
    report = np.empty(_shape_of_reports(x.shape, axes), MAX_AND_SUM)
    report["max"] = x.max(axis=axes, keepdims=True, initial=-np.inf)
    report["sum"] = 1 / part.max(axis=axes, keepdims=True, initial=0).astype(np.longdouble)
    report["sum"][report["max"] == -np.inf] = 0
    return report


@np.errstate(all="ignore")
def merge_sums(reports: Records, axis: Axes, keepdims: bool = True) -> Records:
    """Merge the reports of chunks of the same rows."""
    largest = reports["max"].max(axis=axis, keepdims=True)
    sums = reports["sum"] * np.exp(reports["max"] - largest, dtype=np.longdouble)
    sums[reports["max"] == -np.inf] = 0  # also where all are -inf; `scaled` makes NaN of it
    merged = np.empty(largest.shape, MAX_AND_SUM)
    merged["max"], merged["sum"] = largest, sums.sum(axis=axis, keepdims=True)
    return merged


@np.errstate(all="ignore")
def scaled(part: Array, report: Records, total: Records, result: Any) -> Array:
    """Return a chunk of the softmax of whole rows, from its own softmax."""
    factor = (report["sum"] * np.exp(report["max"] - total["max"], dtype=np.longdouble) / total["sum"]).astype(DOT)
    if (masked := report["max"] == -np.inf).any():
        part = np.where(masked, 0, part)  # its own softmax is NaN
    return np.asarray(np.multiply(part, factor, out=np.empty(part.shape, result), casting="same_kind"))


@np.errstate(all="ignore")
def backward_report(probs: Array, grad_output: Array, axes: Axes) -> Records:
    """Return the largest p of each row of a chunk, its g, and Σ p g."""
    p, g, reports = _rows(probs, grad_output, axes, TOP_AND_DOT)
    rows = reports.reshape(-1)
    if p.shape[1]:
        top = np.arange(len(p)), p.argmax(axis=-1)
        rows["p"], rows["g"] = p[top], g[top]
    else:
        rows["p"], rows["g"] = -1, 0  # every other chunk has a larger p
    rows["dot"] = kernels.dots(p, g, np.ones(len(p)), np.zeros(len(p)))
    return reports


@np.errstate(all="ignore")
def merge_dots(reports: Records, axis: Axes, keepdims: bool = True) -> Records:
    """Merge the reports of chunks of the same rows. The first of equal p is the largest."""
    chunks_first = np.moveaxis(reports, axis, range(len(axis)))
    flat = chunks_first.reshape(-1, *chunks_first.shape[len(axis) :])
    merged = np.take_along_axis(flat, flat["p"].argmax(axis=0)[np.newaxis], axis=0)[0]
    merged["dot"] = flat["dot"].sum(axis=0)
    return np.asarray(np.expand_dims(merged, axis))


def _shifts(total: Records) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return which rows need a shift, the factor of their g, and the shift c of factor·g; from reports of whole rows.

    As in `simd.passes`, a row needs a shift where Σ p g is too inaccurate. It is computed with a quarter of g where a
    difference of two g may overflow; there, or where it contains NaN, its Σ p g is useless, too.
    """
    g, dot = total["g"].reshape(-1), total["dot"].reshape(-1)
    small = (np.abs(g) < SMALL) & (np.abs(dot) < SMALL)
    needed = ~(small & (np.abs(g) <= MAX_UNSHIFTED_RATIO * np.abs(dot - g)))
    factor = np.where(small, 1.0, 0.25)
    return needed, factor, np.where(needed, factor * g, 0.0)


@np.errstate(all="ignore")
def shifted_dot(probs: Array, grad_output: Array, total: Records, axes: Axes) -> Floats:
    """Return Σ p (factor·g - c) of a chunk for the rows that need a shift, 0 for the others."""
    needed, factor, shift = _shifts(total)
    if not needed.any():
        return np.zeros(total.shape)
    p, g, dots = _rows(probs, grad_output, axes, DOT)
    dots.reshape(-1)[:] = kernels.dots(p, g, np.where(needed, factor, 0.0), shift)
    return dots


@np.errstate(all="ignore")
def merge_shifted(dots: Floats, axis: Axes, keepdims: bool = True) -> Floats:
    """Add the results of `shifted_dot` of chunks of the same rows."""
    return np.asarray(dots.sum(axis=axis, keepdims=keepdims))


@np.errstate(all="ignore")
def gradient(probs: Array, grad_output: Array, total: Records, dot: Floats, axes: Axes) -> Array:
    """Return a chunk of p (h - Σ p h), with the Σ p h of whole rows."""
    arrays = {"probs": as_real_array("probs", probs), "grad_output": as_real_array("grad_output", grad_output)}
    needed, factor, shift = _shifts(total)
    sums = np.where(needed, dot.reshape(-1), total["dot"].reshape(-1))

    def write(probs: Array, grad_output: Array, out: Array) -> None:
        kernels.write(read_only(probs), read_only(grad_output), factor, shift, sums, out)

    return run_kernel(write, (), arrays, Layout.of(arrays, axes), None)


def _rows(probs: Array, grad_output: Array, axes: Axes, report: np.dtype[Any]) -> tuple[Array, Array, Records]:
    """Return a chunk as rows, (B, n) each and read-only, and an array for its reports."""
    arrays = {"probs": as_real_array("probs", probs), "grad_output": as_real_array("grad_output", grad_output)}
    layout = Layout.of(arrays, axes)
    p, g = (read_only(layout.read(array)) for array in arrays.values())
    return p, g, np.empty(_shape_of_reports(layout.shape, axes), report)


def _shape_of_reports(shape: tuple[int, ...], axes: Axes) -> list[int]:
    return [1 if axis in axes else size for axis, size in enumerate(shape)]
