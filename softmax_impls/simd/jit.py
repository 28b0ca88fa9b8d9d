"""`jit`, `inner` and `task`: how Numba compiles the functions of this package.

========= =========================================== ==========================================
decorator the function is called                      its machine code
========= =========================================== ==========================================
`jit`     by Python                                   is cached on disk
`inner`   by compiled functions                       is part of theirs
`task`    by compiled functions, through its address  is cached on disk
========= =========================================== ==========================================

A change of any file in this folder invalidates the cache.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.core import cgutils, compiler
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from softmax_impls import threads

WORD = np.dtype(np.int64)  # the dtype for tasks that do not depend on it
F = TypeVar("F", bound=Callable[..., Any])

# The files whose functions and constants Numba compiles into kernels of other files, by time of change and size.
_FILES = (*sorted(Path(__file__).parent.glob("*.py")), Path(threads.__file__))
_HELPERS = tuple((file.stat().st_mtime, file.stat().st_size) for file in _FILES)


def jit(**options: Any) -> Callable[[F], F]:
    """Return `numba.njit` with these options; compiled code is cached where a folder for the cache is writable."""
    if options.get("forceinline"):
        return inner(**options)
    options = {"no_cfunc_wrapper": True, **options}

    def decorate(function: Any) -> Any:
        try:
            dispatcher: Any = njit(cache=True, **options)(function)
        except (RuntimeError, OSError):  # "cannot cache function: no locator available", or there is no such folder
            return njit(**options)(function)
        if not DISABLE_JIT:
            _adapt(dispatcher._cache, needs_runtime=options.get("_nrt", True))
        return dispatcher

    return decorate


def _adapt(cache: Any, needs_runtime: bool) -> None:
    """Make a cache of Numba depend on all files of this folder, and load faster what does not need Numba's runtime."""
    if hasattr(cache, "_cache_file"):  # Numba checks only the file that defines the function
        cache._cache_file._source_stamp = (cache._cache_file._source_stamp, _HELPERS)
        if not needs_runtime:
            # `load_overload` first imports Numba's implementations of NumPy, and SciPy for them: it takes longer than
            # all the rest of a first call. A call that has to compile imports them nevertheless.
            cache.load_overload = functools.partial(_load, cache)


def _load(cache: Any, signature: Any, target: Any) -> Any:
    with cache._guard_against_spurious_io_errors():  # it swallows some errors, on Windows
        return cache._load_overload(signature, target)
    return None


def inner(**options: Any) -> Callable[[F], F]:
    """Return a decorator for functions that only compiled functions call, with Numba's options.

    With `jit`, Numba would also generate machine code, a wrapper for Python and a file in the cache for each of them,
    which takes half of the time of the compilation.
    """

    def decorate(function: Any) -> Any:
        results: dict[tuple[Any, ...], Any] = {}

        def typed(typing: Any, *arguments: Any) -> Any:
            if arguments not in results:
                results[arguments] = _compiled(typing, function, arguments, options)
            result = results[arguments]

            def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                context.active_code_library.add_linking_library(result.library)
                return context.call_internal(builder, result.fndesc, signature, values)

            return result.signature, emit

        return function if DISABLE_JIT else as_intrinsic(function, typed)

    return decorate


def _compiled(typing: Any, function: Any, arguments: Any, options: Any) -> Any:
    """Return the result of Numba's compiler before it generates machine code."""
    numba, target = cast(Any, compiler), cast(Any, cpu_target)
    flags = numba.Flags()
    target.options.parse_as_flags(flags, {"nopython": True, "error_model": "numpy", **options})
    flags.nrt = False
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return numba.compile_extra(typing, target.target_context, function, arguments, None, flags, {})


def as_intrinsic(function: Any, typed: Any) -> Any:
    """Return what Numba takes for a function: ``typed(typing, *arguments)`` with the parameters of `function`."""
    typing = inspect.Parameter("typing", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typed.__signature__ = inspect.Signature([typing, *inspect.signature(function).parameters.values()])
    typed.__name__ = function.__name__
    compiled: Any = intrinsic(typed)
    compiled.py_func = function
    return compiled


class Task:
    """A function ``task(call, probs, grad, out, start, stop)`` that compiled code calls by its address.

    It computes the items from `start` to `stop`, and returns `stop`. `call` points to words that describe the call, see
    `pool`. The task is compiled for a dtype when its address is first needed.
    """

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        settings = {"nogil": True, "no_cpython_wrapper": True, "_nrt": False, "error_model": "numpy"}
        self.function = jit(**settings, **options)(function)
        self.address = functools.cache(self._address)  # by dtype

    def _address(self, dtype: Any) -> Any:
        if DISABLE_JIT:
            return self.function
        pointer_to: Any = types.CPointer
        words, elements = pointer_to(types.int64), pointer_to(from_dtype(dtype))
        signature = types.int64(words, elements, elements, elements, types.int64, types.int64)
        result = self.function.get_compile_result(signature)
        return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


def task(**options: Any) -> Callable[[F], Task]:
    """Return a decorator that makes a task of a function; the options are Numba's."""
    return lambda function: Task(function, options)


def _call(address: Any, call: Any, probs: Any, grad: Any, out: Any, start: Any, stop: Any) -> Any:
    return address(call, probs, grad, out, start, stop)


def _typed_call(typing: Any, *arguments: Any) -> Any:
    stack_slot: Any = cgutils.alloca_once

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        # Numba's convention: a pointer to the result and a pointer to an exception, then the arguments.
        function = context.call_conv.get_function_type(types.int64, signature.args[1:])
        result, exception = (stack_slot(builder, pointer.pointee) for pointer in function.args[:2])
        builder.call(builder.inttoptr(values[0], function.as_pointer()), [result, exception, *values[1:]])
        return builder.load(result)

    return types.int64(types.int64, *arguments[1:5], types.int64, types.int64), emit


# call_task(address, call, probs, grad, out, start, stop): call the task at an address, and return its result.
call_task: Any = _call if DISABLE_JIT else as_intrinsic(_call, _typed_call)
