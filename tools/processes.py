"""Run commands and functions in new processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from kept import ROOT

T = TypeVar("T")
SPAWN = multiprocessing.get_context("spawn")


def output_of(*command: str, cwd: Path = ROOT, variables: Mapping[str, str] = {}) -> str:
    """Return what a command prints, with these environment variables added. If it fails, exit with the last lines."""
    environment = {**os.environ, **variables}
    done = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:300]}: exit {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def in_new_process(function: Callable[..., T], *arguments: Any) -> T:
    """Return what a function of a script returns in a new process."""
    with ProcessPoolExecutor(1, SPAWN) as pool:
        return pool.submit(function, *arguments).result()


@contextlib.contextmanager
def clone() -> Iterator[Path]:
    """Yield a new clone of this repository, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clone"
        output_of("git", "clone", "-q", str(ROOT), str(path))
        yield path
