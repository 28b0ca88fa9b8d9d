"""The map of winners: the fastest implementation of each shape, over batch and dim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_seconds
from softmax_impls.report import style
from softmax_impls.report.panels import address, by_panel, workload_name

TITLE = "Fastest softmax backward, and the time of one call"
MAX_MARKERS = 4  # the markers of tied implementations that fit into a tile
EDGE = "black"  # of a marker on a tile, in both themes of the page
WIDTH, HEIGHT = 6.2, 4.6  # inches of a panel
TILE_WIDTH, TILE_HEIGHT = 0.6, 0.45  # inches that the text of a tile needs


def winners_map(cells: Sequence[Ranked], styles: style.Styles | None = None) -> Figure:
    """Draw the fastest implementation of each cell. A map without `styles` is a picture of its own, with a title.

    Cells are tiles of equal size, in the order of batch and dim. The colour of a tile is that of the fastest
    implementation. A tile is hatched where implementations tie, and empty where nothing is ranked.
    """
    panels = by_panel(cells)
    columns, rows = len({cell.key.dim for cell in cells}), len({cell.key.batch for cell in cells})
    size = max(WIDTH, 1 + TILE_WIDTH * columns), max(HEIGHT, 1 + TILE_HEIGHT * rows)
    with style.drawing():
        figure, axes = style.figure_with_axes(len(panels), *size)
        if styles is None:
            styles = style.styles_of(name for cell in cells for name in cell.kernels)
            figure.suptitle(TITLE)
        for axis, (panel, shown) in zip(axes, panels.items(), strict=True):
            _draw_tiles(axis, shown, styles)
            axis.set_title(str(panel))
        tie = Patch(fc="none", ec=style.INK, hatch="//", lw=0.5, label="tie: no measurable difference")
        style.add_legend(figure, {name for cell in cells for name in cell.winners}, styles, [tie])
    return figure


def _draw_tiles(axis: Axes, cells: Sequence[Ranked], styles: style.Styles) -> None:
    batches = sorted({cell.key.batch for cell in cells})
    dims = sorted({cell.key.dim for cell in cells})
    for cell in cells:
        if cell.winners:
            _draw_tile(axis, cell, dims.index(cell.key.dim), batches.index(cell.key.batch), styles)
    axis.set(xlim=(0, len(dims)), ylim=(0, len(batches)), xlabel="dim", ylabel="batch", facecolor=f"{style.RULE}22")
    axis.set_xticks([i + 0.5 for i in range(len(dims))], [str(dim) for dim in dims])
    axis.set_yticks([i + 0.5 for i in range(len(batches))], [str(batch) for batch in batches])


def _draw_tile(axis: Axes, cell: Ranked, x: int, y: int, styles: style.Styles) -> None:
    """Draw the tile of a cell: its colour, its time, and the markers of the implementations that tie."""
    colours = [styles[name].colour for name in cell.winners]
    tie: dict[str, Any] = {"hatch": "//", "edgecolor": colours[1]} if len(colours) > 1 else {}
    axis.add_patch(
        Rectangle((x, y), 1, 1, facecolor=colours[0], linewidth=0, url=style.PAGE + address(cell.key), **tie)
    )
    axis.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=style.PAPER, linewidth=1.5))
    label = "\n".join(filter(None, (format_seconds(cell.seconds), style.short_name(workload_name(cell.key)))))
    box = {"boxstyle": "round,pad=0.15", "facecolor": style.PAPER, "alpha": 0.88, "linewidth": 0}
    axis.text(x + 0.5, y + 0.36, label, ha="center", va="center", fontsize=6.5, bbox=box)
    for index, name in enumerate(cell.winners[:MAX_MARKERS]):
        colour, marker = styles[name]
        axis.plot(x + 0.14 + 0.22 * index, y + 0.83, marker=marker, color=colour, ms=5.5, mec=EDGE, mew=0.7, ls="")
