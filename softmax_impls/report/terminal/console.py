"""Where things are printed: wide enough for tables, in colour on a terminal only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

WIDTH = 150  # of tables that go to a file or a pipe
NARROWEST = 110  # a narrower terminal wraps lines, rather than tables their cells


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would exit with status 1


def console(stderr: bool = False, narrowest: int = NARROWEST) -> Console:
    """Return a console on standard output, or on standard error."""
    made = _Console(stderr=stderr, highlight=False, emoji=False)
    made.width = max(made.width, narrowest if made.is_terminal or "COLUMNS" in os.environ else WIDTH)
    return made


@contextmanager
def kernels_to_stderr() -> Iterator[None]:
    """Send what users' modules and kernels print to standard error, so that standard output holds the answer alone."""
    with redirect_stdout(sys.stderr):
        yield


def progress(screen: Console) -> Progress:
    """Return a bar that counts cells; tasks have a field `left`. Only a terminal shows it.

    There is no thread that redraws: it would take its time from what is being timed.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
    return Progress(*columns, console=screen, auto_refresh=False, transient=True, disable=not screen.is_terminal)


def print_lines(lines: Sequence[str]) -> None:
    """Print text as it is; a terminal's is wrapped between words."""
    out = console(narrowest=0)
    for line in lines:
        out.print(line, markup=False, soft_wrap=not out.is_terminal)


def print_json(value: Any) -> None:
    """Print what a program reads."""
    print(json.dumps(value, indent=2, allow_nan=False))
