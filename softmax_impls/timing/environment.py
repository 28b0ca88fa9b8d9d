"""The machine and the software of a measurement, and the number of threads."""

import functools
import hashlib
import importlib.metadata
import inspect
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from llvmlite import binding as llvm
from threadpoolctl import threadpool_limits

from softmax_impls.implementation import LARGEST_TEMPORARIES
from softmax_impls.threads import available_cores, limit_threads
from softmax_impls.timing.records import Environment, printable

PACKAGES = ("softmax-impls", "numpy", "numba", "llvmlite", "scipy", "torch", "jax", "numexpr")  # if installed


@functools.cache
def environment() -> Environment:
    """Return the machine and the software of this process."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    system = f"{platform.system()} {platform.machine()}"
    machine = printable(f"{llvm.get_host_cpu_name()}, {available_cores()} cores, {system}", 200)
    memory, checkout = psutil.virtual_memory().total, Path(__file__).parents[2]
    return Environment(machine=machine, memory_bytes=memory, versions=versions, commit=commit(checkout))


def commit(folder: Path) -> str | None:
    """Return the git commit of a checkout, with "+changes" if it was edited; None if `folder` is not a checkout."""
    with suppress(OSError, subprocess.SubprocessError):
        top = _git(folder, "rev-parse", "--show-toplevel")  # of another project if this package is installed inside it
        if Path(top, "softmax_impls", "__init__.py").exists():
            changes = "+changes" if _git(folder, "status", "--porcelain", "-uno") else ""
            return _git(folder, "rev-parse", "HEAD") + changes
    return None


def largest_temporaries() -> int:
    """Return the default limit of a call's temporary memory in bytes: 4 GB, or half of the free memory."""
    return min(LARGEST_TEMPORARIES, free_memory() // 2)


def free_memory() -> int:
    """Return the bytes that a process can allocate before the system has to swap."""
    return int(psutil.virtual_memory().available)


@contextmanager
def limit_all_threads(threads: int) -> Iterator[None]:
    """Temporarily limit the threads of this package's kernels, of BLAS, of OpenMP and of Numba."""
    import numba  # takes half a second

    before = numba.get_num_threads()
    with limit_threads(threads), threadpool_limits(limits=threads):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
        try:
            yield
        finally:
            numba.set_num_threads(before)


def fingerprint(kernel: Callable[..., Any]) -> str:
    """Return 12 characters that change with the file that defines a kernel; "?" if there is no such file."""
    with suppress(TypeError, OSError):
        file = inspect.getfile(inspect.unwrap(getattr(kernel, "py_func", kernel)))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
    return "?"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
