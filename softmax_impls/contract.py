"""What an implementation of the softmax backward pass is: its signature, its record, and the registry of records.

A kernel is dumb and its caller is clever. Every kernel has the one signature ``kernel(probs, grad_output, out)``
and may rely on this, which `softmax_impls.softmax_backward`, the checks and the benchmarks all see to:

* the three arrays are C-contiguous, of one shape (B, D) with B ≥ 1 and D ≥ 1, of one dtype, float32 or float64,
  in native byte order and aligned;
* ``probs`` and ``grad_output`` are not the kernel's to write, and may be read-only;
* ``out`` overlaps neither of them, except exactly, where the record's ``in_place`` says that it may.

The kernel writes the whole of ``out``, returns None, and validates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args, overload

import numpy as np

from softmax_impls.record import (
    INPUTS,
    LARGEST_TEMPORARIES,
    Accuracy,
    Array,
    Backward,
    Bind,
    Bound,
    Family,
    Impl,
    Implementation,
    Temporaries,
)

__all__ = [
    "INPUTS",
    "LARGEST_TEMPORARIES",
    "Accuracy",
    "Array",
    "Backward",
    "Bind",
    "Bound",
    "Family",
    "Impl",
    "Implementation",
    "Temporaries",
    "describe",
    "invoke",
    "read_only",
    "register",
    "registered",
    "reserve",
]

K = TypeVar("K", bound=Callable[..., Any])

_registry: dict[str, Implementation] = {}
_reserved: dict[str, str] = {}  # name → the module it will be registered by, once that is imported


@overload
def register(kernel: K, /) -> K: ...
@overload
def register(
    *,
    name: str | None = None,
    summary: str | None = None,
    family: Family = "user",
    accurate_for: Accuracy = "probs",
    temporaries: Temporaries | None = None,
    in_place: Iterable[str] = (),
    requires: Iterable[str] = (),
    threaded: bool = False,
    bind: Bind | None = None,
    allocates: bool = False,
    flushes: bool = False,
    hold_threads: Callable[[int], int] | None = None,
) -> Callable[[K], K]: ...
def register(kernel: K | None = None, /, **record: Any) -> K | Callable[[K], K]:
    """Add an implementation of the softmax backward pass: a decorator, bare or with what is known about it.

    Once registered, the kernel is found by name everywhere: `softmax_backward`, the checks, the benchmarks and the
    command line.

    Parameters
    ----------
    kernel : callable
        ``kernel(probs, grad_output, out)``: three C-contiguous (B, D) arrays of one dtype, float32 or float64. Writes
        ``out``, leaves the others alone, and returns None.
    name : str, optional
        The name to be found by; the function's own by default.
    summary : str, optional
        One line; by default the first line of the docstring.
    family : {"user", "loop", "jacobian", "closed form", "numba", "peer"}, optional
        What kind of thing it is.
    accurate_for : {"probs", "logits"}, optional
        Which of the two questions the checks hold it to, see `softmax_impls.contract.Implementation`.
    temporaries : callable, optional
        ``(rows, classes, itemsize) -> bytes`` of temporary memory, for refusing a call that would not fit.
    in_place : iterable of {"probs", "grad_output"}, optional
        Which inputs may be ``out`` itself.
    requires : iterable of str, optional
        Packages needed besides NumPy.
    threaded : bool, optional
        Whether it may use more than one thread.
    bind : callable, optional
        For libraries with arrays of their own, ``(probs, grad_output, out) -> (call, read)``: converts what is NumPy's,
        which is not to be timed, and returns a call without arguments and what reads its result as NumPy.
    allocates : bool, optional
        Whether that call allocates its result even if there is an ``out``.
    flushes : bool, optional
        Whether it takes subnormal numbers for zero, as compilers may that were told so.
    hold_threads : callable, optional
        ``(number) -> number``: sets how many threads its library uses, and returns what it then uses.

    Returns
    -------
    callable
        The kernel, unchanged.

    Raises
    ------
    TypeError
        If the kernel is not callable or `temporaries` is neither callable nor None.
    ValueError
        If the name is taken or not an identifier, or a word is not one of those allowed.

    Examples
    --------
    >>> from softmax_impls import register, softmax_backward
    >>> @register
    ... def two_lines(probs, grad_output, out):
    ...     '''The closed form, in two lines.'''
    ...     total = (grad_output * probs).sum(axis=-1, keepdims=True)
    ...     out[...] = probs * (grad_output - total)
    >>> softmax_backward([0.25, 0.75], [1.0, 0.0], impl="two_lines")
    array([ 0.1875, -0.1875])
    """

    def add(kernel: K) -> K:
        implementation = describe(kernel, **record)
        owner = _owner(implementation.name)
        # The same function again is no clash: a module reloaded, a notebook's cell run twice.
        again = owner == _where(kernel) and "<locals>" not in _where(kernel)
        if not (owner is None or again):
            raise ValueError(f"name {implementation.name!r} is taken by {owner}; give {_where(kernel)} another name")
        _registry[implementation.name] = implementation
        return kernel

    return add if kernel is None else add(kernel)


def describe(kernel: Callable[..., Any], **record: Any) -> Implementation:
    """Make the record of a kernel without registering it; parameters as in `register`."""
    if not callable(kernel):
        raise TypeError(f"kernel must be callable, got {type(kernel).__name__}")
    name = record.pop("name", None) or getattr(kernel, "__name__", type(kernel).__name__)
    if not (isinstance(name, str) and re.fullmatch(r"[^\W\d][\w.:]*", name)) or name == "auto":
        raise ValueError(f"name must be an identifier other than 'auto', got {name!r}: pass name=")
    first_line = (kernel.__doc__ or "").strip().partition("\n")[0]
    summary = record.pop("summary", None) or first_line or "(no description)"
    given = record.pop("in_place", ())
    in_place = (given,) if isinstance(given, str) else tuple(given)
    implementation = Implementation(name, kernel, summary, in_place=in_place, **record)
    _one_of("family", implementation.family, get_args(Family))
    _one_of("accurate_for", implementation.accurate_for, get_args(Accuracy))
    for argument in in_place:
        _one_of("in_place", argument, INPUTS)
    if not _is_law(implementation.temporaries):
        raise TypeError(
            f"temporaries must be a function of (rows, classes, itemsize), got {implementation.temporaries!r}"
        )
    return implementation


def _is_law(temporaries: object) -> bool:
    """Whether this is None, or a function of three sizes that gives a number of bytes."""
    try:
        return temporaries is None or int(temporaries(1, 1, 8)) >= 0  # type: ignore[operator]
    except (TypeError, ValueError):
        return False


def registered() -> dict[str, Implementation]:
    """Return the implementations registered so far, by name; those not yet imported are not among them."""
    return dict(_registry)


def reserve(names: dict[str, str]) -> None:
    """Keep names for modules that are not imported yet: ``{name: module}``."""
    _reserved.update(names)


def invoke(kernel: Callable[..., Any], *inputs: Array, out: Array) -> None:
    """Call a kernel in the way that all but timing does: NaN and inf pass silently, a returned result does not."""
    with np.errstate(all="ignore"):
        returned = kernel(*inputs, out)
    if not (returned is None or returned is out):
        raise TypeError(
            f"impl {_where(kernel)} must write its result into out and return None, got {type(returned).__name__} back"
        )


def read_only(array: Array) -> Array:
    """Return a read-only view: how inputs are handed to a kernel that nobody has checked."""
    view = array.view()
    view.flags.writeable = False
    return view


def _one_of(argument: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(allowed)}; got {value!r}")


def _where(kernel: Callable[..., Any]) -> str:
    return f"{getattr(kernel, '__module__', '?')}.{getattr(kernel, '__qualname__', repr(kernel))}"


def _owner(name: str) -> str | None:
    """Who has a name: the kernel registered under it, or the one that its module is going to register."""
    if name in _registry:
        return _where(_registry[name].kernel)
    return f"{_reserved[name]}.{name}" if name in _reserved else None
