"""Select implementations by a `kernels=` argument, and check them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from softmax_impls.checks.gate import judge
from softmax_impls.checks.verdict import Verdict
from softmax_impls.commands.arguments import seed_from, several
from softmax_impls.dispatch import pick
from softmax_impls.implementation import Impl, Implementation
from softmax_impls.registry import catalogue, describe, from_kernel, from_spec, get, names

Kernels = Mapping[str, Impl] | Iterable[Impl] | Impl


def check(kernels: Kernels | None = None, *, peers: bool = False, seed: int = 0) -> dict[str, Verdict]:
    """Check that implementations are right, as ``softmax-impls check`` does.

    Parameters
    ----------
    kernels : iterable or dict, optional
        As in `compare`. By default, all implementations.
    peers : bool, optional
        Add the other libraries that are installed.
    seed : int, optional
        Seed of the inputs.

    Returns
    -------
    dict of str to Verdict
        The verdict on each implementation, by name. Its attributes are `right`, `failures` and `errors`.
    """
    return judge(select_kernels(kernels, peers)[0], seed_from(seed))


def select_kernels(kernels: Kernels | None, peers: bool) -> tuple[dict[str, Implementation], dict[str, str]]:
    """Return two dictionaries by name: the implementations to use, and the reasons why others can't be used.

    `kernels` is the argument of a public function; None stands for all implementations. `peers` adds other libraries.
    """
    if kernels is None:
        return catalogue(peers=peers)
    if callable(kernels):
        kernels = [kernels]
    pairs: list[tuple[str | None, Impl]]
    if isinstance(kernels, Mapping):
        pairs = list(kernels.items())
    else:
        pairs = [(None, kernel) for kernel in several("kernels", kernels, (str, Implementation))]
    selected: dict[str, Implementation] = {}
    for name, kernel in pairs:
        record = _record(name, kernel)
        if record.name in selected:
            raise ValueError(f"kernels: two are named {record.name!r}; pass a dictionary of names and kernels")
        selected[record.name] = record
    if not selected:
        raise ValueError("kernels must have at least one kernel")
    if not peers:
        return selected, {}
    usable, unusable = catalogue(peers=True)
    return {name: record for name, record in usable.items() if record.family == "peer"} | selected, unusable


def _record(name: str | None, kernel: Impl) -> Implementation:
    """Return the record of a kernel. If `name` is not None, it becomes the name in the record."""
    if isinstance(kernel, str):
        record = from_spec(pick().impl if kernel == "auto" else kernel)
    elif isinstance(kernel, Implementation):
        record = kernel
    else:
        own = str(getattr(kernel, "__name__", ""))  # "<lambda>" is not a name
        record = from_kernel(kernel, name=name or (own if own.isidentifier() else "kernel"))
    if name is not None and name != record.name:
        record = replace(record, name=describe(record.kernel, name=name).name)  # raises if `name` is not valid
    if record.name in names(peers=True) and get(record.name).kernel is not record.kernel:
        raise ValueError(f"kernels: {record.name!r} is the name of another implementation")
    return record
