"""Make the blocks and the picture of README.md from measurements/results.jsonl.

``python tools/readme.py`` draws docs/pictures/winners.png. The functions without arguments return Markdown; cog puts it
into the README.
"""

from __future__ import annotations

import io

import how_to_choose
from how_to_choose import ACCURATE, FASTEST, ROOT
from markdown import paragraph, terminal
from rich.console import Console

from softmax_impls.report.figures import winners_map
from softmax_impls.report.style import save
from softmax_impls.report.terminal import cells

PICTURE = ROOT / "docs" / "pictures" / "winners.png"


def output() -> str:
    """Return a part of what `softmax-impls compare` printed for these results."""
    printed = io.StringIO()
    Console(file=printed, width=110, highlight=False).print(cells.fastest_kernels(how_to_choose.named()))
    return terminal(printed.getvalue().splitlines())


def recommendation() -> str:
    """Return the recommendation and its exception, with numbers."""
    accurate, fastest = how_to_choose.coverage(ACCURATE), how_to_choose.coverage(FASTEST)
    error = {name: f"{how_to_choose.worst_error(name, 'float32'):.0e}" for name in (ACCURATE, FASTEST)}
    return paragraph(
        f"**Use `softmax_backward(probs, grad_output)`.** It runs `{ACCURATE}`, which takes {accurate.mean:.2f}x the "
        "time of the fastest kernel on average, in one thread. Its relative error in float32 is at most "
        f"{error[ACCURATE]} on every kind of row."
    ) + paragraph(
        "**The exception:** if rows never saturate (no probability ever rounds to 1) and only time matters, use "
        f'`impl="{FASTEST}"`. It is fastest or tied in {fastest.fastest_in} of {fastest.cells} cells. On saturated '
        f"rows, which training produces, it loses the gradient: its relative error is up to {error[FASTEST]}."
    )


if __name__ == "__main__":
    save(winners_map(how_to_choose.measured().cells), PICTURE)
