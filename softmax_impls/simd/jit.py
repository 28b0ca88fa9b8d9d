"""`jit`, `entry`, `task` and `inner`: how Numba compiles the functions of this package.

========= =========================================== ====================== ================= ====================
decorator the function is called                      its arguments          its machine code  its target
========= =========================================== ====================== ================= ====================
`jit`     by Python                                   any                    is cached on disk Numba's
`entry`   by Python                                   64-bit integers        is cached on disk `lean`
`task`    by compiled functions, through its address  see `Task`             is cached on disk `lean`
`inner`   by compiled functions                       numbers, pointers, …   is part of theirs that of its callers
========= =========================================== ====================== ================= ====================

A change to any file in this folder invalidates the cache.
"""

# mypy: allow-untyped-calls

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numba.core import cgutils, compiler, event
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, builtin_registry
from numba.np.numpy_support import from_dtype

from softmax_impls import threads
from softmax_impls.simd.lean import LEAN, Part
from softmax_impls.simd.sizes import LAST_LEVEL_CACHE

WORD = np.dtype(np.int64)  # the dtype for tasks that are the same for every dtype
F = TypeVar("F", bound=Callable[..., Any])
_numba: Any = compiler

# The files whose functions and constants Numba compiles into kernels of other files, by time of change and size.
_FILES = (*sorted(Path(__file__).parent.glob("*.py")), Path(threads.__file__))
_HELPERS = LAST_LEVEL_CACHE, *((file.stat().st_mtime, file.stat().st_size) for file in _FILES)  # it may be elsewhere


def jit(**options: Any) -> Callable[[F], F]:
    """Return `numba.njit` with these options; compiled code is cached where a folder for the cache is writable."""

    def decorate(function: Any) -> Any:
        dispatcher: Any = njit(**{"no_cfunc_wrapper": True, **options})(function)
        if not DISABLE_JIT:
            dispatcher._cache = _cache_of(function) or dispatcher._cache
        return dispatcher

    return decorate


def _cache_of(function: Any) -> Any:
    """Return a cache of Numba that depends on all files of this folder; None if there is no folder for it."""
    try:
        cache: Any = FunctionCache(function)
    except (RuntimeError, OSError):  # "cannot cache function: no locator available", or there is no such folder
        return None
    if hasattr(cache, "_cache_file"):  # Numba checks only the file that defines the function
        cache._cache_file._source_stamp = (cache._cache_file._source_stamp, _HELPERS)
    return cache


def _compile(function: Any, signature: Any, options: dict[str, Any]) -> Any:
    """Return the result of Numba's compiler for an entry or a task, from the cache if it is there."""
    with global_compiler_lock:
        cache, context = _cache_of(function), LEAN.target_context
        # Not `load_overload`: it first refreshes the context, which takes longer.
        with cache._guard_against_spurious_io_errors() if cache else contextlib.nullcontext():  # on Windows
            if cache and (cached := cache._load_overload(signature, context)):
                return cached
        with event.trigger_event("numba:compile", {"dispatcher": SimpleNamespace(py_func=function)}):
            result = _run(LEAN, function, signature.args, signature.return_type, options, None)
        if cache:
            cache.save_overload(signature, result)
        return result


def _run(target: Any, function: Any, arguments: Any, returned: Any, options: dict[str, Any], part: Any) -> Any:
    flags = _numba.Flags()
    target.options.parse_as_flags(flags, {"nopython": True, "error_model": "numpy", **options})
    flags.nrt, flags.no_cfunc_wrapper = False, True
    if part:
        flags.no_compile = flags.no_cpython_wrapper = True
    pipeline = getattr(target, "compiler", _numba.Compiler)
    return _numba.compile_extra(
        target.typing_context, target.target_context, function, arguments, returned, flags, {}, part, pipeline
    )


class Entry:
    """A function of 64-bit integers that Python calls. It is compiled when it is first needed."""

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        self.py_func, self._options = function, options

    @functools.cached_property
    def compiled(self) -> Any:
        """The compiled function."""
        if DISABLE_JIT:
            return self.py_func
        signature = types.int64(*[types.int64] * self.py_func.__code__.co_argcount)
        return _compile(self.py_func, signature, self._options).entry_point


