"""`jit`, `task`, `inner` and `operation`: decorators for the functions that Numba compiles.

=========== ========================================== ========================== =====================
decorator   the function is called                     with                       its machine code is
=========== ========================================== ========================== =====================
`jit`       by Python                                  any arguments              in a file
`Entry`     by Python, see `arrays`                    arrays, and numbers (int)  in a file
`task`      by compiled functions, through its address the arguments of `Task`    in a file
`inner`     by tasks and entries                       numbers, pointers, …       a part of its callers
`operation` by tasks and entries                       numbers, pointers, …       a part of its callers
=========== ========================================== ========================== =====================

Numba compiles functions with `jit` for Numba's own target, and all other functions for the smaller target in `lean`. A
change to any source file in this folder invalidates the files of machine code. Numba is imported when `jit` is first
used, or when another function is first compiled.
"""

import importlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from softmax_impls.simd import objects

DISABLE_JIT = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
WORD = np.dtype(np.int64)  # passed as dtype if the machine code of a task is the same for every dtype
F = TypeVar("F", bound=Callable[..., Any])
_LEAN = "softmax_impls.simd.lean"
_undefined: list[Callable[[Any], None]] = []  # each defines a function for Numba, and takes the module `lean`
_lock = threading.RLock()  # held by a thread that compiles or loads machine code


class _Later:
    """A module that is imported when it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


types, lowering = _Later("numba.core.types"), _Later("softmax_impls.simd.lowering")


def compiler() -> Any:
    """Import Numba, and return the module `lean`; functions decorated by `inner` and `operation` are defined in it."""
    with _lock:
        lean = importlib.import_module(_LEAN)
        importlib.import_module("softmax_impls.simd.lowering")
        while _undefined:
            _undefined[0](lean)
            del _undefined[0]  # only now: if Ctrl-C interrupts a definition, it is repeated
    return lean


def _define(definition: Callable[[Any], None]) -> None:
    _undefined.append(definition)
    if _LEAN in sys.modules:
        compiler()


def jit(**options: Any) -> Callable[[F], F]:
    """Return the decorator `numba.njit` with these options; it keeps machine code in files if a folder is writable."""
    return compiler().jit(**options)  # type: ignore[no-any-return]


class Task:
    """A function ``task(call, probs, grad, out, start, stop)`` that compiled code calls by its address.

    It computes the items (rows, for example) from `start` up to, not including, `stop`, and returns `stop`. `call`
    points to words that describe the call, see `pool`. The task is compiled for a dtype when its address is first
    needed.
    """

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        self.function, self._options, self._addresses = function, options, dict[Any, int]()

    def address(self, dtype: Any) -> Any:
        """Return the address of the machine code for a dtype; in the interpreter, return the Python function."""
        return self.function if DISABLE_JIT else self._addresses.get(dtype) or self._load(dtype)

    def _load(self, dtype: Any) -> int:
        with _lock:
            if dtype not in self._addresses:
                if (code := objects.read(self.function, dtype)) is None:
                    code = compiler().compile_function(self.function, dtype, self._options)
                    objects.write(self.function, dtype, code)
                self._addresses[dtype] = objects.load(code)
            return self._addresses[dtype]


def task(**options: Any) -> Callable[[F], Task]:
    """Return a decorator that turns a function into a `Task`; `options` are options of Numba's compiler."""
    return lambda function: Task(function, options)


def inner(**options: Any) -> Callable[[F], F]:
    """Return a decorator for functions that only compiled functions call; `options` are options of Numba's compiler.

    With `jit`, Numba would also generate machine code, a wrapper for Python and a file in the cache for each function.
    This would take half of the total time of compilation.
    """

    def decorate(function: Any) -> Any:
        if not DISABLE_JIT:
            _define(lambda lean: lean.define_inner(function, options))
        return function

    return decorate


def operation(signature: Callable[..., Any], emit: Callable[..., Any] | None = None) -> Callable[[F], F]:
    """Return a decorator that defines an operation twice: in Python, and in LLVM instructions for Numba.

    `signature` takes the Numba types of the arguments, and returns Numba's signature. `emit` emits LLVM's instructions.
    The default is the function of `lowering` that has the same name as the operation.
    """

    def decorate(interpreted: Any) -> Any:
        def typed(*arguments: Any) -> Any:
            emitter = emit or getattr(lowering, interpreted.__name__)
            return signature(*arguments), lambda context, builder, signature, values: emitter(builder, *values)

        if not DISABLE_JIT:
            _define(lambda lean: lean.define(interpreted, typed))
        return interpreted

    return decorate


@operation(lambda address, *rest: types.int64(types.int64, *rest[:4], types.int64, types.int64))
def call_task(address: Any, call: Any, probs: Any, grad: Any, out: Any, start: int, stop: int) -> Any:
    """Call the task at an address, and return its result."""
    return address(call, probs, grad, out, start, stop)
