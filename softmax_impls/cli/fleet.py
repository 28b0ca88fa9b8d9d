"""Run ``softmax-impls compare --scheduler``: a comparison on every kind of machine of a fleet."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softmax_impls.cli.outcomes import draw_winners, print_end, print_outcome
from softmax_impls.implementation import Implementation
from softmax_impls.timing.workloads import CellKey

if TYPE_CHECKING:  # imported when the command runs
    from softmax_impls.choice.ranking import Ranked, RankedRun
    from softmax_impls.commands.fleet.comparison import FleetComparison

ARGUMENTS = "softmax_impls.arguments"  # the key of the arguments of the command line in `click.Context.meta`


def compare_on_fleet(
    context: click.Context, keys: Sequence[CellKey], usable: Mapping[str, Implementation], file: Path
) -> int:
    """Measure the cells on each kind of machine, print them, and draw the winners in a file; return the exit status."""
    from softmax_impls.commands.fleet.call import prepare
    from softmax_impls.commands.fleet.messages import Order

    given: dict[str, Any] = context.params
    options = {name: given[name] for name in ("budget", "peers", "max_memory", "machine", "seed")}
    order = Order(keys=list(keys), specs=list(given["specs"]), **options)
    try:
        comparison = prepare(given["scheduler"], order, usable, given["output"])
    except (ImportError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    try:
        comparison.open(given["resume"])
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--resume" if given["resume"] else "--output") from None
    try:
        comparison.run()
    except (OSError, ValueError) as error:  # no scheduler there, no usable worker
        raise click.BadParameter(str(error), param_hint="--scheduler") from None
    picture, problems = draw_winners(_cells_by_place(comparison.runs), file)
    notes = [*comparison.problems, *problems]
    if comparison.interrupted or comparison.unfinished:
        notes.append(f"To continue: {_command_to_resume(context)}")
    if given["as_json"]:
        answers = [{"cell": str(key), **fleet.as_dict()} for key, fleet in comparison.answers.items()]
        print_outcome({"kinds": [*map(_as_dict, comparison.runs)], "fleet": answers}, comparison, picture, notes)
    else:
        _print(comparison, picture, notes, given["details"])
    return 130 if comparison.interrupted else 1 if comparison.failed else 0


def _command_to_resume(context: click.Context) -> str:
    arguments = [argument for argument in context.meta[ARGUMENTS] if argument != "--resume"]
    return f"softmax-impls {shlex.join([*arguments, '--resume'])}"


def _cells_by_place(runs: Sequence["RankedRun"]) -> dict[str, list["Ranked"]]:
    places: dict[str, list[Ranked]] = {}
    for ranked in runs:
        places.setdefault(ranked.run.place, []).extend(ranked.cells)
    return places


def _as_dict(ranked: "RankedRun") -> dict[str, Any]:
    from msgspec.structs import asdict

    return asdict(ranked.cells[0].cell.environment) | {"cells": [cell.as_dict() for cell in ranked.cells]}


def _print(comparison: "FleetComparison", picture: Path | None, notes: list[str], details: bool) -> None:
    from softmax_impls.report.terminal.cells import comparison_tables
    from softmax_impls.report.terminal.console import console
    from softmax_impls.report.terminal.times import runs_table

    runs = comparison.runs
    for run in runs if details or len(runs) == 1 else ():
        console().print(run.run.place, *comparison_tables(run.cells, details), sep="\n", markup=False)
    for table in runs_table(runs) if len(runs) > 1 else ():
        console().print(table)
    print_end(sum(len(run.cells) for run in runs), comparison, picture, notes)
