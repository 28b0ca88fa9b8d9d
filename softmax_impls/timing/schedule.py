"""Divide a budget among cells: the order of their steps, and the time of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from softmax_impls.formatting import format_bytes, format_seconds
from softmax_impls.timing.environment import free_memory
from softmax_impls.timing.policy import DEFAULT, SamplingPolicy
from softmax_impls.timing.workloads import GRID, CellKey


@dataclass(frozen=True)
class Step:
    """A part of the run in which one cell is measured.

    Attributes
    ----------
    key : CellKey
    number : int
        0 for the cell's first step.
    cost : float
        Share of the budget, relative to other steps.
    """

    key: CellKey
    number: int
    cost: float


def steps(keys: Sequence[CellKey], policy: SamplingPolicy = DEFAULT) -> list[Step]:
    """Return the steps of a run in their order.

    Small cells have several passes, spread over the run. Each large cell has its only step between two passes.

    Parameters
    ----------
    keys : sequence of CellKey
    policy : SamplingPolicy, optional
    """
    ordered = sorted(keys, key=lambda key: key.elements)
    small = [key for key in ordered if is_small(key, policy)]
    large = [Step(key, 0, cost(key, policy)) for key in ordered if not is_small(key, policy)]
    gaps = max(1, policy.passes - 1)
    planned: list[Step] = []
    for number in range(policy.passes):
        planned += [Step(key, number, cost(key, policy) / policy.passes) for key in small]
        planned += large[number::gaps] if number < gaps else []
    return planned


def is_small(key: CellKey, policy: SamplingPolicy = DEFAULT) -> bool:
    """Whether a cell has several passes, and its arrays are placed anew between blocks."""
    return key.elements < policy.large_from


def cost(key: CellKey, policy: SamplingPolicy = DEFAULT) -> float:
    """Return the relative cost of a cell."""
    return (policy.grid_cost if key.workload == GRID else policy.named_cost) + policy.byte_cost * key.moved_bytes


def is_worthwhile(key: CellKey, share: float, policy: SamplingPolicy = DEFAULT) -> bool:
    """Whether an extra step of `share` seconds has time for more than its set-up."""
    return share > policy.min_step + 2 * policy.setup_cost * key.elements


def reason_to_skip(key: CellKey, share: float, policy: SamplingPolicy = DEFAULT) -> str:
    """Return why a cell cannot be measured in `share` seconds, or "" if it can."""
    if policy.setup_cost * key.elements > share:
        return f"its share of the budget is {format_seconds(share)}, and its set-up alone takes longer: raise --budget"
    if key.moved_bytes > policy.memory_share * free_memory():
        allowed = f"{policy.memory_share:.0%} of the free memory"
        return f"its arrays take {format_bytes(key.moved_bytes)}, more than {allowed}"
    return ""
