"""A line of progress on standard error, at a terminal and in a notebook."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class ProgressLine:
    """A line of text that the next text replaces. A file or a pipe receives only the lines of `keep`."""

    def __init__(self, wanted: bool) -> None:
        self._stream, self._wanted = sys.stderr, wanted and sys.stderr is not None  # None if it is closed
        self._changes = self._wanted and (self._stream.isatty() or "ipykernel" in sys.modules)

    def show(self, text: str) -> None:
        """Show a text in place of the last one. There is no thread that animates it: it would disturb the timing."""
        if self._changes:
            width = shutil.get_terminal_size().columns - 1
            print(f"{text[:width]:<{width}}", end="\r", file=self._stream, flush=True)

    def keep(self, text: str) -> None:
        """Write a line that stays."""
        if self._wanted:
            self.show("")
            print(text, file=self._stream, flush=True)


@contextmanager
def progress_line(wanted: bool = True, text: str = "") -> Iterator[ProgressLine]:
    """Yield a line of progress that shows a text, and is cleared at the end. Without `wanted`, nothing is written."""
    line = ProgressLine(wanted)
    try:
        line.show(text)
        yield line
    finally:
        line.show("")
