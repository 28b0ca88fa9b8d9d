"""The code that a user pastes to call an implementation, and the same call for benchmarks, bound to arrays."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from softmax_impls.api import softmax_backward
from softmax_impls.blocks import copied_at_a_time
from softmax_impls.dispatch import explain, pick
from softmax_impls.implementation import Array, BoundCall, Impl, Implementation
from softmax_impls.registry import is_ours
from softmax_impls.threads import default_threads

ARRAYS = """\
rng = np.random.default_rng(0)  # put your arrays here
probs = softmax(rng.standard_normal(({batch}, {dim}), dtype="{dtype}"))
grad_output = rng.standard_normal(({batch}, {dim}), dtype="{dtype}")
out = np.empty_like(probs)  # reuse it: a new array for each call takes longer"""


class Usage(NamedTuple):
    """Python code that runs in a new process: `setup` makes the arrays and imports all names, `line` makes the call."""

    setup: str
    line: str

    def __str__(self) -> str:
        return f"{self.setup}\n{self.line}"


def arguments(name: str, batch: int, dim: int, dtype: str, threads: int) -> dict[str, Any]:
    """Return the arguments of `softmax_backward`, besides arrays, that select one of our implementations.

    The dictionary is empty if the call without such arguments runs the same implementation in as many threads.
    """
    if name != pick().impl:
        return {"impl": name}
    running = (explain((batch, dim), dtype, threads=number).threads for number in (threads, default_threads()))
    return {} if len(set(running)) == 1 else {"threads": threads}


def usage(name: str, implementation: Implementation | None, batch: int, dim: int, dtype: str, threads: int) -> Usage:
    """Return the code that calls `name` on (batch, dim) arrays; `implementation` is None if its record is unknown.

    The code calls our implementations through `softmax_backward`. It calls a user's function itself, and it calls
    another library with that library's own arrays, because this takes less time.
    """
    imports, names, setup = ["import numpy as np"], "softmax", ""
    if implementation is not None and implementation.usage is not None:
        setup, line = implementation.usage
        setup = setup.replace("{threads}", str(threads))
    elif implementation is not None and not is_ours(implementation):
        module, _, function = implementation.spec.partition(":")
        imports += [] if module == "__main__" else [f"from {module} import {function.partition('.')[0]}"]
        line = f"{function}(probs, grad_output, out)"
    else:
        names = "softmax, softmax_backward"
        given = arguments(name, batch, dim, dtype, threads)
        options = "".join(f", {key}={value!r}" for key, value in given.items())
        line = f"softmax_backward(probs, grad_output, out=out{options})"
    arrays = ARRAYS.format(batch=batch, dim=dim, dtype=dtype)
    parts = ["\n".join([*imports, f"from softmax_impls import {names}"]), arrays, setup]
    return Usage("\n\n".join(filter(None, parts)), line.replace("'", '"'))


def bind(
    implementation: Implementation, probs: Array, grad_output: Array, out: Array, threads: int, axis: int = -1
) -> BoundCall:
    """Return the call of the code that `usage` returns, on these arrays, and a function that reads the call's result.

    If the classes are not on the last axis, a user's function is called through `softmax_backward`, not directly.
    """
    if axis == -1 and (implementation.family == "peer" or not is_ours(implementation)):
        return implementation.bind_call(probs, grad_output, out)
    if implementation.bind is not None:  # such a `bind` takes arrays with the classes on axis 1
        outer, inner = math.prod(out.shape[:axis]), math.prod(out.shape[axis + 1 :])
        columns = (array.reshape(outer, out.shape[axis], inner) for array in (probs, grad_output, out))
        call, read = implementation.bind_call(*columns)
        return call, lambda result: read(result).reshape(out.shape)
    dim = out.shape[axis]
    given = arguments(implementation.name, out.size // dim, dim, out.dtype.name, threads)
    impl: Impl = given.get("impl", "") if is_ours(implementation) else implementation.kernel
    number = given.get("threads")
    calls: dict[str, Callable[[], Array]] = {  # by the name of the argument; calling a functools.partial takes longer
        "": lambda: softmax_backward(probs, grad_output, out=out),
        "impl": lambda: softmax_backward(probs, grad_output, out=out, impl=impl),
        "threads": lambda: softmax_backward(probs, grad_output, out=out, threads=number),
    }
    calls_on_axis: dict[str, Callable[[], Array]] = {
        "": lambda: softmax_backward(probs, grad_output, axis=axis, out=out),
        "impl": lambda: softmax_backward(probs, grad_output, axis=axis, out=out, impl=impl),
        "threads": lambda: softmax_backward(probs, grad_output, axis=axis, out=out, threads=number),
    }
    return (calls if axis == -1 else calls_on_axis)["".join(given)], lambda result: result


def copied_rows(implementation: Implementation, shape: tuple[int, ...], axis: int) -> int:
    """Return the number of rows that `softmax_backward` copies at a time for a kernel that cannot take columns.

    Return 0 if it copies nothing: if the classes are on the last axis, or if the kernel takes columns as they are, like
    other libraries and the implementation that "auto" picks.
    """
    if axis == -1 or implementation.bind is not None or implementation.name == pick().impl:
        return 0
    inner = math.prod(shape[axis + 1 :])
    return inner * copied_at_a_time(math.prod(shape[:axis]), shape[axis], inner)
