"""Print tables, text and JSON to standard output."""

import datetime
import json
import os
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

FILE_WIDTH = 150  # columns of a table that goes to a file or a pipe


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, which the command line handles. By default, rich exits with status 1."""
        raise BrokenPipeError

    def print(self, *objects: Any, **options: Any) -> None:
        """Print without cutting off long lines, because a table may be wider than the terminal."""
        super().print(*objects, **{"crop": False, **options})


def console() -> Console:
    """Return a console as wide as the terminal. It has colours only on a terminal."""
    screen = _Console(highlight=False, emoji=False)
    if not (screen.is_terminal or "COLUMNS" in os.environ):
        screen.width = max(screen.width, FILE_WIDTH)
    return screen


def kernels_to_stderr() -> redirect_stdout[TextIO]:
    """Redirect standard output to standard error while a user's module or kernel runs, because it may print.

    So standard output has only the result of the command.
    """
    return redirect_stdout(sys.stderr)


def print_lines(lines: Iterable[str | Text]) -> None:
    """Print lines of text. A terminal wraps them between words; files and pipes receive them unchanged."""
    screen = console()
    for line in lines:
        screen.print(line, markup=False, soft_wrap=not screen.is_terminal)


def show(as_json: bool, data: Any, tables: Iterable[RenderableType], lines: Iterable[str | Text]) -> None:
    """Print a result: its data as JSON, or its tables and then its lines."""
    if as_json:
        print_json(data)
        return
    for table in tables:
        console().print(table)
    print_lines(lines)


def print_json(value: Any) -> None:
    """Print a value as JSON. Dates become text."""
    print(json.dumps(value, indent=2, allow_nan=False, default=datetime.datetime.isoformat))
