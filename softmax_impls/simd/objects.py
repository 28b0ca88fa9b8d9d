"""Machine code in files and in memory: compiled functions are kept between processes, and loaded without Numba.

Numba is not imported to load machine code, because the import would take most of the time of a first call.
"""

# mypy: allow-untyped-calls

import contextlib
import ctypes
import functools
import os
import sys
import tempfile
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from llvmlite import __version__ as llvmlite_version
from llvmlite import binding

from softmax_impls import threads
from softmax_impls.simd.sizes import LAST_LEVEL_CACHE
from softmax_impls.user_cache import replacing, user_cache

HERE = Path(__file__).parent
# Numba compiles functions and constants of these files into kernels of other files. So machine code is valid only while
# their times of change and sizes stay the same. The stamp also has the size of the cache: constants depend on it, and a
# machine with another cache may read the same files of machine code.
_FILES = (*sorted(HERE.glob("*.py")), Path(threads.__file__))
STAMP = LAST_LEVEL_CACHE, *((file.stat().st_mtime, file.stat().st_size) for file in _FILES)
METH_FASTCALL = 0x80
_methods: list[Any] = []  # kept: Python reads a function's description as long as the function lives

Code = tuple[str, bytes]  # the name of the function that Python or a task calls, and an object file


@functools.cache
def surroundings() -> tuple[Any, ...]:
    """Return what all machine code depends on: processor, size of the cache, source files, versions and settings.

    The source files are those of this folder. If a compiled function is defined elsewhere, `_dependencies` adds its
    file.
    """
    features, numba = "", cast(str, cast(ModuleSpec, find_spec("numba")).origin)
    with contextlib.suppress(RuntimeError):  # LLVM does not know the features
        features = binding.get_host_cpu_features().flatten()
    ignored = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS")
    settings = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in ignored)
    versions = Path(numba).with_name("_version.py").read_bytes(), llvmlite_version, sys.version
    return binding.get_host_cpu_name(), features, settings, STAMP, versions


def _dependencies(function: Any) -> bytes:
    file = Path(function.__code__.co_filename)
    return repr((*surroundings(), str(file), file.stat().st_mtime, file.stat().st_size)).encode()


def _file_of(function: Any, dtype: Any) -> Path:
    """Return the path of the file for a function's machine code; raise OSError if there is no folder for it."""
    folder = HERE / "__pycache__"
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        folder = Path(given)
    elif not os.access(folder, os.W_OK):
        folder = user_cache()
        if folder.parent == Path(tempfile.gettempdir()):  # the user has no home, and others may write here
            raise OSError
    name = f"{function.__module__.rpartition('simd.')[2]}.{function.__name__}"
    return folder / f"{name}-{dtype or 'entry'}-{binding.get_host_cpu_name()}.o"


def read(function: Any, dtype: Any) -> Code | None:
    """Return the machine code of a function from its file; None if the function has to be compiled."""
    with contextlib.suppress(OSError, ValueError):
        found, name, size, code = _file_of(function, dtype).read_bytes().split(b"\0", 3)
        if found == _dependencies(function) and len(code) == int(size):
            return name.decode(), code
    return None


def write(function: Any, dtype: Any, code: Code) -> None:
    """Write the machine code of a function to a file, from which `read` returns it in later processes.

    Nothing is written if there is no folder for such files, or if the file cannot be written.
    """
    with contextlib.suppress(OSError), replacing(_file_of(function, dtype)) as file:
        file.write(b"\0".join([_dependencies(function), code[0].encode(), b"%d" % len(code[1]), code[1]]))


@functools.cache
def _engine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine()
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


def load(code: Code) -> int:
    """Load machine code into memory, and return the address of its function."""
    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(code[1]))
    engine.finalize_object()
    return int(engine.get_function_address(code[0]))


class _Method(ctypes.Structure):
    """PyMethodDef of Python's C API."""

    _fields_ = (
        ("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p),
    )  # fmt: skip


def callable_at(address: int, name: str) -> Any:
    """Return a Python function with this name, which calls the machine code at an address.

    The machine code has to be the code of an `arrays.Entry`.
    """
    method = _Method(name.encode(), address, METH_FASTCALL, None)
    _methods.append(method)
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return new(ctypes.byref(method), None, None)
