"""How each implementation does over all measured cells, and the recommendation that follows."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from softmax_impls.choice.ranking import Ranked
from softmax_impls.timing.workloads import CellKey

WITHOUT_COMPILER = ("loop", "jacobian", "closed form")  # families that need NumPy only


@dataclass(frozen=True)
class Coverage:
    """Times of an implementation over many cells, relative to the fastest time in each cell."""

    name: str
    fastest_in: int  # cells where it is the fastest or ties with it
    cells: int
    mean: float  # geometric mean of the ratios
    worst: float
    worst_cell: CellKey

    def describe(self) -> str:
        """Return a sentence's end, as "takes 1.02x the time of the fastest kernel on average, …"."""
        if self.cells == 1:
            return "is the fastest or ties with it" if self.fastest_in else f"takes {self.mean:.2f}x the fastest time"
        count = f"is fastest or tied in {self.fastest_in} of {self.cells} cells"
        average = f"takes {self.mean:.2f}x the time of the fastest kernel on average"
        worst = f"{self.worst:.2f}x at worst ({self.worst_cell})"
        return count if self.fastest_in == self.cells else f"{count}, and {average}, {worst}"


def cover(ranked: Iterable[Ranked], name: str) -> Coverage | None:
    """Return how an implementation does over all ranked cells; None if it is not ranked in each of them."""
    cells = [cell for cell in ranked if cell.comparison]
    times = [cell.times_best(name) for cell in cells]
    if not cells or math.inf in times:
        return None
    fastest_in, mean, worst = sum(name in cell.winners for cell in cells), statistics.geometric_mean(times), max(times)
    return Coverage(name, fastest_in, len(cells), mean, worst, cells[times.index(worst)].key)


def rejected(ranked: Iterable[Ranked]) -> dict[str, str]:
    """Return the implementations that were wrong or failed in a cell, each with the first reason."""
    reasons: dict[str, str] = {}
    for cell in ranked:
        for name, kernel in cell.kernels.items():
            if kernel.status in ("wrong", "failed"):
                reasons.setdefault(name, kernel.note)
    return reasons


def recommend(ranked: Sequence[Ranked], families: Mapping[str, str]) -> list[str]:
    """Recommend the fastest implementation, and state the price of accuracy and of doing without a compiler."""
    if not ranked:
        return []
    names = sorted({name for cell in ranked for name in cell.kernels})
    covered = [coverage for name in names if (coverage := cover(ranked, name))]
    return [
        *_choices(ranked, sorted(covered, key=lambda coverage: coverage.mean), families),
        *(f"Your kernel {found.name} {found.describe()}." for found in covered if families.get(found.name) == "user"),
        *(f"Do not use {name}: {reason}." for name, reason in sorted(rejected(ranked).items())),
    ]


def _choices(ranked: Sequence[Ranked], covered: Sequence[Coverage], families: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for the first of `covered`, for the first accurate, and for the first without a compiler."""
    if not covered:
        yield "No implementation was timed in every cell."
        return
    names = {name for cell in ranked for name, kernel in cell.kernels.items() if kernel.accurate_for == "logits"}
    accurate = [coverage for coverage in covered if coverage.name in names]
    fastest, second = covered[0], next(iter(accurate), None)
    if second == fastest:
        yield f"Use {fastest.name}. It stays accurate on saturated rows, and {fastest.describe()}."
    else:
        yield f"Use {fastest.name} if only time matters. It {fastest.describe()}."
    if second and second != fastest:
        yield (
            f"Use {second.name} if rows may saturate, as the rows of a trained classifier do. Its worst error is "
            f"{_worst_error(ranked, second.name)}; that of {fastest.name} is {_worst_error(ranked, fastest.name)}. "
            f"It {second.describe()}."
        )
    plain = [coverage for coverage in covered if families.get(coverage.name) in WITHOUT_COMPILER]
    third = next(iter([coverage for coverage in plain if coverage in accurate] or plain), None)
    if third and fastest not in plain and third != second:
        yield f"Use {third.name} if Numba is not available. It {third.describe()}."


def _worst_error(ranked: Iterable[Ranked], name: str) -> str:
    """Return the worst error for each dtype, as "2e-16 in float64"."""
    worst: dict[str, float] = {}
    for cell in ranked:
        error = cell.kernels[name].error
        if not math.isnan(error):
            worst[cell.key.dtype] = max(error, worst.get(cell.key.dtype, 0.0))
    return ", ".join(f"{error:.0e} in {dtype}" for dtype, error in sorted(worst.items())) or "unknown"
