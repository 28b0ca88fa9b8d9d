"""Find implementations by name.

An implementation is found in one of four ways:

* A file in ``backward/`` or ``peers/`` registers the implementation of its own name.
* `register` adds a kernel of yours.
* An installed package announces a kernel under the entry-point group ``softmax_impls.backward``.
* A command line names a function as ``package.module:function``.

A module is imported only when its implementation is asked for: asking for a NumPy implementation does not load Numba.
"""

import contextlib
import importlib
import operator
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar, get_args, overload

from softmax_impls.formatting import KERNEL_ERRORS, did_you_mean, one_line
from softmax_impls.implementation import INPUTS, Accuracy, Family, Implementation, qualified_name

ENTRY_POINT_GROUP = "softmax_impls.backward"
K = TypeVar("K", bound=Callable[..., Any])


def _modules_in(folder: str) -> dict[str, str]:
    """Return the modules of one of this package's folders: implementation name -> module name."""
    found = pkgutil.iter_modules([str(Path(__file__).parent / folder)])
    return {module.name: f"softmax_impls.{folder}.{module.name}" for module in found}


_PEERS = _modules_in("peers")
_MODULES = _modules_in("backward") | _PEERS
_registered: dict[str, Implementation] = {}
resolved: dict[object, tuple[Any, int, Implementation]] = {}  # by `impl`: kernel, kind and record, kept by `calls`


@overload
def register(kernel: K, /) -> K: ...
@overload
def register(**record: Any) -> Callable[[K], K]: ...
def register(kernel: K | None = None, /, **record: Any) -> K | Callable[[K], K]:
    """Register a kernel, so that every part of the package finds it by name; return the kernel.

    Use it as a decorator, with or without arguments. Afterwards `softmax_backward`, the checks, the benchmarks and the
    command line accept the kernel's name.

    Parameters
    ----------
    kernel : callable
        ``kernel(probs, grad_output, out)``. The arrays are C-contiguous (B, D) of one dtype, float32 or float64. The
        kernel writes `out`, does not change the inputs, and returns None.
    **record : optional
        The other attributes of `softmax_impls.implementation.Implementation`: name, summary, family, accurate_for and
        so on. By default, the name is the function's name, and the summary is the first line of its docstring.

    Raises
    ------
    TypeError
        If the kernel is not callable, or `temporaries` is not a function of (batch, dim, itemsize).
    ValueError
        If the name is taken or is not an identifier, or `family`, `accurate_for` or `in_place` is not an allowed word.

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
        name, place, owner = implementation.name, qualified_name(kernel), None
        if name in _registered:
            owner = qualified_name(_registered[name].kernel)
        elif name in _MODULES:
            owner = f"{_MODULES[name]}.{name}"  # its module is not imported yet
        # Registering the same function again is allowed, because modules are reloaded and notebook cells are run twice.
        again = owner == place and "<locals>" not in place
        if not (owner is None or again):
            raise ValueError(f"name {name!r} is taken by {owner}; give {place} another name")
        _registered[name] = implementation
        resolved.clear()
        return kernel

    return add if kernel is None else add(kernel)


def describe(kernel: Callable[..., Any], **record: Any) -> Implementation:
    """Return the record of a kernel without registering it; the parameters are the same as in `register`."""
    if not callable(kernel):
        raise TypeError(f"kernel must be callable, got {type(kernel).__name__}")
    name = record.pop("name", None) or getattr(kernel, "__name__", type(kernel).__name__)
    if not (isinstance(name, str) and re.fullmatch(r"[^\W\d][\w.:]*", name)) or name == "auto":
        raise ValueError(f"name must be an identifier other than 'auto', got {name!r}: pass name=")
    first_line = (kernel.__doc__ or "").strip().partition("\n")[0]
    summary = record.pop("summary", None) or first_line or "(no description)"
    for option in {"in_place", "requires"} & record.keys():
        words = record[option]
        record[option] = (words,) if isinstance(words, str) else tuple(words)
    implementation = Implementation(name, kernel, summary, **record)
    choices = [
        ("family", implementation.family, get_args(Family)),
        ("accurate_for", implementation.accurate_for, get_args(Accuracy)),
        *(("in_place", argument, INPUTS) for argument in implementation.in_place),
    ]
    for option, word, allowed in choices:
        if word not in allowed:
            raise ValueError(f"{option} must be one of {', '.join(allowed)}; got {word!r}")
    with contextlib.suppress(ArithmeticError, TypeError, ValueError):  # the call or int() failed
        if implementation.temporaries is None or int(implementation.temporaries(1, 1, 8)) >= 0:
            return implementation
    raise TypeError(f"temporaries must be a function of (batch, dim, itemsize), got {implementation.temporaries!r}")


def implementations(*, peers: bool = False) -> dict[str, Implementation]:
    """Import all implementations, and return the usable ones by name.

    Parameters
    ----------
    peers : bool, optional
        Include the implementations of other libraries that are installed: torch, torch_compile, jax, numexpr. Importing
        these libraries takes seconds.

    Returns
    -------
    dict of str to Implementation
        This package's implementations come first, sorted by family, then peers, then yours. A record states what the
        implementation does and how much temporary memory it takes, see `softmax_impls.implementation.Implementation`.

    Examples
    --------
    >>> from softmax_impls import implementations
    >>> implementations()["closed_form"].summary
    'p * (g - sum(g * p)), in NumPy'
    """
    return catalogue(peers=peers)[0]


def catalogue(*, peers: bool = False) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return the usable implementations, with `peers` also the peers, and why others cannot be used here; by name."""
    usable, unusable = {}, {}
    for name in names(peers=peers):
        try:
            usable[name] = get(name)
        except KERNEL_ERRORS as error:  # an import can fail in any way
            unusable[name] = one_line(error)
    by_family = sorted(usable.items(), key=lambda item: get_args(Family).index(item[1].family))  # then by name
    return dict(by_family), unusable


