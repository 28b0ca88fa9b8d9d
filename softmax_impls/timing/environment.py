"""The machine and the software a measurement was made with, and how many threads it may use."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from llvmlite import binding as llvm
from threadpoolctl import threadpool_limits

from softmax_impls.implementation import LARGEST_TEMPORARIES
from softmax_impls.threads import available_cores, limit_threads

PACKAGES = ("softmax-impls", "numpy", "numba", "llvmlite", "scipy", "torch", "jax", "numexpr")


@functools.cache
def machine() -> dict[str, str | int]:
    """Return what kind of machine this is."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": llvm.get_host_cpu_name(),
        "cores": available_cores(),
        "memory_bytes": psutil.virtual_memory().total,
    }


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter, as far as installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def commit() -> str | None:
    """Return the git commit of the checkout this is run from, with "+changes" if it was edited; None without one."""
    folder = Path(__file__).parents[2]
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
        if not Path(top, "softmax_impls", "__init__.py").exists():
            return None  # somebody else's repository, with this package in an environment inside it
        return _git(folder, "rev-parse", "HEAD") + ("+changes" if _git(folder, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def largest_temporaries() -> int:
    """Return the temporary memory, in bytes, that an implementation may take here: 4 GB, or half of what is free."""
    return min(LARGEST_TEMPORARIES, free_memory() // 2)


def free_memory() -> int:
    """Return how many bytes a process may take before others have to give way."""
    return int(psutil.virtual_memory().available)


@contextmanager
def limit_all_threads(threads: int) -> Iterator[None]:
    """Hold the kernels here, BLAS, OpenMP and Numba to a number of threads."""
    numba = sys.modules.get("numba")
    before = numba.get_num_threads() if numba else 0
    with limit_threads(threads), threadpool_limits(limits=threads):
        if numba:
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        finally:
            if numba:
                numba.set_num_threads(before)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
