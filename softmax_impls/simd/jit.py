"""`jit`, `task`, `Entry` and `apart`: decorators for the functions that Numba compiles.

=========== ========================================== ========================== =====================
decorator   the function is called                     with                       its machine code is
=========== ========================================== ========================== =====================
`jit`       by Python                                  any arguments              in a file
`Entry`     by Python, see `arrays`                    arrays, and numbers (int)  in a file
`task`      by compiled functions, through its address the arguments of `Task`    in a file
`apart`     by tasks and entries                       numbers, pointers, …       in the file of its callers
none        by tasks and entries                       numbers, pointers, …       a part of its callers
=========== ========================================== ========================== =====================

Numba compiles functions with `jit` for Numba's own target, and all other functions for the smaller target in `lean`. A
change to any source file in this folder invalidates the files of machine code. Numba is imported when `jit` is first
used, or when another function is first compiled.
"""

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from softmax_impls.simd import objects

DISABLE_JIT = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
WORD = np.dtype(np.int64)  # passed as dtype if the machine code of a task is the same for every dtype
APART: set[Any] = set()  # functions that compiled code calls; all other functions are copied into their callers
F = TypeVar("F", bound=Callable[..., Any])
_lock = threading.RLock()  # held by a thread that compiles or loads machine code


def jit(**options: Any) -> Callable[[F], F]:
    """Return the decorator `numba.njit` with these options; it keeps machine code in files if a folder is writable."""
    from softmax_impls.simd import lean

    return lean.jit(**options)


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
                    from softmax_impls.simd.lean import compile_function

                    code = compile_function(self.function, dtype, self._options)
                    objects.write(self.function, dtype, code)
                self._addresses[dtype] = objects.load(code)
            return self._addresses[dtype]


def task(**options: Any) -> Callable[[F], Task]:
    """Return a decorator that turns a function into a `Task`; `options` are options of Numba's compiler."""
    return lambda function: Task(function, options)


def apart(function: F) -> F:
    """Compile a function once, and let its callers call it: to compile a copy in each caller would take more time."""
    APART.add(function)
    return function
