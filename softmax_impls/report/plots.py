"""Pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from softmax_impls.choice.ranking import Ranked
from softmax_impls.timing.workloads import CUSTOM, GRID
from softmax_impls.wording import in_seconds

# Okabe and Ito's colours, which colour-blind people tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")


def winners(ranked: Sequence[Ranked], path: Path) -> None:
    """Draw the map of winners over batch and dim, one panel for each dtype and number of threads; ties are hatched.

    Every cell is a tile of the same size, in the order of batch and dim: named workloads stand in the map where
    they belong.
    """
    cells = [one for one in ranked if one.standing]
    panels = sorted({(one.cell.dtype, one.cell.threads) for one in cells})
    everybody = sorted({name for one in cells for name in one.rows})  # so that a colour stays one implementation's
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(everybody)}
    names = sorted({name for one in cells for name in one.winners})
    with mpl.rc_context({"hatch.linewidth": 3.0, "font.size": 9, "svg.hashsalt": "softmax-impls"}):
        figure = Figure(figsize=(max(6.0, 6.2 * len(panels)), 4.6), layout="constrained", dpi=110)
        axes = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
        for axis, (dtype, threads) in zip(axes, panels, strict=False):
            shown = [one for one in cells if (one.cell.dtype, one.cell.threads) == (dtype, threads)]
            _panel(axis, shown, colours)
            axis.set_title(f"{dtype}, {threads} thread{'s' if threads > 1 else ''}")
        handles = [Patch(facecolor=colours[name], edgecolor="black", label=name) for name in names]
        handles.append(Patch(facecolor="white", edgecolor="black", hatch="//", label="tie: can't be told apart"))
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
        figure.suptitle("Fastest softmax backward, and the time of one call")
        figure.savefig(path)


def _panel(axis: Axes, shown: Sequence[Ranked], colours: dict[str, str]) -> None:
    rows = sorted({one.cell.rows for one in shown})
    classes = sorted({one.cell.classes for one in shown})
    for one in shown:
        x, y = classes.index(one.cell.classes), rows.index(one.cell.rows)
        tie = len(one.winners) > 1
        axis.add_patch(
            Rectangle(
                (x, y),
                1,
                1,
                facecolor=colours[one.winners[0]],
                edgecolor=colours[one.winners[1]] if tie else "white",
                hatch="//" if tie else None,
                linewidth=0,
            )
        )
        axis.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor="white", linewidth=1.5))
        label = in_seconds(one.seconds) + ("" if one.cell.workload in (GRID, CUSTOM) else f"\n{one.cell.workload}")
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.85, "linewidth": 0}
        axis.text(x + 0.5, y + 0.5, label, ha="center", va="center", fontsize=6.5, bbox=box)
    axis.set(xlim=(0, len(classes)), ylim=(0, len(rows)), xlabel="dim (classes)", ylabel="batch (rows)")
    axis.set_xticks([i + 0.5 for i in range(len(classes))], [str(d) for d in classes])
    axis.set_yticks([i + 0.5 for i in range(len(rows))], [str(b) for b in rows])
    axis.set_facecolor("#f4f4f4")
