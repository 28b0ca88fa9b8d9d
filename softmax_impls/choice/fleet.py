"""Answers for several kinds of machines: which implementation to use on each, and whether one serves all kinds.

A kind of machine is a processor, its number of cores, the system, and the versions of `PACKAGES`. An implementation
serves a kind if it takes at most `SERVES` times as long as the fastest implementation on this kind.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from softmax_impls.choice.answer import Answer, Question, preferred
from softmax_impls.choice.candidates import Implementations
from softmax_impls.choice.choose import choose
from softmax_impls.choice.ranking import KindKey, Ranked, RankedRun, kind_of, rank_run
from softmax_impls.formatting import format_count
from softmax_impls.results.runs import OLDEST, Run
from softmax_impls.timing.environment import environment
from softmax_impls.timing.workloads import CellKey

SERVES = 1.1  # largest ratio to the fastest time on a kind, with which an implementation serves this kind
MAX_LISTED = 5  # cells that `summary` lists


def kind_names(kinds: Sequence[KindKey]) -> list[str]:
    """Return short names of different kinds: "znver3, 2 cores", with the system or versions only if these differ."""
    machines = [machine.split(", ") for machine, _ in kinds]
    common = len({parts[-1] for parts in machines}) == 1 and all(len(parts) > 1 for parts in machines)
    names = [", ".join(parts[:-1] if common else parts) for parts in machines]
    alike = Counter(names)
    shared = set.intersection(*(set(versions) for _, versions in kinds)) if kinds else set()
    own = [" ".join(" ".join(pair) for pair in versions if pair not in shared) for _, versions in kinds]
    return [f"{name}, {extra}" if alike[name] > 1 and extra else name for name, extra in zip(names, own, strict=True)]


def by_kind(runs: Iterable[RankedRun]) -> dict[str, list[RankedRun]]:
    """Return the runs of `compare` for each kind of machine, by the kind's name.

    A run with cells of several kinds is split. The versions of packages are part of a kind. So after an update, a host
    belongs to another kind. A kind is left out if each of its hosts has newer cells with other versions.
    """
    runs = [run for run in runs if run.run.tool == "compare"]
    of_host: dict[tuple[str, str], KindKey] = {}
    cells = [cell.cell for run in runs for cell in run.cells]
    for cell in sorted(cells, key=lambda cell: cell.time or OLDEST, reverse=True):
        of_host.setdefault((cell.environment.machine, cell.environment.host), kind_of(cell.environment))
    in_order = dict.fromkeys(kind_of(cell.environment) for cell in cells)
    kinds: dict[KindKey, list[RankedRun]] = {}
    for run, kind in itertools.product(runs, (kind for kind in in_order if kind in of_host.values())):
        if of_kind := [cell for cell in run.cells if kind_of(cell.cell.environment) == kind]:
            kinds.setdefault(kind, []).append(RankedRun(run.run, of_kind))
    return dict(zip(kind_names(list(kinds)), kinds.values(), strict=True))


def join_hosts(runs: Iterable[Run]) -> list[Run]:
    """Join runs of the same kind whose hosts measured different cells, for example because a worker died."""
    joined: list[Run] = []
    for run in runs:
        for number, other in enumerate(joined):
            if _can_join(run, other):
                hosts = ", ".join(filter(None, (other.host, run.host)))
                joined[number] = replace(other, cells=other.cells + run.cells, host=hosts)
                break
        else:
            joined.append(run)
    return joined


def rank_runs(runs: Iterable[Run]) -> list[RankedRun]:
    """Join the runs from each kind of machine with `join_hosts`, and rank the cells of each joined run."""
    return [rank_run(run) for run in join_hosts(runs)]


def _can_join(run: Run, other: Run) -> bool:
    same = run.tool == other.tool == "compare" and run.commit == other.commit
    kinds, of_other = ({kind_of(cell.environment) for cell in cells} for cells in (run.cells, other.cells))
    return same and kinds == of_other and {cell.key for cell in run.cells}.isdisjoint(cell.key for cell in other.cells)


@dataclass(frozen=True)
class OnKind:
    """The implementations that can be recommended at one shape, on one kind of machine."""

    kind: str
    winners: tuple[str, ...]  # the fastest implementation, and its ties
    ratios: Mapping[str, float]  # times over the time of the fastest; 1 for winners

    @property
    def use(self) -> str:
        """The winner to use: the implementation that impl="auto" picks if it is a winner, else the fastest winner."""
        return preferred({name: self.ratios[name] for name in self.winners}, margin=math.inf)


@dataclass(frozen=True)
class Fleet:
    """The implementations to use at one shape, on several kinds of machines."""

    kinds: tuple[OnKind, ...]

    @property
    def worst(self) -> dict[str, float]:
        """For each implementation that was timed on all kinds: the largest of its ratios to the fastest time."""
        names = set.intersection(*(set(on.ratios) for on in self.kinds))
        return {name: max(on.ratios[name] for on in self.kinds) for name in sorted(names)}

    @property
    def best_for_all(self) -> str:
        """The implementation that is least behind the fastest where it is worst; "" if none was timed on all kinds.

        So its ratio in `worst` is the smallest. The implementation of the default call is preferred if its ratio is at
        most `MIN_MARGIN` larger.
        """
        return preferred(self.worst)

    @property
    def serves_all(self) -> bool:
        """Whether `best_for_all` takes at most `SERVES` times as long as the fastest, on every kind of machine."""
        return self.worst.get(self.best_for_all, math.inf) <= SERVES

    def __str__(self) -> str:
        name, total = self.best_for_all, len(self.kinds)
        users: dict[str, list[str]] = {}
        for on in self.kinds:
            users.setdefault(on.use, []).append(on.kind)
        each = "; ".join(f"{use} on {' and on '.join(kinds)}" for use, kinds in users.items())
        if not name:
            return f"none was timed on all kinds: {each}"
        behind = {on.kind: on.ratios[name] for on in self.kinds if name not in on.winners}
        if not self.serves_all:
            kind = max(behind, key=behind.__getitem__)
            return f"none serves all kinds: {each}; {name} takes {behind[kind]:.2f}x the time of the best on {kind}"
        near = ", ".join(f"on {kind} it is within {_percent(ratio)} of the best" for kind, ratio in behind.items())
        return f"{name} on {total - len(behind)} of {format_count(total, 'kind')}" + (f"; {near}" if near else "")

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as a dictionary for JSON."""
        use = {on.kind: on.use for on in self.kinds}
        return {"use": use, "for_all": self.best_for_all or None, "serves_all": self.serves_all, "worst": self.worst}


