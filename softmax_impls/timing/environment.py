"""The machine and the software of a measurement, and the number of threads."""

import functools
import hashlib
import importlib.metadata
import inspect
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from llvmlite import binding as llvm
from threadpoolctl import threadpool_limits

from softmax_impls.implementation import LARGEST_TEMPORARIES
from softmax_impls.threads import available_cores, limit_threads
from softmax_impls.timing.records import Environment, storable

PACKAGES = ("softmax-impls", "numpy", "numba", "llvmlite", "scipy", "torch", "jax", "numexpr")  # if they are installed
CHECKOUT = Path(__file__).parents[2]  # a git checkout, unless this package is installed from a wheel
HASHED = "hash"  # the `host` that asks for a hash of the machine's name


@functools.cache
def environment(host: str | None = None) -> Environment:
    """Return the machine and the software of this process.

    Parameters
    ----------
    host : str, optional
        The name of the machine; "hash" for 8 hexadecimal digits that tell machines apart without naming them. The
        default is the environment variable SOFTMAX_IMPLS_MACHINE or, if it is not set, the machine's network name.
    """
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package) or "unknown"  # of a damaged installation
    machine = description(llvm.get_host_cpu_name(), available_cores(), platform.system(), platform.machine())
    host = host or os.environ.get("SOFTMAX_IMPLS_MACHINE") or platform.node()
    host = _hashed_name() if host == HASHED else storable(host, 200)
    memory = psutil.virtual_memory().total
    return Environment(machine=machine, host=host, memory_bytes=memory, versions=versions, commit=commit(CHECKOUT))


def is_here(machine: str, host: str) -> bool:
    """Whether results can be from the machine that runs this process.

    `machine` and `host` are the names in the results. The host "" fits any machine.
    """
    return machine == environment().machine and (not host or _is_this(host))


def machine_name(host: str, processor: str, cores: object, system: str, architecture: str) -> str:
    """Return the `machine` of an `Environment`, for a machine that asv or pytest-benchmark describes.

    These tools do not know LLVM's name of a processor. If their description fits this machine, return the name that
    this machine has in results of `compare`, so that one machine has one name. Otherwise return the description.
    """
    here = (_processor(), os.cpu_count(), platform.system(), platform.machine())
    found = description(processor, cores, system, architecture)
    return environment().machine if found == description(*here) and _is_this(host) else found


def description(processor: str, cores: object, system: str, architecture: str) -> str:
    """Return the description of a machine: its processor, its number of cores, its system and architecture."""
    number = ("1 core" if str(cores) == "1" else f"{cores} cores") if cores else ""
    parts = (" ".join(part.split()) for part in (processor or "unknown processor", number, f"{system} {architecture}"))
    return storable(", ".join(part for part in parts if part), 200)


def from_old_to_new(commits: Iterable[str]) -> list[str]:
    """Return the commits that git knows here, in the order of their history: a parent before its children."""
    hashes = {commit for commit in commits if re.fullmatch("[0-9a-f]{7,40}", commit)}
    for folder in (Path.cwd(), CHECKOUT) if hashes else ():
        with suppress(OSError, subprocess.SubprocessError):
            history = _git(folder, "rev-list", "--topo-order", "--reverse", "--ignore-missing", *sorted(hashes))
            if known := [commit for commit in history.split() if commit in hashes]:
                return known
    return []


def commit(folder: Path) -> str | None:
    """Return the git commit of a checkout, with "+changes" if it was edited; None if `folder` is not a checkout."""
    with suppress(OSError, subprocess.SubprocessError):
        top = _git(folder, "rev-parse", "--show-toplevel")  # another project's, if this package is inside it
        if Path(top, "softmax_impls", "__init__.py").exists():
            changes = "+changes" if _git(folder, "status", "--porcelain", "-uno") else ""
            return _git(folder, "rev-parse", "HEAD") + changes
    return None


def largest_temporaries() -> int:
    """Return the default limit of a call's temporary memory in bytes: 4 GB, but at most half of the free memory."""
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
    """Return a hash (12 hexadecimal digits) of the file or notebook cell that defines a kernel; "?" if unknown."""
    function = inspect.unwrap(getattr(kernel, "py_func", kernel))
    with suppress(TypeError, OSError):
        return _digest(Path(inspect.getfile(function)).read_bytes(), 12)
    with suppress(TypeError, OSError):
        return _digest(inspect.getsource(function).encode(), 12)  # IPython keeps the lines of cells
    return "?"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, errors="surrogateescape", check=True, timeout=10)
    return done.stdout.strip()


@functools.cache
def _processor() -> str:
    """Return the name of this processor as asv and pytest-benchmark read it; "" if it is not known."""
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
        if found := re.search(r"^model name\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return found[1]
    return ""


def _is_this(host: str) -> bool:
    """Whether `host` is this machine's name in its results, its network name, or the hash of its network name."""
    return host in (environment().host, platform.node(), _hashed_name())


def _hashed_name() -> str:
    return _digest(platform.node().encode(), 8)


def _digest(content: bytes, digits: int) -> str:
    return hashlib.sha256(content).hexdigest()[:digits]
