"""Import scripts from outside the package."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script(path):
    """Return the script at this path as a module. As when it is run, it can import other files of its folder."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses need it there
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