def is_ours(implementation: Implementation) -> bool:
    """Whether this package ships the implementation, so that its tests cover it."""
    return implementation.name in _MODULES and _registered.get(implementation.name) is implementation


def names(*, peers: bool = False) -> list[str]:
    """Return the sorted names of all implementations, including peers only if `peers`, without importing them."""
    announced = entry_points(group=ENTRY_POINT_GROUP).names
    return sorted({*_MODULES, *_registered, *announced}.difference(() if peers else _PEERS))


def get(name: str) -> Implementation:
    """Return the implementation of this name, importing no other; ValueError or ImportError if there is none."""
    if name not in _registered:
        if name in _MODULES:
            _import(_MODULES[name])
        elif name in (announced := entry_points(group=ENTRY_POINT_GROUP)).names:
            kernel = announced[name].load()
            if name not in _registered:  # the package may have registered it while it was imported
                register(name=name)(kernel)
        else:
            known = ["auto", *names(peers=True)]
            allowed = f"{', '.join(known)}, a kernel, or 'package.module:function'"
            meant = _function(name) or did_you_mean(name, known)
            raise ValueError(f"impl must be one of {allowed}; got {name!r}{meant}")
    if name not in _registered:
        raise ImportError(f"{_MODULES[name]} registers no implementation named {name!r}, the file's name")
    return _registered[name]


def _import(module: str) -> None:
    """Import a module of this package; the error for a package that is not installed says how to install it."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not error.name or "." in error.name:
            raise
        raise ModuleNotFoundError(f"{error.name} is not installed: pip install {error.name}", name=error.name) from None


def _function(spec: str) -> str:
    """Return "; did you mean 'kernels:mine'?" for "kernels.mine" and "kernels.py:mine", else ""."""
    path, _, function = spec.partition(":")
    if path.endswith(".py"):
        file = Path(path)
        folder = "" if file.parent == Path() else f" in the folder {file.parent}"
        return f"; did you mean '{file.stem}:{function or 'FUNCTION'}'{folder}?"
    dotted = re.fullmatch(r"([\w.]+)\.(\w+)", spec)
    return f"; did you mean '{dotted[1]}:{dotted[2]}'?" if dotted else ""


def from_kernel(kernel: Callable[..., Any], name: str = "kernel") -> Implementation:
    """Return the record with which a kernel was registered; without one, a new record with this name."""
    return next((r for r in _registered.values() if r.kernel is kernel), None) or describe(kernel, name=name)


def from_spec(spec: str) -> Implementation:
    """Return the implementation of a name, or of ``package.module:function``; ValueError or ImportError if it fails."""
    module_name, colon, attribute = spec.partition(":")
    if not colon or spec in _registered:
        return get(spec)
    try:
        with contextlib.suppress(FileNotFoundError):  # the current folder was deleted
            sys.path[:0] = {os.getcwd()}.difference(sys.path)
        kernel = operator.attrgetter(attribute)(importlib.import_module(module_name))
    except KERNEL_ERRORS as error:  # the user's module may raise anything
        raise ValueError(f"impl {spec!r} can't be loaded: {one_line(error)}{_function(spec)}") from error
    if not callable(kernel):
        raise ValueError(f"impl {spec!r} must name a function, not an object of type {type(kernel).__name__}")
    return from_kernel(kernel, name=spec if attribute in names(peers=True) else attribute)


def from_specs(specs: Iterable[str], *, peers: bool = False) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return the implementations that ``--impl`` and ``--peers`` select, and the reasons why others cannot be used.

    `specs` are names, or functions as ``module:function``. All of them are selected. If no name is given, all
    implementations of the package are selected besides. With `peers`, all peers are selected besides.
    """
    given = {spec: from_spec(spec) for spec in specs}
    named = [record.name for spec, record in given.items() if ":" not in spec]
    usable, unusable = catalogue(peers=peers)
    selected = {n: record for n, record in usable.items() if not named or n in named or n in _PEERS}
    for spec, record in given.items():
        if selected.get(record.name, record).kernel is not record.kernel:
            record = replace(record, name=spec)  # two modules define a function of this name
        selected[record.name] = record
    return selected, {name: why for name, why in unusable.items() if not named or name in _PEERS}
