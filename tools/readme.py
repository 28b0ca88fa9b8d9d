"""Make the blocks and the picture of README.md from measurements/results.jsonl.

``python tools/readme.py`` draws docs/pictures/winners.png. The functions without arguments return Markdown; cog puts it
into the README.
"""

from __future__ import annotations

import io

import how_to_choose
from how_to_choose import ACCURATE, FASTEST
from kept import ROOT
from markdown import paragraph, terminal
from rich.console import Console

from softmax_impls.choice import coverage
from softmax_impls.report.maps import winners_maps
from softmax_impls.report.style import save
from softmax_impls.report.terminal.cells import explanations, times_by_panel

PICTURE = ROOT / "docs" / "pictures" / "winners.png"
WIDTH = 104  # characters of a line of code that the site shows without a scroll bar


def output() -> str:
    """Return a part of what `softmax-impls compare` printed for these results."""
    printed, cells = io.StringIO(), how_to_choose.named()
    screen = Console(file=printed, width=WIDTH, highlight=False)
    for table in times_by_panel(cells).values():
        screen.print(table)
    for line in explanations(cells):
        screen.print(line)
    return terminal(printed.getvalue().splitlines())


def recommendation() -> str:
    """Return the recommendation, with numbers."""
    cells = how_to_choose.measured().cells
    accurate = coverage.cover(cells, ACCURATE, accurate=True)
    assert accurate is not None
    ratio = how_to_choose.coverage(FASTEST).mean / how_to_choose.coverage(ACCURATE).mean
    error = {name: f"{how_to_choose.worst_error(name, 'float32'):.0e}" for name in (ACCURATE, FASTEST)}
    return paragraph(
        f"**Use `softmax_backward(probs, grad_output)`.** It runs `{ACCURATE}`. Of the implementations that stay "
        f"accurate on saturated rows, it is the fastest or ties in {accurate.fastest_in} of {accurate.cells} cells. "
        f"Its relative error in float32 is at most {error[ACCURATE]} on every input of `softmax-impls check`. "
        f"`{FASTEST}`, the fastest form of the textbook formula, takes {ratio:.2f}x the time of `{ACCURATE}` on "
        "average. It loses the gradient of saturated rows, in which one p rounds to 1 and which training produces: its "
        f"relative error is up to {error[FASTEST]}."
    )


if __name__ == "__main__":
    save(winners_maps({"": how_to_choose.measured().cells}), PICTURE)
