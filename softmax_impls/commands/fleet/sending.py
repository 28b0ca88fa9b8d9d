"""The files of a user's modules, which are sent to the hosts of a fleet."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from softmax_impls.formatting import format_bytes

LARGEST = 10_000_000  # bytes in all
INSTALLED = ("site-packages", "dist-packages")  # folders of packages that each host installs for itself


def files_of(specs: Iterable[str]) -> dict[str, bytes]:
    """Return the Python files that ``package.module:function`` names, by path: a module, or its whole package.

    The modules must be imported already. Installed packages are left out. Raise ValueError if the files are too large.
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
    """Yield the folder that a top-level module or package is in, and each of its files."""
    module = sys.modules.get(top)
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    file = Path(getattr(module, "__file__", None) or "none")
    if {*INSTALLED} & {*file.parts} or top in sys.stdlib_module_names:
        return
    for folder in folders:
        yield from ((folder.parent, path) for path in sorted(folder.rglob("*.py")))
    if not folders and file.suffix == ".py":
        yield file.parent, file
