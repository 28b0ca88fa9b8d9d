"""Run a command in a new process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from kept import ROOT


def output_of(*command: str, cwd: Path = ROOT, variables: Mapping[str, str] = {}) -> str:
    """Return what a command prints, with these environment variables added. If it fails, exit with the last lines."""
    environment = {**os.environ, **variables}
    done = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:300]}: exit {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout
