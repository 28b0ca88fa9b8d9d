"""Print tables, text and JSON to standard output."""

import datetime
import json
import os
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

FILE_WIDTH = 150  # columns of a table that goes to a file or a pipe
TABLE_WIDTH = 110  # columns of a table on a narrower terminal, which wraps whole lines instead of table cells


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the command line handle it; by default, rich exits with status 1."""
        raise BrokenPipeError


def console(min_width: int = TABLE_WIDTH) -> Console:
    """Return a console as wide as the terminal, but at least `min_width` columns. It has colours only on a terminal."""
    screen = _Console(highlight=False, emoji=False)
    screen.width = max(screen.width, min_width if screen.is_terminal or "COLUMNS" in os.environ else FILE_WIDTH)
    return screen


def kernels_to_stderr() -> redirect_stdout[TextIO]:
    """Send to standard error whatever a user's module or kernel prints. Standard output holds the result alone."""
    return redirect_stdout(sys.stderr)


def print_lines(lines: Iterable[str | Text]) -> None:
    """Print lines of text. A terminal wraps them between words; files and pipes receive them unchanged."""
    screen = console(min_width=0)
    for line in lines:
        screen.print(line, markup=False, soft_wrap=not screen.is_terminal)


def print_json(value: Any) -> None:
    """Print a value as JSON; times become text."""
    print(json.dumps(value, indent=2, allow_nan=False, default=datetime.datetime.isoformat))
