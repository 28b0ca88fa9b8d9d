"""How a budget is shared out: in which order cells have their turns, how many, and what each may take."""

from __future__ import annotations

from collections.abc import Sequence

from softmax_impls.formatting import format_bytes
from softmax_impls.timing.environment import free_memory
from softmax_impls.timing.workloads import GRID, Cell

# What a cell takes, in seconds, for sharing out a budget: something for being there (a named one is looked at more
# closely) and something for its bytes, which covers making the arrays, verifying each implementation, and samples.
WORKLOAD_COST, GRID_COST, BYTE_COST = 1.0, 0.4, 1e-8
SETUP_COST = 6e-8  # of that, per element, before the first sample
SHORTEST_TURN = 0.1  # seconds, beside setting up, for a turn of what is left in the end
LEAST_SHARE = 0.4  # of what a cell was to have, if others took longer, as they do on a busy machine: the total overruns

TURNS = 3
LARGE = 2**22  # elements, from which a cell has one turn: making the arrays and verifying again would take too long


def turns(cells: Sequence[Cell]) -> list[tuple[Cell, int, int]]:
    """Return in which order cells have their turns: cell, number of the turn, and of how many.

    What the machine is doing for some seconds favours one or the other for as long as it lasts. So small cells have
    several turns, and large ones their only one in between.
    """
    ordered = sorted(cells, key=lambda cell: cell.elements)
    small = [cell for cell in ordered if is_small(cell)]
    large = [cell for cell in ordered if not is_small(cell)]
    planned = [(cell, 0, TURNS) for cell in small]
    for number in range(1, TURNS):
        planned += [(cell, 0, 1) for cell in large[number - 1 :: TURNS - 1]]
        planned += [(cell, number, TURNS) for cell in small]
    return planned


def is_small(cell: Cell) -> bool:
    """Whether a cell has several turns, and its arrays are placed anew in each."""
    return cell.elements < LARGE


def is_worthwhile(cell: Cell, share: float) -> bool:
    """Whether a turn of so many seconds has more than setting up in it."""
    return share > SHORTEST_TURN + 2 * SETUP_COST * cell.elements


def why_not(cell: Cell, share: float) -> str:
    """Return why a cell can't be measured; empty if it can."""
    if SETUP_COST * cell.elements > share:
        return f"the budget leaves it {share:.1f} s, and setting it up alone takes longer: raise --budget"
    if cell.moved_bytes > free_memory() / 2:
        return f"its arrays take {format_bytes(cell.moved_bytes)}, more than half of the memory that is free"
    return ""


def cost(cell: Cell) -> float:
    """Return what a cell takes, in parts of a budget."""
    return (GRID_COST if cell.workload == GRID else WORKLOAD_COST) + BYTE_COST * cell.moved_bytes
