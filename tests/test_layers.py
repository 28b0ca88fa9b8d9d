"""Data flows from left to right: no module imports from a folder to its right, nor a private name of another folder."""

import ast
from pathlib import Path

import pytest

import softmax_impls

PACKAGE = Path(softmax_impls.__file__).parent
ORDER = [
    "formatting", "user_cache", "threads", "implementation", "registry", "layout", "blocks", "simd", "backward",
    "peers", "dispatch", "calls", "api", "dask", "usage", "checks", "source", "__init__", "timing", "results", "choice",
    "report", "commands", "cli", "__main__",
]  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(parts):
    """Return the folder or the top-level module that a module belongs to."""
    return parts[0].removesuffix(".py") if parts else "__init__"


def imports(file):
    """Yield (module, name) for each import from this package, also inside functions, but not for types alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    for_types = {inner for block in blocks for inner in ast.walk(block)}
    for node in ast.walk(tree):
        if (
            node not in for_types
            and isinstance(node, ast.ImportFrom)
            and (node.module or "").partition(".")[0] == "softmax_impls"
        ):
            yield from ((node.module, alias.name) for alias in node.names)


def test_every_folder_and_module_has_its_place_in_the_order():
    assert {room(file.relative_to(PACKAGE).parts) for file in MODULES} == set(ORDER)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_own_folder_and_from_the_left(file):
    here = room(file.relative_to(PACKAGE).parts)
    for module, name in imports(file):
        parts = module.split(".")[1:] or ([name] if name in ORDER else [])
        assert ORDER.index(room(parts)) <= ORDER.index(here), f"{module}.{name}"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_module_imports_no_private_name(file):
    assert not [name for _, name in imports(file) if name.startswith("_") and name != "__version__"]
