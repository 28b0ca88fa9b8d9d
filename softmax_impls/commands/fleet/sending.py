"""How the hosts of a fleet find implementations: by name, or in the user's modules, which are sent to the hosts."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from softmax_impls.commands.fleet.messages import Order
from softmax_impls.formatting import format_bytes
from softmax_impls.implementation import Implementation, qualified_name
from softmax_impls.registry import from_spec, is_ours

LARGEST = 10_000_000  # bytes of all files together
INSTALLED = {"site-packages", "dist-packages"}  # folders of packages that each host installs for itself


def chosen(order: Order, usable: Mapping[str, Implementation]) -> Order:
    """Return a copy of `order` in which the hosts measure only the implementations in `usable`.

    If `order.peers` is true, each host also measures the peers (torch, jax, …) that are installed on it.
    """
    names = [name for name, record in usable.items() if not (order.peers and record.family == "peer")]
    return msgspec.structs.replace(order, specs=specs_of({name: usable[name] for name in names}), only=names)


def specs_of(implementations: Mapping[str, Implementation]) -> list[str]:
    """Return implementations as values of ``--impl``: names, or "package.module:function".

    Raise ValueError if a worker cannot import a function by its name, for example a function of a notebook.
    """
    specs = []
    for name, record in implementations.items():
        spec = name if is_ours(record) else qualified_name(record.kernel, ":")
        try:
            found = None if spec.startswith("__main__:") else from_spec(spec)
        except ValueError:
            found = None
        if not found or (found.name, found.kernel) != (name, record.kernel):
            raise ValueError(f"kernels: {name!r} must be a function of this name in a module that workers can import")
        specs.append(spec)
    return specs


def files_of(specs: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of the Python files that hosts need in order to import `specs`, by the paths of the files.

    A spec is a text like ``package.module:function``. Its files are all files of the package; if the module is in no
    package, the file of the module. The modules must be imported already. Installed packages are
    left out. Raise ValueError if the files are too large.
    """
    files: dict[str, bytes] = {}
    for top in sorted({spec.partition(":")[0].partition(".")[0] for spec in specs if ":" in spec}):
        files |= {str(path.relative_to(root)): path.read_bytes() for root, path in _python_files(top)}
    if (total := sum(map(len, files.values()))) > LARGEST:
        raise ValueError(
            f"the user's modules take {format_bytes(total)}, more than {format_bytes(LARGEST)}: "
            "install them on the workers' machines"
        )
    return files


def _python_files(top: str) -> Iterator[tuple[Path, Path]]:
    """Yield pairs: the folder that contains a top-level module or package, and one of its files."""
    module = sys.modules.get(top)
    places = getattr(module, "__path__", None) or [getattr(module, "__file__", None) or "none"]
    for place in map(Path, places):  # a namespace package may have several folders
        if not (INSTALLED & {*place.parts} or top in sys.stdlib_module_names):
            yield from ((place.parent, file) for file in sorted(place.rglob("*.py")) or [place] if file.suffix == ".py")