def entry(**options: Any) -> Callable[[F], Entry]:
    """Return a decorator that makes an entry of a function; the options are Numba's."""
    return lambda function: Entry(function, options)


class Task:
    """A function ``task(call, probs, grad, out, start, stop)`` that compiled code calls by its address.

    It computes the items from `start` to `stop`, and returns `stop`. `call` points to words that describe the call, see
    `pool`. The task is compiled for a dtype when its address is first needed.
    """

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        self.function, self._options = function, {"nogil": True, "no_cpython_wrapper": True, **options}
        self.address = functools.cache(self._address)  # by dtype

    def _address(self, dtype: Any) -> Any:
        if DISABLE_JIT:
            return self.function
        pointer_to: Any = types.CPointer
        words, elements = pointer_to(types.int64), pointer_to(from_dtype(dtype))
        signature = types.int64(words, elements, elements, elements, types.int64, types.int64)
        result = _compile(self.function, signature, self._options)
        return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


def task(**options: Any) -> Callable[[F], Task]:
    """Return a decorator that makes a task of a function; the options are Numba's."""
    return lambda function: Task(function, options)


def inner(**options: Any) -> Callable[[F], F]:
    """Return a decorator for functions that only compiled functions call, with Numba's options.

    With `jit`, Numba would also generate machine code, a wrapper for Python and a file in the cache for each function.
    That would take half of the time of compilation.
    """

    def decorate(function: Any) -> Any:
        results: dict[Any, Any] = {}

        def typed(target: Any, *arguments: Any) -> Any:
            if (target, arguments) not in results:
                part = Part(target.target_context.codegen(), function.__name__)
                results[target, arguments] = _run(target, function, arguments, None, options, part)

            def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                result = results[_target_of(context.typing_context), arguments]
                context.active_code_library.add_linking_library(result.library)
                return context.call_internal(builder, result.fndesc, signature, values)

            return results[target, arguments].signature, emit

        return function if DISABLE_JIT else define(function, typed)

    return decorate


def _target_of(typing: Any) -> Any:
    return LEAN if typing is LEAN.typing_context else cpu_target


def define(function: F, typed: Callable[..., Any], registry: Any = builtin_registry) -> F:
    """Define a function for Numba by ``typed(target, *types)``, which returns a signature and an emitter of code.

    Numba's own `intrinsic` loads all of Numba for each call of the function that it compiles.
    """
    emitters: dict[Any, Any] = {}

    class Template(AbstractTemplate):
        key = function

        def generic(self, arguments: Any, _: Any) -> Any:
            target = _target_of(self.context)
            if found := typed(target, *arguments):
                emit = emitters.setdefault(found[0].args, found[1])
                target.target_context.insert_func_defn([(emit, emit, found[0].args)])
            return found and found[0]

        def get_impl_key(self, signature: Any) -> Any:
            return emitters[signature.args]

    registry.register_global(function, types.Function(Template))
    return function


def _call(address: Any, call: Any, probs: Any, grad: Any, out: Any, start: Any, stop: Any) -> Any:
    return address(call, probs, grad, out, start, stop)


def _typed_call(_: Any, *arguments: Any) -> Any:
    stack_slot: Any = cgutils.alloca_once

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        # Numba's convention: a pointer to the result and a pointer to an exception, then the arguments.
        function = context.call_conv.get_function_type(types.int64, signature.args[1:])
        result, exception = (stack_slot(builder, pointer.pointee) for pointer in function.args[:2])
        builder.call(builder.inttoptr(values[0], function.as_pointer()), [result, exception, *values[1:]])
        return builder.load(result)

    return types.int64(types.int64, *arguments[1:5], types.int64, types.int64), emit


# call_task(address, call, probs, grad, out, start, stop): call the task at an address, and return its result.
call_task: Any = _call if DISABLE_JIT else define(_call, _typed_call)
