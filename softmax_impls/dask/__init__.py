"""`softmax` and `softmax_backward` for Dask arrays. They need ``pip install 'softmax-impls[distributed]'``.

If no axis of the classes is divided into chunks, a call of the plain function computes each chunk, without
communication. If the classes are divided, a row lies in several chunks. Each chunk then reports a few numbers for each
of its rows, and a tree of tasks merges the reports of each row. From the merged report, each chunk of the result is
computed. `softmax_impls.dask.chunks` has the arithmetic, with sums in float64. The tree follows the positions of the
chunks, so the result depends neither on the workers that compute the chunks nor on their order.

By default, the task of a chunk uses one thread: the thread of the Dask worker that runs the task.

>>> import dask.array as da
>>> from softmax_impls.dask import softmax, softmax_backward
>>> logits = da.ones((4, 1000), chunks=(2, 250), dtype="float32")
>>> probs = softmax(logits)
>>> probs
dask.array<softmax-scaled, shape=(4, 1000), dtype=float32, chunksize=(2, 250), chunktype=numpy.ndarray>
>>> softmax_backward(probs, logits).sum().compute()
np.float32(0.0)
"""

import math
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array

from softmax_impls.calls import AUTO, fast_path
from softmax_impls.dask import chunks
from softmax_impls.implementation import Impl
from softmax_impls.layout import Axis, Layout, real_dtype

__all__ = ["softmax", "softmax_backward"]

MERGED = 8  # the number of reports that one task of the tree merges


def softmax(x: Any, *, axis: Axis = -1) -> Any:
    """Compute the softmax of a Dask array lazily.

    Parameters
    ----------
    x : dask.array.Array
        Logits, as in `softmax_impls.softmax`, in chunks of NumPy arrays.
    axis : int, tuple of int or None, optional
        The axis or axes of the classes, by default the last one. They may be divided into chunks.

    Returns
    -------
    dask.array.Array
        The probabilities, with the shape and the chunks of `x`.

    Raises
    ------
    TypeError
        If `x` is masked, not real or has chunks of another library, or `axis` is not an integer.
    ValueError
        If `axis` is out of range or repeated.

    Notes
    -----
    If the classes are divided, the softmax of each chunk alone is computed. For each of its rows, a chunk reports the
    largest x and Σ exp(x - max x). The merged reports of a row give a factor for each chunk: the softmax of the chunk
    times this factor is a part of the softmax of the row. This adds two roundings to the error of the plain function,
    for any number of chunks.

    Examples
    --------
    >>> import dask.array as da
    >>> from softmax_impls.dask import softmax
    >>> softmax(da.from_array([0.0, 0.0, 1000.0, 1000.0], chunks=2)).compute()
    array([0. , 0. , 0.5, 0.5])
    """
    x = _real("x", x)
    layout = Layout.of({"x": x}, axis)
    axes, dtype = layout.axes, layout.result
    if not _are_divided(axes, x):
        return _blockwise("softmax", chunks.softmax, dtype, x, axes=axes)
    parts = _blockwise("softmax-parts", chunks.softmax, layout.compute, x.astype(layout.compute), axes=axes)
    reports = _reports("softmax-reports", chunks.softmax_report, chunks.MAX_AND_SUM, x, parts, axes=axes)
    total = _tree("softmax-total", chunks.merge_sums, reports, axes)
    return _blockwise("softmax-scaled", chunks.scaled, dtype, parts, reports, total, result=dtype)


