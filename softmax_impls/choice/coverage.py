"""How fast each implementation is over all measured cells, and the recommendation that follows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from softmax_impls import dispatch
from softmax_impls.choice.answer import preferred
from softmax_impls.choice.ranking import Ranked
from softmax_impls.choice.tradeoffs import averages
from softmax_impls.timing.workloads import CellKey

WITHOUT_COMPILER = ("loop", "jacobian", "closed form")  # families that need NumPy only


@dataclass(frozen=True)
class Coverage:
    """Times of an implementation over many cells, relative to the fastest time in each cell."""

    name: str
    fastest_in: int  # cells where it is the fastest or ties with it
    cells: int
    mean: float  # geometric mean of the ratios
    mean_beyond_ties: float  # geometric mean with a ratio of 1 in the cells of `fastest_in`
    worst: float  # largest ratio
    worst_cell: CellKey

    def describe(self) -> str:
        """Return the end of a sentence: "is fastest or tied in 9 of 10 cells, and takes 1.02x the time of …"."""
        if self.cells == 1:
            return "is the fastest or ties with it" if self.fastest_in else f"takes {self.mean:.2f}x the fastest time"
        count = f"is fastest or tied in {self.fastest_in} of {self.cells} cells"
        average = f"takes {self.mean:.2f}x the time of the fastest kernel on average"
        worst = f"{self.worst:.2f}x at worst ({self.worst_cell})"
        return count if self.fastest_in == self.cells else f"{count}, and {average}, {worst}"


def cover(ranked: Iterable[Ranked], name: str, accurate: bool = False) -> Coverage | None:
    """Summarize how the times of an implementation compare with the fastest time of each cell, over all ranked cells.

    With `accurate`, it is compared only with implementations that stay accurate on saturated rows. Return None if a
    cell does not rank the implementation.
    """
    compared = [cell.accurate_only if accurate else cell for cell in ranked if cell.comparison]
    cells = [cell for cell in compared if cell and cell.ratio(name)]
    if not cells or len(cells) < len(compared):
        return None
    times, wins = [cell.times_best(name) for cell in cells], [name in cell.winners for cell in cells]
    worst_cell = cells[times.index(max(times))].key
    return Coverage(name, sum(wins), len(cells), *averages(times, wins), worst_cell)


def rejected(ranked: Iterable[Ranked]) -> dict[str, str]:
    """Return the implementations that were wrong or failed in a cell, each with the first reason."""
    reasons: dict[str, str] = {}
    for cell in ranked:
        for name, kernel in cell.kernels.items():
            if kernel.status in ("wrong", "failed"):
                reasons.setdefault(name, kernel.note)
    return reasons


def recommend(ranked: Sequence[Ranked], families: Mapping[str, str]) -> list[str]:
    """Return sentences that recommend one implementation, as `choose` does, and describe other implementations.

    Other implementations are described if they are the fastest but lose accuracy on saturated rows, if they are the
    best that need only NumPy, if they are the user's kernels, and if they were wrong or failed.

    Only implementations that stay accurate on saturated rows are recommended. The implementation of the default call is
    recommended if it is at most `MIN_MARGIN` slower than the best. `families` has the family of each implementation.
    """
    if not ranked:
        return []
    names = sorted({name for cell in ranked for name in cell.kernels})
    covered = [coverage for name in names if (coverage := cover(ranked, name))]
    accurate = {name: coverage for name in names if (coverage := cover(ranked, name, accurate=True))}
    return [
        *_choices(covered, accurate, families),
        *(f"Your kernel {found.name} {found.describe()}." for found in covered if families.get(found.name) == "user"),
        *(f"Do not use {name}: {reason}." for name, reason in sorted(rejected(ranked).items())),
    ]


def _choices(
    covered: Sequence[Coverage], accurate: Mapping[str, Coverage], families: Mapping[str, str]
) -> Iterator[str]:
    """Yield sentences that recommend one of the implementations in `accurate`, or say that there is none.

    `families` has the family of each implementation. If the recommended implementation needs a compiler (its family is
    not in `WITHOUT_COMPILER`), a sentence names the best implementation that needs none. If the fastest implementation
    in `covered` is not in `accurate`, a sentence states the ratio of its time to the time of the recommended
    implementation.
    """
    pick = preferred({name: found.mean_beyond_ties for name, found in accurate.items()})
    if not pick:
        yield "No implementation that stays accurate on saturated rows was timed in every cell."
        return
    default = ", which the default call uses" if pick == dispatch.pick().impl else ""
    among = "Among implementations that do, it" if len(accurate) < len(covered) else "It"
    yield f"Use {pick}{default}. It stays accurate on saturated rows. {among} {accurate[pick].describe()}."
    plain = {name: found.mean_beyond_ties for name, found in accurate.items() if families.get(name) in WITHOUT_COMPILER}
    if plain and pick not in plain:
        yield f"Use {preferred(plain)} if Numba is not available. It {accurate[preferred(plain)].describe()}."
    means = {found.name: found.mean for found in covered}
    fastest = min(means, key=means.__getitem__)
    if fastest not in accurate and means[fastest] < means[pick]:
        accuracy = "does not state accurate_for='logits'" if families.get(fastest) == "user" else "loses saturated rows"
        yield f"{fastest} takes {means[fastest] / means[pick]:.2f}x the time of {pick}, but {accuracy}."
