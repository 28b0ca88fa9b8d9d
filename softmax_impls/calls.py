"""The parts of the two calls of `api`: functions for their fast paths, their general paths, and the fallback.

Where `numba_simd` cannot be compiled, as with another version of Numba, "auto" falls back to the next implementation.
"""

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmax_impls import dispatch, registry
from softmax_impls.blocks import run_arrays, run_rows
from softmax_impls.implementation import Array, Impl, Implementation, invoke, read_only
from softmax_impls.layout import Axis, as_thread_count, run_kernel
from softmax_impls.simd.sizes import LARGE, UNFIT, VECTOR_BYTES

AUTO = "auto"
MAX_RESOLVED = 100  # kernels that calls find without `registry`
SIMD, COMPILED, OURS, USERS = range(4)  # kinds of kernels: numba_simd, our other compiled kernels, our other kernels


class _Compiled(dict[int, Any]):
    """The machine code of a kernel, by the size of an element. Numba's own dispatch would take 0.15 µs more."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    def __missing__(self, itemsize: int) -> Any:
        from numba import typeof

        arrays = [np.zeros((1, 1), f"f{itemsize}") for _ in range(3)]
        self._kernel(*arrays)  # compiles it
        types = tuple(map(typeof, arrays))
        return self.setdefault(itemsize, self._kernel.overloads[types].entry_point)


def _fits(probs: Array, grad_output: Array, out: Array) -> bool:
    """As `numba_simd.fits`, without Numba."""
    if not (probs.shape == grad_output.shape == out.shape and probs.ndim == 2 and probs.size):
        return False
    return not (np.may_share_memory(out, probs) or np.may_share_memory(out, grad_output))


def _compiled_fits(*arrays: Array) -> int:
    """Load `numba_simd.fits`, which later calls use directly."""
    from softmax_impls.backward.numba_simd import fits

    fast_path.fits = fits.compiled
    return fast_path.fits(*arrays)  # type: ignore[no-any-return]


@dataclass(slots=True)
class FastPath:
    """What calls on plain arrays need, loaded by the first call that needs it.

    ``small(probs, grad_output, out, table)`` computes a small call of `numba_simd` and returns DONE. It returns LARGE
    for a call that `large` has to compute, and UNFIT if the shapes differ or `out` partly overlaps an input.
    ``fits(probs, grad_output, out)`` states whether the arrays have one shape (B, D) and `out` overlaps no input, so
    that any other kernel may be called.
    """

    small: Any = None
    table: Any = None
    large: Any = None
    direct: Any = None  # for classes on another axis than the last; it returns whether it computed the call
    columns: Any = None  # as `large`, for (outer, D, inner) arrays
    fits: Any = _fits
    forward: Any = None  # the module of the compiled forward pass
    forward_columns: Any = None  # the forward pass of (outer, D, inner) arrays

    def load_forward(self) -> None:
        """Load the forward pass in SIMD vectors, if it can be compiled."""
        if dispatch.compiles("numba_simd"):
            from softmax_impls.simd import columns, forward, pool

            self.small, self.forward_columns, self.forward = pool.enter.compiled, columns.forward, forward

    def load(self, impl: object) -> tuple[Any, int]:
        """Return the kernel that `impl` stands for and its kind; the next call finds them in `registry.resolved`."""
        picked = dispatch.pick().impl
        try:
            kernel, kind = self._load(impl)
        except Exception as error:
            if not falls_back(impl, error, picked):
                raise
            return self.load(impl)
        if not (isinstance(impl, str) and ":" in impl):  # its module may be imported again
            with contextlib.suppress(TypeError):  # a kernel that is not hashable
                if len(registry.resolved) >= MAX_RESOLVED:  # a program may make a new kernel for each call
                    registry.resolved.clear()
                registry.resolved[impl] = kernel, kind
        return kernel, kind

    def _load(self, impl: object) -> tuple[Any, int]:
        record = _resolve(impl)
        kernel: Any = record.kernel
        if not registry.is_ours(record):
            return kernel, USERS
        if "numba" not in record.requires or not dispatch.has_compiler():
            return kernel, OURS
        is_simd = record.name == "numba_simd"
        if is_simd or dispatch.compiles("numba_simd"):
            from softmax_impls.backward import numba_simd
            from softmax_impls.simd import columns, pool

            self.large, self.columns, self.direct = numba_simd.run_large, numba_simd.run_columns, columns.direct_call
            self.fits = _compiled_fits
            if is_simd:
                self.small, self.table = pool.enter.compiled, numba_simd.TASKS.small
        return (kernel, SIMD) if is_simd else (_Compiled(kernel), COMPILED)


fast_path = FastPath()


def softmax_columns(x: Array, out: Array) -> None:
    """Compute the softmax of a C-contiguous (outer, D, inner) array; `out` may be `x`."""
    try:
        if fast_path.forward is None:
            fast_path.load_forward()
        if fast_path.forward is not None and x.shape[2] * x.itemsize >= VECTOR_BYTES:
            fast_path.forward_columns(x, out)
            return
    except Exception as error:
        if not falls_back(AUTO, error, "numba_simd"):
            raise
    run_rows(_forward, x, out)


def softmax_rows(x: Array, out: Array) -> bool:
    """Compute the softmax of rows in compiled code. Return False, with nothing done, if it or `out` is unfit."""
    try:
        if fast_path.forward is None:
            fast_path.load_forward()
        if (forward := fast_path.forward) is None:
            return False
        state = fast_path.small(x, x, out, forward.TASKS.small)
        if state == LARGE:
            forward.run(x, out)
        return state != UNFIT  # type: ignore[no-any-return]
    except Exception as error:
        if not falls_back(AUTO, error, "numba_simd"):
            raise
        return False


def falls_back(impl: object, error: Exception, failed: str = "") -> bool:
    """Return whether "auto" goes on with another implementation, because it cannot compile `failed` or its pick."""
    if not isinstance(impl, str) or impl != AUTO or not _may_be_of_the_compiler(error):
        return False
    if not dispatch.fall_back(failed or dispatch.pick().impl, error):
        return False
    registry.resolved.clear()
    fast_path.fits, fast_path.forward = _fits, None
    return True


def _may_be_of_the_compiler(error: Exception) -> bool:
    """Return False for exceptions that come from elsewhere, as those that a signal handler raises."""
    if type(error) is Exception or isinstance(error, MemoryError | RecursionError | TimeoutError):
        return False
    return type(error).__module__.partition(".")[0] in ("builtins", "llvmlite", "numba")


def run_guarded(kernel: Any, is_users: bool, probs: Array, grad_output: Array, result: Array) -> None:
    """Run a kernel that may warn; if it is the user's, on read-only inputs, with a `result` that starts as NaN."""
    if is_users:
        probs, grad_output = read_only(probs), read_only(grad_output)
        result.fill(np.nan)
    invoke(kernel, probs, grad_output, out=result)


