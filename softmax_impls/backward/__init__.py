"""The implementations: one file each, whose name is the implementation's name. This module finds and loads them.

A file put into this folder is found by being there. So are those that other installed packages announce under the
entry-point group ``softmax_impls.backward``, and a function named on a command line as ``package.module:function``.
Nothing is imported before it is asked for, so that asking for a NumPy implementation does not load Numba.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from softmax_impls.contract import Family, Implementation, describe, registered, reserve
from softmax_impls.wording import RAISED, told

ENTRY_POINT_GROUP = "softmax_impls.backward"


def _files(folder: str, package: str) -> dict[str, str]:
    return {
        module.name: f"{package}.{module.name}"
        for module in pkgutil.iter_modules([folder])
        if not (module.ispkg or module.name.startswith("_"))
    }


_OURS = _files(__path__[0], __name__)
_PEERS = _files(os.path.join(__path__[0], "peers"), f"{__name__}.peers")
_FILES = {**_OURS, **_PEERS}
_FAMILIES: tuple[Family, ...] = ("loop", "jacobian", "closed form", "numba", "peer", "user")

reserve(_FILES)


def implementations(*, peers: bool = False) -> dict[str, Implementation]:
    """Return every implementation that can be used here, by name; imports them all.

    Parameters
    ----------
    peers : bool, optional
        Other libraries' too, as far as they are installed: torch, torch_compile, jax, numexpr. To import them takes
        seconds.

    Returns
    -------
    dict of str to Implementation
        Ours first, by family, then peers, and those registered or installed from elsewhere. A record tells what an
        implementation is, how much temporary memory it takes, and more: see `softmax_impls.contract.Implementation`.

    Examples
    --------
    >>> from softmax_impls import implementations
    >>> implementations()["closed_form"].summary
    'p * (g - sum(g * p)), as one would type it'
    """
    return catalogue(peers=peers)[0]


def catalogue(*, peers: bool = False) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return the implementations that can be used here, and for those that can not, by name, why."""
    usable, unusable = {}, {}
    for name in names(peers=peers):
        try:
            usable[name] = get(name)
        except RAISED as error:  # somebody else's package may fail in any way
            unusable[name] = told(error)
    order = sorted(usable.values(), key=lambda one: (_FAMILIES.index(one.family), one.name))
    return {one.name: one for one in order}, unusable


def is_ours(one: Implementation) -> bool:
    """Whether an implementation is one of this package's, which the tests have checked."""
    return one.name in _FILES


def names(*, peers: bool = False) -> list[str]:
    """Return the names of all implementations, sorted, without importing them."""
    found = {*_FILES, *registered(), *_announced()}
    return sorted(found if peers else found - set(_PEERS))


def get(name: str) -> Implementation:
    """Return the implementation of that name, importing no other.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists those there are.
    ImportError
        If there is, but it can not be imported here, or does not register what its name promises.
    """
    if name not in registered():
        if name in _FILES:
            importlib.import_module(_FILES[name])
        elif (entry_point := _announced().get(name)) is not None:
            _adopt(entry_point)
        else:
            raise ValueError(
                f"impl must be one of {', '.join(['auto', *names(peers=True)])}, or a kernel; got {name!r}"
            )
    try:
        return registered()[name]
    except KeyError:
        raise ImportError(f"{_FILES[name]} registers no implementation named {name!r}, the file's name") from None


def from_kernel(kernel: Callable[..., Any], name: str | None = None) -> Implementation:
    """Return the record that a kernel was registered with, or else one that states no more than its name."""
    for one in registered().values():
        if one.kernel is kernel:
            return one
    return describe(kernel, name=name or _identifier(kernel))


def from_spec(spec: str) -> Implementation:
    """Return what a command line names: a registered name, or a function as ``package.module:function``.

    The module may lie in the current folder.

    Raises
    ------
    ValueError
        If the name is unknown, or the module or the function can not be had; the message says which.
    """
    module_name, colon, attribute = spec.partition(":")
    if not colon:
        if spec not in (known := names(peers=True)):
            raise ValueError(f"impl must be one of {', '.join(known)}, or PACKAGE.MODULE:FUNCTION; got {spec!r}")
        return get(spec)
    try:
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        kernel = importlib.import_module(module_name)
        for part in attribute.split("."):
            kernel = getattr(kernel, part)
    except RAISED as error:  # whatever the user's module raises is the user's to read
        raise ValueError(f"impl {spec!r} can't be loaded: {told(error)}") from error
    if not callable(kernel):
        raise ValueError(f"impl {spec!r} must name a function, but it is a {type(kernel).__name__}")
    function = cast(Callable[..., Any], kernel)
    return from_kernel(function, name=spec if attribute in names(peers=True) else attribute)


def from_specs(specs: Iterable[str], *, peers: bool = False) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return what a command is to run for its ``--impl`` and ``--peers`` options, and what is not available, with why.

    Names narrow the choice to those named; functions given as ``module:function`` take part beside the rest.
    """
    given = [from_spec(spec) for spec in specs]
    named = [one.name for one, spec in zip(given, specs, strict=True) if ":" not in spec]
    usable, unusable = catalogue(peers=peers)
    chosen = {name: one for name, one in usable.items() if not named or name in named or (peers and name in _PEERS)}
    for one, spec in zip(given, specs, strict=True):
        taken = chosen.get(one.name)
        if taken is not None and taken.kernel is not one.kernel:
            one = replace(one, name=spec)  # two functions of one name, from two modules
        chosen[one.name] = one
    return chosen, {name: why for name, why in unusable.items() if not named or name in _PEERS}


def _announced() -> dict[str, EntryPoint]:
    return {one.name: one for one in entry_points(group=ENTRY_POINT_GROUP)}


def _adopt(entry_point: EntryPoint) -> None:
    """Load an announced kernel, and register it under the announced name unless its package did so already."""
    from softmax_impls.contract import register

    kernel = entry_point.load()
    if entry_point.name not in registered():
        register(name=entry_point.name)(kernel)


def _identifier(kernel: Callable[..., Any]) -> str:
    """Make a name for a kernel that may be a lambda, a partial or an instance."""
    name = getattr(kernel, "__name__", type(kernel).__name__)
    return name if name.isidentifier() and name != "auto" else "kernel"
