"""The parts of `api.softmax` and `api.softmax_backward`: their fast paths, their general paths, and the fallback.

If `numba_simd` cannot be compiled, for example with another version of Numba, "auto" falls back to the next
implementation in `dispatch.RULES`.
"""

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmax_impls import dispatch, registry
from softmax_impls.blocks import PLAIN, run_arrays, run_rows
from softmax_impls.implementation import Array, Impl, Implementation, invoke, read_only
from softmax_impls.layout import Axis, as_thread_count
from softmax_impls.simd.sizes import LARGE, UNFIT, VECTOR_BYTES

AUTO = "auto"
MAX_RESOLVED = 100  # kernels that are kept in `registry.resolved`, so that later calls need no look-up
SIMD, COMPILED, OURS, USERS = range(4)  # kinds of kernels: numba_simd, our other compiled ones, our others, the user's
Loaded = tuple[Any, int, Implementation]  # a kernel, its kind, its record


class _Compiled(dict[int, Any]):
    """The machine code of a kernel, by itemsize. Calling it saves Numba's own dispatch, which takes 0.15 µs."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    def __missing__(self, itemsize: int) -> Any:
        from numba import typeof

        arrays = [np.zeros((1, 1), f"f{itemsize}") for _ in range(3)]
        self._kernel(*arrays)  # compiles it
        types = tuple(map(typeof, arrays))
        return self.setdefault(itemsize, self._kernel.overloads[types].entry_point)


def _fits(probs: Array, grad_output: Any, out: Any) -> bool:
    """Return whether a kernel may be called with three arrays: see ``fits`` in `FastPath`.

    It is used if Numba does not compile. Otherwise, a compiled function takes its place.
    """
    shape, dtype = probs.shape, probs.dtype
    if not (type(grad_output) is type(out) is np.ndarray and dtype in PLAIN and len(shape) == 2 and probs.size):
        return False
    if not (dtype == grad_output.dtype == out.dtype and shape == grad_output.shape == out.shape):
        return False
    if not (probs.flags.carray and grad_output.flags.carray and out.flags.carray):
        return False
    return not (np.may_share_memory(out, probs) or np.may_share_memory(out, grad_output))


@dataclass(slots=True)
class FastPath:
    """The functions for calls with plain arrays. Compiled functions are loaded when a call first needs them.

    In all of them, `probs` is an array, and `grad_output` and `out` may be any objects.

    ``small(probs, grad_output, out, table)`` computes a small call with numba_simd, whose compiled kernels are in
    `table`, and returns DONE. For other calls it computes nothing. It returns LARGE if `simd.run_large` can compute the
    call. It returns UNFIT if an array is not plain, the shapes or dtypes differ, or `out` partly overlaps an input.

    ``fits(probs, grad_output, out)`` returns whether the arrays may be given to every other kernel as they are: they
    are plain, have one shape (B, D), and `out` overlaps no input.
    """

    small: Any = None
    table: Any = None
    simd: Any = None  # the module numba_simd
    forward: Any = None  # the module of the compiled forward pass
    fits: Any = _fits

    def load_simd(self) -> None:
        """Load the SIMD kernels of the forward and the backward pass."""
        from softmax_impls.backward import numba_simd
        from softmax_impls.simd import forward, pool

        self.small, self.table, self.simd = pool.enter.compiled, numba_simd.TASKS.small, numba_simd
        self.forward = forward

    def load(self, impl: object) -> Loaded:
        """Return the kernel that `impl` names or is, its kind, and its `Implementation`.

        The kind is SIMD, COMPILED, OURS or USERS.
        """
        try:
            return registry.resolved[impl]
        except (KeyError, TypeError):  # KeyError: the first call with this `impl`. TypeError: it is not hashable
            return self._load_and_keep(impl)

    def _load_and_keep(self, impl: object) -> Loaded:
        picked = dispatch.pick().impl
        try:
            found = self._load(impl)
        except Exception as error:
            if not falls_back(impl, error, picked):
                raise
            return self._load_and_keep(impl)
        if not (isinstance(impl, str) and ":" in impl):  # not kept: its module may be reloaded
            with contextlib.suppress(TypeError):  # a kernel that is not hashable
                if len(registry.resolved) >= MAX_RESOLVED:  # a program may make a new kernel for each call
                    registry.resolved.clear()
                registry.resolved[impl] = found
        return found

    def _load(self, impl: object) -> Loaded:
        record = _resolve(impl)
        if not registry.is_ours(record):
            return record.kernel, USERS, record
        if "numba" not in record.requires or not dispatch.has_compiler():
            return record.kernel, OURS, record
        if record.name == "numba_simd":
            self.load_simd()
            return record.kernel, SIMD, record
        if dispatch.compiles("numba_simd"):
            from softmax_impls.backward import numba_simd

            self.fits = numba_simd.fits.compiled
        return _Compiled(record.kernel), COMPILED, record


fast_path = FastPath()


def softmax_columns(x: Array, out: Array) -> None:
    """Compute the softmax of a C-contiguous (outer, D, inner) array over its middle axis; `out` may be `x`."""
    if not (x.shape[2] * x.itemsize >= VECTOR_BYTES and softmax_compiled(x, out, columns=True)):
        run_rows(_forward, x, out)


def softmax_compiled(x: Array, out: Array, columns: bool = False) -> bool:
    """Compute the softmax of rows, or of columns, in compiled code; if that is impossible, only return False."""
    try:
        if fast_path.forward is None and dispatch.compiles("numba_simd"):
            fast_path.load_simd()
        if (forward := fast_path.forward) is None:
            return False
        if columns:
            fast_path.simd.columns.forward(x, out)
            return True
        state = fast_path.small(x, x, out, forward.TASKS.small)
        if state == LARGE:
            forward.run(x, out)
        return state != UNFIT  # type: ignore[no-any-return]
    except Exception as error:
        if not falls_back(AUTO, error, "numba_simd"):
            raise
        return False


def falls_back(impl: object, error: Exception, failed: str) -> bool:
    """Return whether "auto" has to repeat a call with another implementation, because `failed` cannot be compiled.

    False if `impl` is not "auto", if `error` cannot come from the compiler, or if there is no other implementation.
    """
    if type(error) is Exception or isinstance(error, MemoryError | RecursionError | TimeoutError):
        return False  # not from the compiler, but for example from a signal handler
    of_the_compiler = type(error).__module__.partition(".")[0] in ("builtins", "llvmlite", "numba")
    if not (of_the_compiler and isinstance(impl, str) and impl == AUTO and dispatch.fall_back(failed, error)):
        return False
    registry.resolved.clear()
    fast_path.fits, fast_path.forward = _fits, None
    return True


def run_guarded(
    kernel: Any, is_users: bool, probs: Array, grad_output: Any, out: Array, in_place: bool = False
) -> None:
    """Run a kernel without warnings; a user's kernel gets read-only inputs, and `out` full of NaN unless `in_place`."""
    if is_users:
        probs, grad_output = read_only(probs), read_only(grad_output)
        if not in_place:  # so that a kernel that writes nothing does not return old memory
            out.fill(np.nan)
    invoke(kernel, probs, grad_output, out=out)


