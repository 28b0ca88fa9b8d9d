"""Write the README's output block and picture from the store kept in docs/store.

After ``softmax-impls compare --output docs/store``, run ``python docs/refresh.py``.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from blocks import replaced
from rich.console import Console

from softmax_impls import implementations
from softmax_impls.choice import ranking
from softmax_impls.formatting import format_bytes
from softmax_impls.report import plots
from softmax_impls.report.terminal import tables
from softmax_impls.results import store
from softmax_impls.timing.workloads import GRID

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / store.FILE
PICTURE = ROOT / "docs" / "results" / "winners.png"
FLOAT64 = np.dtype(np.float64)


def output() -> str:
    """Return what `softmax-impls compare` printed of these store: the named workloads, and the rule in words."""
    ranked = ranking.rank_all(store.read(RESULTS))
    printed = io.StringIO()
    console = Console(file=printed, width=110, highlight=False)
    console.print(tables.cells([one for one in ranked if one.cell.workload != GRID]))
    rule = ranking.rule(ranked, {name: one.family for name, one in implementations().items()})
    for line in rule:
        console.print(line, markup=False)
    return "".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines())


def listing() -> str:
    """Return the implementations that were measured as a tables in Markdown."""
    measured = {row["implementation"] for rows in store.read(RESULTS).values() for row in rows}
    lines = ["| name | what it is | right about | temporaries |", "|---|---|---|---|"]
    for name, one in implementations().items():
        if name not in measured:
            continue
        about = "the logits' gradient" if one.accurate_for == "logits" else "the value for the probs given"
        lines.append(
            f"| `{name}` | {one.summary} | {about} | {format_bytes(one.temporary_bytes(4096, 512, FLOAT64))} |"
        )
    return "".join(line + "\n" for line in (*lines, "", "Temporaries are those of one call at 4096×512 in float64."))


def readme(text: str) -> str:
    """Return the README with its blocks made anew."""
    return replaced(text, {"output": f"```text\n{output()}```\n", "implementations": listing()})


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8")), encoding="utf-8")
    plots.winners(ranking.rank_all(store.read(RESULTS)), PICTURE)
