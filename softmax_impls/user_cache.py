"""The folder for small files that are kept between runs, and a safe way to replace a file."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def user_cache() -> Path:
    """Return the folder: ``$XDG_CACHE_HOME/softmax-impls``, by default ``~/.cache/softmax-impls``."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(folder):  # the user has no home folder
        folder = tempfile.gettempdir()
    return Path(folder) / "softmax-impls"


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """Open a new file, which replaces `file` when the ``with`` block ends.

    So other processes read either the old or the new content.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.urandom(4).hex()}")  # no other thread, process or host uses this name
    try:
        with temporary.open("wb") as opened:
            yield opened
        temporary.replace(file)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
