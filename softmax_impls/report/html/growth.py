"""How times grow with the size, and who overtakes whom, as tables of the page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from softmax_impls import implementations
from softmax_impls.choice.scaling import ACROSS, Crossover, Exponent, crossovers, exponents
from softmax_impls.report.html.markup import html_table
from softmax_impls.report.runs import Run, in_panel

OVERTAKING = "Who overtakes whom", "As one size grows and the other stays: where each is surely the faster on its side."
GROWTH = "Growth", "Time as a power of a size, between its two largest values; a warning where theory says otherwise."

Section = tuple[str, str, str, list[tuple[Run, str]]]  # name, title, what is to be seen, and each run's table


def sections(runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the sections that there is something to be said in."""
    families = {name: one.family for name, one in implementations().items()}
    yield "overtaking", *OVERTAKING, [(run, table) for run in runs if (table := overtaking(run))]
    yield "growth", *GROWTH, [(run, table) for run in runs if (table := growing(run, families))]


def overtaking(run: Run) -> str:
    """Return where those that win somewhere overtake each other; empty if they nowhere do."""
    names = sorted({name for one in run.cells for name in one.winners})
    found = [_crossover(one) for pair in itertools.combinations(names, 2) for one in crossovers(run.rows, pair)]
    if not found:
        return ""
    head = ("Larger", "At", "Up to there", "Beyond", "Size", "Interval")
    return html_table("Where one overtakes another", head, found)


def _crossover(one: Crossover) -> tuple[str, ...]:
    at = f"{ACROSS[one.along]} {one.fixed}, {in_panel((one.dtype, one.threads))}"
    return one.along, at, one.before, one.after, f"{one.size:,.0f}", f"{one.low:,.0f} to {one.high:,.0f}"


def growing(run: Run, families: Mapping[str, str]) -> str:
    """Return the exponents of time in batch and dim beside those of theory; empty if there are too few sizes."""
    found = list(_exponents(exponents(run.rows, families)))
    head = ("Implementation", "In", "Between", "Exponent", "Interval", "Theory", "")
    return html_table("Time grows as a power of the size", head, found) if found else ""


def _exponents(found: list[Exponent]) -> Iterator[tuple[str, ...]]:
    for one in found:
        between = f"{one.sizes[0]} and {one.sizes[1]}, {in_panel((one.dtype, one.threads))}"
        warning = ""
        if one.differs:
            warning = "⚠ arrays leave a cache" if one.measured > one.theory else "⚠ calls and rows still cost more"
        measured, interval = f"{one.measured:.2f}", f"{one.low:.2f} to {one.high:.2f}"
        yield one.implementation, one.along, between, measured, interval, f"{one.theory:g}", warning
