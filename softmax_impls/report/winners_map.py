"""The map of winners: the fastest implementation of each shape, over batch and dim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_seconds
from softmax_impls.report.panels import address, in_panel, panels, workload_name
from softmax_impls.report.style import (
    INK,
    PAGE,
    PAPER,
    RULE,
    Styles,
    add_legend,
    drawing,
    figure_with_axes,
    short_name,
    styles_of,
)

MAX_MARKERS = 4  # the markers of tied implementations that fit into a tile
EDGE = "black"  # of a marker on a tile, in both themes of the page
WIDTH, HEIGHT = 6.2, 4.6  # inches of a panel
TILE_WIDTH, TILE_HEIGHT = 0.6, 0.45  # inches that the text of a tile needs


def winners_map(cells: Sequence[Ranked], styles: Styles | None = None, title: str = "") -> Figure:
    """Draw the fastest implementation of each cell, in one panel for each dtype and number of threads.

    Cells are tiles of equal size, in the order of batch and dim. The colour of a tile is that of the fastest
    implementation. A tile is hatched where implementations tie.

    Parameters
    ----------
    cells : sequence of Ranked
    styles : mapping of str to Style, optional
        Styles of the implementations; by default, of the implementations in these cells.
    title : str, optional
    """
    cells = [cell for cell in cells if cell.winners]
    styles = styles or styles_of(name for cell in cells for name in cell.kernels)
    shown = panels(cells)
    with drawing():
        columns, rows = (len({getattr(cell.key, size) for cell in cells}) for size in ("dim", "batch"))
        figure, axes = figure_with_axes(
            len(shown), max(WIDTH, 1 + TILE_WIDTH * columns), max(HEIGHT, 1 + TILE_HEIGHT * rows)
        )
        for axis, panel in zip(axes, shown, strict=False):
            _draw_tiles(axis, in_panel(cells, panel), styles)
            axis.set_title(str(panel))
        tie = Patch(facecolor="none", edgecolor=INK, hatch="//", linewidth=0.5, label="tie: no measurable difference")
        if title:
            figure.suptitle(title)
        add_legend(figure, {name for cell in cells for name in cell.winners}, styles, [tie])
    return figure


def _draw_tiles(axis: Axes, cells: Sequence[Ranked], styles: Styles) -> None:
    batches = sorted({cell.key.batch for cell in cells})
    dims = sorted({cell.key.dim for cell in cells})
    for cell in cells:
        _draw_tile(axis, cell, dims.index(cell.key.dim), batches.index(cell.key.batch), styles)
    axis.set(xlim=(0, len(dims)), ylim=(0, len(batches)), xlabel="dim", ylabel="batch")
    axis.set_xticks([i + 0.5 for i in range(len(dims))], [str(dim) for dim in dims])
    axis.set_yticks([i + 0.5 for i in range(len(batches))], [str(batch) for batch in batches])
    axis.set_facecolor(f"{RULE}22")


def _draw_tile(axis: Axes, cell: Ranked, x: int, y: int, styles: Styles) -> None:
    """Draw the tile of a cell: its colour, its time, and the markers of the implementations that tie."""
    colours = [styles[name].colour for name in cell.winners]
    tie: dict[str, Any] = {"hatch": "//", "edgecolor": colours[1]} if len(colours) > 1 else {}
    axis.add_patch(Rectangle((x, y), 1, 1, facecolor=colours[0], linewidth=0, url=PAGE + address(cell.key), **tie))
    axis.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=PAPER, linewidth=1.5))
    label = "\n".join(filter(None, (format_seconds(cell.seconds), short_name(workload_name(cell.key)))))
    box = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "alpha": 0.88, "linewidth": 0}
    axis.text(x + 0.5, y + 0.36, label, ha="center", va="center", fontsize=6.5, bbox=box)
    for index, name in enumerate(cell.winners[:MAX_MARKERS]):
        colour, marker = styles[name]
        axis.plot(x + 0.14 + 0.22 * index, y + 0.83, marker=marker, color=colour, ms=5.5, mec=EDGE, mew=0.7, ls="")
