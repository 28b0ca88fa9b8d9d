"""Run ``softmax-impls compare``, on this machine or on a fleet: measure, print the results, and draw the winners."""

import shlex
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from msgspec.structs import asdict
from rich.text import Text

from softmax_impls.choice.ranking import Ranked
from softmax_impls.cli.compare import PICTURE
from softmax_impls.cli.options import rejecting
from softmax_impls.commands.comparison import Comparison
from softmax_impls.commands.fleet.messages import Order
from softmax_impls.commands.outcome import Outcome, prepare
from softmax_impls.formatting import format_count
from softmax_impls.implementation import Implementation
from softmax_impls.report.terminal.cells import comparison_tables, first_calls, runs_table
from softmax_impls.report.terminal.console import console, print_json, print_lines

DRAWING, DRAWING_SHARE = 1.5, 0.15  # seconds reserved for the picture, but at most this share of the budget


def compare_here(
    given: SimpleNamespace, order: Order, usable: Mapping[str, Implementation], unusable: Mapping[str, str]
) -> int:
    """Measure the cells of `order` on this machine, and print the results; return the exit status.

    `given` has the options of the command. `order` has the cells, the budget and other limits. The implementations in
    `usable` are measured. `unusable` has the reasons why other implementations are not available, by name.
    """
    reserve = min(DRAWING, DRAWING_SHARE * order.budget)
    comparison = Comparison(usable, order, given.output, start=given.start, reserve=reserve)
    _open(comparison, given.resume)
    comparison.run()
    notes = [f"{name} not available: {why}" for name, why in unusable.items()]
    notes += [*first_calls(comparison.ranked), *comparison.problems]
    if comparison.is_partial:
        notes[-1] += " To continue, run the same command with --resume."
    cells = {"cells": [cell.as_dict() for cell in comparison.ranked]}
    return _show(comparison, given, cells | asdict(comparison.environment), notes)


def compare_on_fleet(given: SimpleNamespace, order: Order, usable: Mapping[str, Implementation]) -> int:
    """Measure the cells of `order` on each kind of machine, and print the results; return the exit status.

    `given` has the options of the command; `given.scheduler` is the address of the Dask scheduler of the machines.
    """
    with rejecting(ImportError, ValueError):
        comparison = prepare(given.scheduler, order, usable, given.output)
    _open(comparison, given.resume)
    with rejecting(OSError, ValueError, option="--scheduler"):  # no scheduler at the address, or no usable worker
        comparison.run()
    notes = [*comparison.problems]
    if comparison.interrupted or comparison.unfinished:
        others = [argument for argument in given.arguments if argument != "--resume"]
        notes.append(f"To continue: softmax-impls {shlex.join([*others, '--resume'])}")
    kinds = [
        asdict(run.cells[0].cell.environment) | {"cells": [cell.as_dict() for cell in run.cells]}
        for run in comparison.runs
    ]
    fleet = [{"cell": str(key), **answer.as_dict()} for key, answer in comparison.results().fleet.items()]
    return _show(comparison, given, {"kinds": kinds, "fleet": fleet}, notes)


def _open(comparison: Outcome, resume: bool) -> None:
    with rejecting(OSError, ValueError, option="--resume" if resume else "--output"):
        comparison.open(resume)


def _show(comparison: Outcome, given: SimpleNamespace, measured: Mapping[str, Any], notes: list[str]) -> int:
    """Draw the map of the winners, print the results of a comparison, and return the exit status.

    With --json, one dictionary is printed, which has all of `measured`. Otherwise tables are printed, then `notes`, the
    recommendation, and the paths of the files.
    """
    runs, places = comparison.runs, defaultdict[str, list[Ranked]](list)
    for run in runs:
        place = run.run.place if given.scheduler else ""
        places[place] += run.cells
        if not given.as_json and (given.details or len(runs) == 1):
            console().print(*[Text(place)] * bool(place), *comparison_tables(run.cells, given.details), sep="\n")
    for table in runs_table(runs) if len(runs) > 1 and not given.as_json else ():
        console().print(table)
    picture, problems = _draw_winners(places, given.output / PICTURE)  # after the tables: Ctrl-C can't lose them
    notes, advice = notes + problems, comparison.recommendation()
    if given.as_json:
        about = {"interrupted": comparison.interrupted, "seconds": comparison.seconds, "results": str(comparison.file)}
        more = {"recommendation": advice, **about, "picture": picture and str(picture), "notes": notes}
        print_json({**measured, **more})
    else:
        files = ", ".join(str(file) for file in (comparison.file, picture) if file)
        cells = format_count(sum(len(run.cells) for run in runs), "cell")
        print_lines([*notes, *(["", *advice] if advice else []), "", f"{cells} in {comparison.seconds:.0f} s; {files}"])
    return 130 if comparison.interrupted else 1 if comparison.failed else 0


def _draw_winners(places: Mapping[str, list[Ranked]], picture: Path) -> tuple[Path | None, list[str]]:
    """Draw the winners on each machine. Return the path of the picture (or None), and a line if it can't be written."""
    if not places:
        return None, []
    from softmax_impls.report.maps import winners_maps  # it imports matplotlib
    from softmax_impls.report.style import save

    try:
        save(winners_maps(places), picture)
    except OSError as error:
        return None, [f"{picture} can't be written: {error}"]
    return picture, []