def general_path(
    probs: ArrayLike, grad_output: ArrayLike, axis: Axis, out: Array | None, impl: Impl, threads: int | None
) -> Array:
    """Compute any call: validate its arguments, and convert the arrays to the rows or columns that kernels take."""
    given, count = {"probs": probs, "grad_output": grad_output}, None if threads is None else as_thread_count(threads)
    checked = _or_fall_back if impl == AUTO else lambda kernel, _: kernel
    try:
        if _kind_of(impl) == SIMD:  # it takes other axes than the last without copies
            columns = functools.partial(fast_path.columns, threads=count) if count else fast_path.columns
            return run_arrays(checked(columns, "numba_simd"), given, axis, out)
        record = _resolve(impl)
        kernel = checked(record.kernel, record.name)
        return run_kernel(kernel, record.in_place, given, axis, out, guarded=not registry.is_ours(record))
    except _FallenBackError:
        return general_path(probs, grad_output, axis, out, impl, threads)


class _FallenBackError(Exception):
    pass


def _or_fall_back(kernel: Any, name: str) -> Any:
    """Return a kernel that raises _FallenBackError if it cannot be compiled, and "auto" picks another."""

    def run(*arrays: Array, **out: Array) -> None:
        try:
            kernel(*arrays, **out)
        except Exception as error:
            if falls_back(AUTO, error, name):
                raise _FallenBackError from error
            raise

    return run


def _kind_of(impl: object) -> int:
    try:
        return registry.resolved[impl][1]
    except (KeyError, TypeError):
        return fast_path.load(impl)[1]


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
    if softmax_rows(x, out):
        return
    with np.errstate(all="ignore"):
        np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
        np.exp(out, out=out)
        np.divide(out, out.sum(axis=-1, keepdims=True), out=out)
