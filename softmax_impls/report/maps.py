"""The map of winners: a tile for each cell, in the colour of the implementation to use."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from softmax_impls.choice.ranking import Ranked
from softmax_impls.formatting import format_seconds
from softmax_impls.report.panels import Panel, best, by_panel, marks, shape_text, short_name, tile_text, workload_name
from softmax_impls.report.style import INK, PAPER, RULE, Styles, add_legend, drawing, link, styles_of
from softmax_impls.timing.workloads import GRID, CellKey

PER_ROW = 4  # tiles of named workloads in a row
SIDE_BY_SIDE = 2  # panels in a row
TITLE = "Fastest softmax backward, and the time of one call"
WIDTH = 5.9  # the least width of a panel in inches: two such panels fit into the page
TIME_WIDTH, TIME_HEIGHT = 0.6, 0.45  # inches of a tile with a time only
NAMES_HEIGHT, NAMES_COLUMNS = 0.8, 6  # inches of a tile with names; the most columns for such tiles
AXIS_HEIGHT, TITLE_HEIGHT, LEGEND_HEIGHT = 0.5, 0.35, 0.35  # inches


FASTER = {  # lines of the title, by the mark of a faster implementation
    " †": "† faster, but loses saturated rows",
    " ‡": "‡ faster, but its accuracy on saturated rows is not known",
}


class Block(NamedTuple):
    """A part of a map, with its own axes: the tiles of named workloads, of the grid, or of the user's own shapes."""

    tiles: Mapping[tuple[int, int], Ranked | None]  # by column and row, counted from the lower left
    columns: Sequence[str]  # labels
    rows: Sequence[str]  # labels; empty for named workloads, whose tiles have their labels inside

    @property
    def height(self) -> float:
        """Height in inches."""
        rows = 1 + max(row for _, row in self.tiles)
        return rows * (NAMES_HEIGHT if self.has_names else TIME_HEIGHT) + AXIS_HEIGHT * bool(self.rows)

    @property
    def has_names(self) -> bool:
        """Whether the tiles are large enough for names."""
        return len(self.columns) <= NAMES_COLUMNS


def winners_maps(machines: Mapping[str, Sequence[Ranked]], styles: Styles | None = None) -> Figure:
    """Draw maps of the implementations to use, side by side. `machines` has the cells of each machine by its name.

    A shape has the same position in all maps. A tile is split if implementations tie, and missing if nothing is ranked.
    If a faster implementation is not accurate on saturated rows, the last line of the tile names it. Without `styles`,
    the figure has a title, because it is not a part of a page.
    """
    cells = [cell for of_machine in machines.values() for cell in of_machine]
    bests = [found for cell in cells if (found := best(cell))]
    panels: dict[str, list[Block]] = {}
    for panel, shown in by_panel(cells).items():
        keys = list(dict.fromkeys(cell.key for cell in shown))
        for machine, of_machine in machines.items():
            own = {cell.key: cell for cell in of_machine if Panel.of(cell.key) == panel}
            panels["\n".join(filter(None, (machine, str(panel))))] = _blocks(keys, own)
    columns = min(SIDE_BY_SIDE, len(panels))
    inches = [TITLE_HEIGHT + sum(block.height for block in blocks) for blocks in panels.values()]
    heights = [max(inches[start : start + columns]) for start in range(0, len(inches), columns)]
    widest = max(len(block.columns) for blocks in panels.values() for block in blocks)
    size = columns * max(WIDTH, 1 + TIME_WIDTH * widest), LEGEND_HEIGHT + sum(heights)
    with drawing():
        figure = Figure(figsize=size)
        if styles is None:
            styles = styles_of(name for cell in cells for name in cell.kernels)
            faster, of_names = [found.faster[0] for found in bests if found.faster], marks(cells)
            lines = [text for mark, text in FASTER.items() if any(of_names[name] == mark for name in faster)]
            figure.suptitle("\n".join([TITLE, *lines]))
        parts = figure.subfigures(len(heights), columns, squeeze=False, height_ratios=heights).flat
        for part, (title, blocks) in zip(parts, panels.items(), strict=False):
            axes = part.subplots(len(blocks), 1, squeeze=False, height_ratios=[block.height for block in blocks])[:, 0]
            axes[0].set_title(title)
            for axis, block in zip(axes, blocks, strict=True):
                _draw(axis, block, styles)
        names = {name for found in bests for name in found.names}
        add_legend(figure, names, styles, [_tie()] if any(found.names[1:] for found in bests) else [], square=True)
    return figure


def _tie() -> Line2D:
    """Return the legend's entry for a split tile: the tile of a cell where implementations tie."""
    look: Any = {"marker": "s", "ms": 9, "fillstyle": "left", "markerfacecoloralt": PAPER, "mec": INK, "mew": 0.5}
    return Line2D([], [], ls="", color=RULE, label="split: no measurable difference", **look)


def _blocks(keys: Sequence[CellKey], cells: Mapping[CellKey, Ranked]) -> list[Block]:
    """Return up to three blocks: the named workloads, the grid, and the user's own shapes.

    Each key has a position in its block. A key without a cell has None there instead of a tile.
    """
    named = [key for key in keys if workload_name(key)]
    last = (len(named) - 1) // PER_ROW
    rows = {(i % PER_ROW, last - i // PER_ROW): cells.get(key) for i, key in enumerate(named)}
    blocks = [Block(rows, [""] * PER_ROW, [])]
    for on_grid in (True, False):
        of_sizes = [key for key in keys if not workload_name(key) and (key.workload == GRID) == on_grid]
        dims, batches = sorted({key.dim for key in of_sizes}), sorted({key.batch for key in of_sizes})
        tiles = {(dims.index(key.dim), batches.index(key.batch)): cells.get(key) for key in of_sizes}
        blocks.append(Block(tiles, list(map(str, dims)), list(map(str, batches))))
    return [block for block in blocks if block.tiles]


def _draw(axis: Axes, block: Block, styles: Styles) -> None:
    """Draw the tiles of a block. A tile has the colours of all implementations that tie, side by side."""
    for (x, y), cell in block.tiles.items():
        if cell and (found := best(cell)):
            share, url = 1 / len(found.names), link(cell.key)
            for i, name in enumerate(found.names):
                colour = styles[name].colour
                axis.add_patch(Rectangle((x + i * share, y), share, 1, facecolor=colour, linewidth=0, url=url))
            axis.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=PAPER, linewidth=1.5))
            label = [short_name(shape_text(cell.key))] * bool(workload_name(cell.key))
            text = "\n".join([*label, tile_text(cell)]) if block.has_names else format_seconds(found.seconds)
            axis.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=7.5, color="black", linespacing=1.15)
    axis.grid(False)
    axis.set(xlim=(0, len(block.columns)), ylim=(0, 1 + max(row for _, row in block.tiles)))
    if not block.rows:
        axis.set_axis_off()
        return
    axis.set(xlabel="dim", ylabel="batch", facecolor=f"{RULE}22")
    axis.set_xticks([i + 0.5 for i in range(len(block.columns))], block.columns)
    axis.set_yticks([i + 0.5 for i in range(len(block.rows))], block.rows)