def _run_record(record: Implementation, probs: Array, grad_output: Array, out: Array) -> None:
    """Run a kernel on rows; `out` may have exactly the memory of an input, but does not overlap it partly."""
    inputs = {"probs": probs, "grad_output": grad_output}
    shared = [name for name, array in inputs.items() if np.may_share_memory(array, out)]
    in_place = len(shared) == 1 and shared[0] in record.in_place
    result = np.empty_like(out) if shared and not in_place else out
    run_guarded(record.kernel, not registry.is_ours(record), probs, grad_output, result, in_place)
    if result is not out:
        out[...] = result


def general_path(
    found: Loaded, probs: ArrayLike, grad_output: ArrayLike, axis: Axis, out: Array | None, impl: Impl,
    threads: int | None,
) -> Array:  # fmt: skip
    """Compute any call: validate its arguments, and convert the arrays to the rows or columns that kernels take.

    `found` is the result of `fast_path.load(impl)`.
    """
    count = None if threads is None else as_thread_count(threads)

    def compute(*arrays: Array) -> None:
        nonlocal found
        _, kind, record = found
        try:
            if kind == SIMD:  # it takes columns, and copies only narrow ones to rows
                fast_path.simd.run_columns(*arrays, count)
            else:
                run_rows(functools.partial(_run_record, record), *arrays)
        except Exception as error:
            if not falls_back(impl, error, record.name):
                raise
            found = fast_path.load(impl)
            compute(*arrays)

    return run_arrays(compute, {"probs": probs, "grad_output": grad_output}, axis, out)


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
    """Compute the softmax of each row of `x`, and write it to `out`, which may be `x`."""
    if softmax_compiled(x, out):
        return
    with np.errstate(all="ignore"):
        np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
        np.exp(out, out=out)
        np.divide(out, out.sum(axis=-1, keepdims=True), out=out)