def softmax_backward(probs: Any, grad_output: Any, *, axis: Axis = -1, impl: Impl = AUTO) -> Any:
    """Compute the gradient with respect to the logits of Dask arrays lazily.

    Parameters
    ----------
    probs, grad_output : dask.array.Array
        Probabilities and dL/dprobs, as in `softmax_impls.softmax_backward`, in chunks of NumPy arrays. If their chunks
        differ, each array is also divided at the chunk boundaries of the other array.
    axis : int, tuple of int or None, optional
        The axis or axes of the classes, by default the last one. They may be divided into chunks.
    impl : str, callable or Implementation, optional
        The implementation that computes each chunk. The workers must be able to import it. If the classes are divided,
        it must be "auto" (the default).

    Returns
    -------
    dask.array.Array
        dL/dlogits, with the shape of the inputs, and divided where `probs` or `grad_output` is divided.

    Raises
    ------
    TypeError
        If an input is masked, not real or has chunks of another library, or `axis` has another type than the above.
    ValueError
        If the shapes differ, `axis` is out of range or repeated, or the classes are divided and `impl` is not "auto".

    Notes
    -----
    If the classes are divided, each chunk computes for each of its rows: the largest p, the g at this p, Σ p g in
    float64, and the part of this sum that rounding lost. A tree combines these numbers of all chunks of a row.
    Cancellation can make the total inaccurate, for example on saturated rows. For such rows, each chunk also computes
    Σ p (g - c), where c is g at the largest p of the whole row, and a second tree adds these sums. So saturated rows
    are as accurate as in the plain function.

    Examples
    --------
    >>> import dask.array as da
    >>> from softmax_impls.dask import softmax, softmax_backward
    >>> probs = softmax(da.from_array([37.42994775023705, 0.0], chunks=1))
    >>> softmax_backward(probs, da.from_array([1.0, 0.0], chunks=1)).compute()
    array([ 5.55111512e-17, -5.55111512e-17])
    """
    probs, grad_output = _real("probs", probs), _real("grad_output", grad_output)
    if probs.shape != grad_output.shape and any(map(math.isnan, (*probs.shape, *grad_output.shape))):
        shapes = f"probs {probs.shape} and grad_output {grad_output.shape}"
        raise ValueError(f"probs and grad_output must have known sizes, got {shapes}: call compute_chunk_sizes() first")
    layout = Layout.of({"probs": probs, "grad_output": grad_output}, axis)
    if probs.chunks != grad_output.chunks:
        index = tuple(range(probs.ndim))
        _, (probs, grad_output) = da.core.unify_chunks(probs, index, grad_output, index)
    if impl != AUTO:
        fast_path.load(impl)  # raises its errors now, instead of on a worker
    axes, dtype, arrays = layout.axes, layout.result, (probs, grad_output)
    if not _are_divided(axes, probs):
        return _blockwise("softmax-backward", chunks.backward, dtype, *arrays, axes=axes, impl=impl)
    if impl != AUTO:
        advice = f"rechunk the arrays first, as in probs.rechunk({dict.fromkeys(axes, -1)})"
        raise ValueError(f"impl must be 'auto' where the classes are divided into chunks, got {impl!r}: {advice}")
    reports = _reports("softmax-backward-reports", chunks.backward_report, chunks.TOP_AND_DOT, *arrays, axes=axes)
    total = _tree("softmax-backward-total", chunks.merge_dots, reports, axes)
    shifted = _reports("softmax-backward-shifted", chunks.shifted_dot, chunks.DOT, *arrays, total, axes=axes)
    dot = _tree("softmax-backward-dot", chunks.merge_shifted, shifted, axes)
    return _blockwise("softmax-backward", chunks.gradient, dtype, *arrays, total, dot, axes=axes)


def _real(name: str, value: Any) -> Any:
    """Return a Dask array of a floating-point dtype; TypeError if its chunks are masked or not NumPy arrays."""
    array = da.asanyarray(value)
    meta = meta_from_array(array)
    if isinstance(meta, np.ma.MaskedArray) or not isinstance(meta, np.ndarray):
        kind = f"{type(meta).__module__.partition('.')[0]}.{type(meta).__name__}"
        raise TypeError(f"{name} must have chunks of numpy arrays (not masked), got {kind}")
    dtype = real_dtype(name, array.dtype)
    return array if array.dtype == dtype else array.astype(dtype)


def _are_divided(axes: chunks.Axes, array: Any) -> bool:
    return any(array.numblocks[axis] > 1 for axis in axes)


def _blockwise(name: str, function: Callable[..., Any], dtype: Any, *arrays: Any, **options: Any) -> Any:
    """Apply a function to the chunks of arrays at each position; an array with one chunk on an axis is broadcast."""
    index = tuple(range(arrays[0].ndim))
    operands = [operand for array in arrays for operand in (array, index)]
    options |= {"token": name, "dtype": dtype, "meta": np.empty((0,) * len(index), dtype), "align_arrays": False}
    return da.blockwise(function, index, *operands, **options)


def _reports(name: str, function: Callable[..., Any], dtype: Any, *arrays: Any, axes: chunks.Axes) -> Any:
    """Return a Dask array of the reports that `function` computes from the chunks of `arrays` at each position.

    A report has a record of `dtype` for each row of the chunk, so it has length 1 on `axes`, the axes of the classes.
    """
    return _blockwise(name, function, dtype, *arrays, adjust_chunks=dict.fromkeys(axes, 1), axes=axes)


def _tree(name: str, merge: Callable[..., Any], reports: Any, axes: chunks.Axes) -> Any:
    """Merge the reports of the chunks that share rows; return an array with one merged report for each row.

    `reports` has a report for each row of each chunk, see `chunks`. The reports are merged in a tree of tasks called
    `name`: each task calls `merge` for up to `MERGED` chunks. The tree depends only on the positions of the chunks, so
    the result is the same in each run.
    """
    options = {"dtype": reports.dtype, "meta": np.empty((0,) * reports.ndim, reports.dtype), "name": name}
    return da.reduction(reports, merge, merge, axis=axes, keepdims=True, split_every=MERGED, **options)
