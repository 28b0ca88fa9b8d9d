"""What is behind the two calls of `api`: the compiled functions, the path of all other arguments, and the fallback.

Where `numba_simd` cannot be compiled, as with another version of Numba, "auto" picks the next implementation.
"""

import contextlib
import importlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmax_impls import dispatch, registry
from softmax_impls.blocks import run_blocks, run_plain, run_rows
from softmax_impls.implementation import Array, Impl, Implementation, invoke, read_only
from softmax_impls.layout import Axis, Layout, as_real_array, as_thread_count, run_kernel
from softmax_impls.simd.sizes import LARGE, UNFIT, VECTOR_BYTES
from softmax_impls.threads import limit_threads

AUTO = "auto"
MAX_RESOLVED = 100  # kernels that calls find without `registry`
SIMD, COMPILED, OURS, USERS = range(4)  # kinds of kernels: numba_simd, our other compiled kernels, our other kernels


class _Compiled(dict[int, Any]):
    """The machine code of a kernel, by the size of an element. Numba's own dispatch would take 0.15 µs more."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    def __missing__(self, itemsize: int) -> Any:
        arrays = [np.zeros((1, 1), f"f{itemsize}") for _ in range(3)]
        self._kernel(*arrays)  # compiles it
        types = tuple(map(importlib.import_module("numba").typeof, arrays))
        return self.setdefault(itemsize, self._kernel.overloads[types].entry_point)


class FastPath:
    """What calls on plain arrays need, loaded by the first call that needs it.

    ``small(probs, grad_output, out, table)`` computes a small call of `numba_simd` and returns DONE; or LARGE for a
    call that `large` has to compute, or UNFIT if the shapes differ or `out` partly overlaps an input. Another kernel
    is called if ``fits(probs, grad_output, out)``: the arrays have one shape (B, D), and `out` overlaps no input.
    """

    __slots__ = ("columns", "direct", "fits", "forward", "forward_columns", "large", "small", "table")

    def __init__(self) -> None:
        self.small: Any = None
        self.table: Any = None
        self.large: Any = None
        self.direct: Any = None  # for classes on another axis than the last; it returns whether it computed the call
        self.columns: Any = None  # as `large`, for (outer, D, inner) arrays
        self.fits: Any = _fits
        self.forward_columns: Any = None  # the same for (outer, D, inner) arrays
        self.forward: Any = None  # the module of the compiled forward pass

    def load_forward(self) -> None:
        """Load the forward pass in SIMD vectors, if it can be compiled."""
        if dispatch.compiles("numba_simd"):
            self.small = importlib.import_module("softmax_impls.simd.pool").enter.compiled
            self.forward_columns = importlib.import_module("softmax_impls.simd.columns").forward
            self.forward = importlib.import_module("softmax_impls.simd.forward")

    def load(self, impl: object) -> tuple[Any, int]:
        """Return the kernel that `impl` stands for and its kind; the next call finds them in `registry.resolved`."""
        record = _resolve(impl)
        kernel: Any = record.kernel
        kind = OURS if registry.is_ours(record) else USERS
        if "numba" in record.requires and dispatch.has_compiler() and kind == OURS:
            kind, kernel = (SIMD, kernel) if record.name == "numba_simd" else (COMPILED, _Compiled(kernel))
        if "numba" in record.requires and (kind == SIMD or dispatch.compiles("numba_simd")):
            module = importlib.import_module("softmax_impls.backward.numba_simd")
            self.large, self.columns, self.direct = module.run_large, module.run_columns, module.columns.direct_call
            self.fits = _compiled_fits
            if kind == SIMD:
                self.small, self.table = module.pool.enter.compiled, module.TASKS.small
        if not (isinstance(impl, str) and ":" in impl):  # its module may be imported again
            with contextlib.suppress(TypeError):  # a kernel that is not hashable
                if len(registry.resolved) >= MAX_RESOLVED:  # a program may make a new kernel for each call
                    registry.resolved.clear()
                registry.resolved[impl] = kernel, kind
        return kernel, kind


def _fits(probs: Array, grad_output: Array, out: Array) -> bool:
    """As `numba_simd.fits`, without Numba."""
    if not (probs.shape == grad_output.shape == out.shape and probs.ndim == 2 and probs.size):
        return False
    return not (np.may_share_memory(out, probs) or np.may_share_memory(out, grad_output))


def _compiled_fits(*arrays: Array) -> int:
    """Load `numba_simd.fits`, which later calls use directly."""
    fast_path.fits = importlib.import_module("softmax_impls.backward.numba_simd").fits.compiled
    return fast_path.fits(*arrays)  # type: ignore[no-any-return]


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
        fast_path.forward = None
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
        fast_path.forward = None
        return False


def falls_back(impl: object, error: Exception, failed: str = "") -> bool:
    """Whether "auto" failed to compile the implementation `failed`, or its pick, and picks another from now on."""
    if not isinstance(impl, str) or impl != AUTO or isinstance(error, MemoryError | RecursionError):
        return False
    if not dispatch.fall_back(failed or dispatch.pick().impl, error):
        return False
    registry.resolved.clear()
    fast_path.fits = _fits
    return True


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
    is_simd, count = _is_simd(impl), None if threads is None else as_thread_count(threads)
    if count and not is_simd:
        with limit_threads(count):
            return general_path(probs, grad_output, axis, out, impl, None)
    checked = _or_fall_back if impl == AUTO else lambda kernel, _: kernel
    all_threads = fast_path.columns
    columns = checked(all_threads if count is None else lambda *arrays: all_threads(*arrays, count), "numba_simd")
    try:
        if is_simd and (result := run_plain(columns, [probs, grad_output], axis, out)) is not None:
            return result
        arrays = {"probs": as_real_array("probs", probs), "grad_output": as_real_array("grad_output", grad_output)}
        layout = Layout.of(arrays, axis)
        if is_simd:
            return run_blocks(columns, [*arrays.values()], layout, out)
        implementation = _resolve(impl)
        guarded, kernel = not registry.is_ours(implementation), checked(implementation.kernel, implementation.name)
        return run_kernel(kernel, implementation.in_place, arrays, layout, out, guarded=guarded)
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


def _is_simd(impl: object) -> bool:
    """Whether `impl` stands for `numba_simd`, compiled, which takes other axes than the last without copies."""
    try:
        return registry.resolved[impl][1] == SIMD
    except (KeyError, TypeError):
        try:
            return bool(fast_path.load(impl)[1] == SIMD)
        except Exception as error:
            if not falls_back(impl, error):
                raise
            return _is_simd(impl)


def _resolve(impl: object) -> Implementation:
    """Return the implementation that a name, a record or a kernel stands for."""
    if isinstance(impl, str):
        try:
            return registry.from_spec(dispatch.pick().impl if impl == AUTO else impl)
        except Exception as error:
            if not falls_back(impl, error):
                raise
            return _resolve(impl)
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
