"""Markdown for the blocks that cog puts into documents. Every part starts with an empty line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

Row = Sequence[object]
WIDTH = 118


def table(headings: Row, rows: Iterable[Row]) -> str:
    """Return a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n" + "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def paragraph(text: str) -> str:
    """Return a paragraph, wrapped."""
    return "\n" + textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def terminal(lines: Iterable[str]) -> str:
    """Return what a command prints, as a block of code."""
    return "\n```text\n" + "".join(f"{line.rstrip()}\n" for line in lines) + "```\n"
