"""What an implementation of the softmax backward pass is: the kernel contract, and the record of a kernel.

A kernel does arithmetic and nothing else. Its caller (`softmax_impls.softmax_backward`, the checks, the benchmarks)
does everything else. Every kernel has the signature ``kernel(probs, grad_output, out)`` and may rely on this:

* The three arrays have one shape (B, D) with B ≥ 1 and D ≥ 1, and one dtype, float32 or float64. They are C-contiguous,
  aligned and in native byte order.
* ``probs`` and ``grad_output`` may be read-only. The kernel must not write to them.
* ``out`` overlaps neither input. The exception is exact aliasing, ``out is probs`` or ``out is grad_output``, where the
  record's ``in_place`` allows it.

The kernel writes every element of ``out`` and returns None. It does not validate its arguments. Arrays of another
layout or dtype may be computed in several calls, each on some of the rows.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Family = Literal["loop", "jacobian", "closed form", "numba", "peer", "user"]
Accuracy = Literal["probs", "logits"]
Backward = Callable[[Array, Array, Array], None]  # kernel(probs, grad_output, out)
Temporaries = Callable[[int, int, int], int]  # (batch, dim, itemsize) -> bytes
BoundCall = tuple[Callable[[], Any], Callable[[Any], Array]]  # the call, and a function that reads its result
Bind = Callable[[Array, Array, Array], BoundCall]  # (probs, grad_output, out) -> BoundCall

QUADRATIC = ("loop", "jacobian")  # families whose kernels take B·D² steps; the others take B·D
INPUTS = ("probs", "grad_output")
LARGEST_TEMPORARIES = 4_000_000_000  # bytes; a call that needs more is not started


@dataclass(frozen=True)
class Implementation:
    """A kernel and the facts that are known about it before it runs.

    Attributes
    ----------
    name : str
        The name that selects it, as in ``impl="closed_form"``.
    kernel : callable
        The function ``kernel(probs, grad_output, out)``.
    summary : str
        One line of description.
    family : {"loop", "jacobian", "closed form", "numba", "peer", "user"}
        The kind of algorithm. A kernel of the family "user" receives read-only views of its inputs.
    accurate_for : {"probs", "logits"}
        "probs": for the given probabilities, which are rounded, the result is
        ``probs * (grad_output - sum(grad_output * probs))``, apart from rounding errors. "logits": where rows are
        saturated, the result is also the true gradient with respect to the logits, apart from rounding errors. The
        checks test the kernel for this.
    temporaries : callable or None
        ``(batch, dim, itemsize) -> bytes``: temporary memory of one call, without ``out``. None: not stated.
    in_place : tuple of {"probs", "grad_output"}
        Inputs that may be passed as ``out``.
    requires : tuple of str
        Packages that the kernel needs besides NumPy.
    threaded : bool
        Whether the kernel may use more than one thread.
    bind : callable or None
        For libraries with their own arrays: a function of (probs, grad_output, out). It converts these NumPy arrays
        before the timing starts, and returns what `bind_call` returns.
    flush_to_zero : bool
        Whether the kernel treats subnormal numbers as zero.
    set_num_threads : callable or None
        ``(n) -> int``: sets the number of threads of its library, and returns the number that the library reports.
    usage : tuple of str or None
        For other libraries: two pieces of code. The first prepares a call on the arrays `probs`, `grad_output` and
        `out`. The text {threads} in it stands for the number of threads. The second piece makes the call.
    """

    name: str
    kernel: Backward
    summary: str
    family: Family = "user"
    accurate_for: Accuracy = "probs"
    temporaries: Temporaries | None = None
    in_place: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    threaded: bool = False
    bind: Bind | None = None
    flush_to_zero: bool = False
    set_num_threads: Callable[[int], int] | None = None
    usage: tuple[str, str] | None = None

    @property
    def spec(self) -> str:
        """The full name of the kernel, "package.module:function", as ``--impl`` accepts it."""
        return qualified_name(self.kernel, ":")

    def bind_call(self, probs: Array, grad_output: Array, out: Array) -> BoundCall:
        """Return a call on these arrays, ready to be timed, and a function that returns its result as a NumPy array."""
        if self.bind is not None:
            return self.bind(probs, grad_output, out)
        return functools.partial(self.kernel, probs, grad_output, out), lambda _: out

    def temporary_bytes(self, batch: int, dim: int, dtype: np.dtype[Any]) -> int:
        """Return the temporary memory of one call in bytes; 0 if the implementation does not state it."""
        return 0 if self.temporaries is None else self.temporaries(batch, dim, dtype.itemsize)


Impl = str | Callable[..., Any] | Implementation  # what an ``impl=`` argument accepts: a name, a kernel or its record


def invoke(kernel: Callable[..., Any], *inputs: Array, out: Array) -> None:
    """Call a kernel without floating-point warnings. Raise TypeError if it returns neither None nor `out`."""
    if hasattr(kernel, "py_func"):  # Numba's kernels do not warn, and np.errstate takes longer than a small call
        returned = kernel(*inputs, out)
    else:
        with np.errstate(all="ignore"):
            returned = kernel(*inputs, out)
    if not (returned is None or returned is out):
        rule = f"impl {qualified_name(kernel)} must write its result into out and return None"
        raise TypeError(f"{rule}, but it returned {type(returned).__name__}")


def read_only(array: Array) -> Array:
    """Return a read-only view of an array."""
    view = array.view()
    view.setflags(write=False)  # setting `view.flags.writeable` takes five times as long
    return view


def qualified_name(kernel: Callable[..., Any], separator: str = ".") -> str:
    """Return the full name of a kernel: "package.module.function", with `separator` before the function."""
    return f"{getattr(kernel, '__module__', '?')}{separator}{getattr(kernel, '__qualname__', repr(kernel))}"