def at_cells(runs: Iterable[RankedRun]) -> dict[CellKey, Fleet]:
    """Return the implementations to use, for each cell that was measured on two kinds of machine or more.

    If a kind has several measurements of a cell, the newest one is used.
    """
    found: dict[CellKey, dict[str, Ranked]] = {}
    for kind, of_kind in by_kind(runs).items():
        for run in sorted(of_kind, key=lambda run: run.run.time or OLDEST):
            for cell in run.cells:
                if cell.comparison:
                    found.setdefault(cell.key, {})[kind] = cell.accurate_only or cell
    return {
        key: Fleet(tuple(_on_kind(kind, cell, cell.kernels) for kind, cell in cells.items()))
        for key, cells in found.items()
        if len(cells) > 1
    }


def ask_kinds(question: Question, runs: Iterable[Run], implementations: Implementations) -> Fleet | None:
    """Answer a question for each kind of machine, by measurements or predictions.

    Return None if fewer than two kinds have an answer.
    """
    about = question.dtype, question.threads
    wanted = [replace(run, cells=tuple(c for c in run.cells if (c.dtype, c.threads) == about)) for run in runs]
    if len({kind_of(cell.environment) for run in wanted for cell in run.cells}) < 2:
        return None
    here, kinds = environment().machine, []
    for kind, of_kind in by_kind(map(rank_run, wanted)).items():
        answer = choose(question, of_kind, here, implementations)
        if answer.winners:
            names = (name for name, candidate in answer.candidates.items() if answer.allows(candidate))
            kinds.append(_on_kind(kind, answer, names))
    return Fleet(tuple(kinds)) if len(kinds) > 1 else None


def _on_kind(kind: str, found: Ranked | Answer, names: Iterable[str]) -> OnKind:
    ratios = {name: ratio.value for name in names if (ratio := found.ratio(name))}
    return OnKind(kind, found.winners, ratios | dict.fromkeys(found.winners, 1.0))


def _percent(ratio: float) -> str:
    return f"{math.ceil(round(100 * (ratio - 1), 6))} %"


def summary(answers: Mapping[CellKey, Fleet]) -> Iterator[str]:
    """Yield lines of text: for how many cells one implementation serves all kinds of machines, and for which none does.

    The last line has the names of the kinds.
    """
    if not answers:
        return
    counts = {len(fleet.kinds) for fleet in answers.values()}
    kinds = f"{max(counts)} kinds" if len(counts) == 1 else "kinds"
    served = [fleet for fleet in answers.values() if fleet.serves_all]
    cells = format_count(len(answers), "cell")
    for name, count in Counter(fleet.best_for_all for fleet in served).most_common():
        fastest = sum(fleet.best_for_all == name and all(name in on.winners for on in fleet.kinds) for fleet in served)
        rest = f", and within {_percent(SERVES)} of the best in the others" if fastest < count else ""
        yield f"{name} serves all {kinds} in {count} of {cells}: fastest or tied on each in {fastest}{rest}."
    apart = [f"{key}: {fleet}." for key, fleet in answers.items() if not fleet.serves_all]
    yield from apart[:MAX_LISTED]
    if len(apart) > MAX_LISTED:
        yield f"… and {format_count(len(apart) - MAX_LISTED, 'more cell')} that no implementation serves on all kinds."
    yield f"Kinds of machines: {'; '.join(dict.fromkeys(on.kind for fleet in answers.values() for on in fleet.kinds))}."
