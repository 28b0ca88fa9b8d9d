"""Tables in HTML, of texts that may hold anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Safe(str):
    """HTML already."""


def html_table(label: str, head: Sequence[str], body: Iterable[Sequence[str]], kind: str = "box") -> str:
    """Return a table in a box of its own, which scrolls; what is not `Safe` is escaped.

    Parameters
    ----------
    label : str
        What it is, for those who can't see it.
    head : sequence of str
    body : iterable of sequence of str
        The first of a line is its heading.
    kind : str, optional
        The box's class.
    """

    def cell(text: str) -> str:
        return text if isinstance(text, Safe) else escape(text)

    heads = "".join(f'<th scope="col">{cell(text)}</th>' for text in head)
    lines = "".join(
        f'<tr><th scope="row">{cell(first)}</th>{"".join(f"<td>{cell(text)}</td>" for text in rest)}</tr>'
        for first, *rest in body
    )
    return (
        f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
