"""Blocks of documents that are made anew: what stands between ``<!-- name -->`` and ``<!-- end of name -->``."""

from __future__ import annotations

from collections.abc import Mapping


def replaced(text: str, blocks: Mapping[str, str]) -> str:
    """Return a document with other content in these blocks."""
    for name, content in blocks.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        if not (begin and end):
            raise SystemExit(f"there is no block <!-- {name} -->")
        text = before + begin + content + end + after
    return text
