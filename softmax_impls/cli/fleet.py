"""Run ``softmax-impls compare --scheduler``: a comparison on every kind of machine of a fleet."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softmax_impls.formatting import format_count
from softmax_impls.implementation import Implementation
from softmax_impls.timing.workloads import CellKey

if TYPE_CHECKING:  # imported when the command runs
    from softmax_impls.choice.ranking import Ranked
    from softmax_impls.commands.fleet.comparison import FleetComparison

ARGUMENTS = "softmax_impls.arguments"  # the key of the arguments of the command line in `click.Context.meta`


def compare_on_fleet(
    context: click.Context, keys: Sequence[CellKey], usable: Mapping[str, Implementation], picture: Path
) -> int:
    """Measure the cells on each kind of machine, print the results, and draw the winners; return the exit status."""
    given: dict[str, Any] = context.params
    if given["machine"] not in (None, "hash"):
        raise click.UsageError("--machine names one machine: set SOFTMAX_IMPLS_MACHINE where each worker starts")
    comparison = _comparison(given, keys, usable)
    try:
        comparison.open(given["resume"])
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--resume" if given["resume"] else "--output") from None
    try:
        comparison.run()
    except (OSError, ValueError) as error:  # no scheduler there, no usable worker
        raise click.BadParameter(str(error), param_hint="--scheduler") from None
    notes = [*comparison.problems, *_draw(comparison, picture)]
    if comparison.interrupted or comparison.unfinished:
        notes.append(f"To continue: {_command_to_resume(context)}")
    _print_json(comparison, picture, notes) if given["as_json"] else _print(
        comparison, picture, notes, given["details"]
    )
    return 130 if comparison.interrupted else 1 if comparison.failed else 0


def _comparison(
    given: Mapping[str, Any], keys: Sequence[CellKey], usable: Mapping[str, Implementation]
) -> "FleetComparison":
    try:
        from softmax_impls.commands.fleet.comparison import FleetComparison
        from softmax_impls.commands.fleet.messages import Order
    except ModuleNotFoundError as error:
        missing = f"{error.name} is not installed: pip install 'softmax-impls[distributed]'"
        raise click.BadParameter(missing, param_hint="--scheduler") from None
    from softmax_impls.commands.fleet.sending import files_of
    from softmax_impls.timing.environment import fingerprint

    try:
        files = files_of(given["specs"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--impl") from None
    options = {name: given[name] for name in ("budget", "peers", "max_memory", "machine", "seed")}
    order = Order(keys=list(keys), specs=list(given["specs"]), files=files, **options)
    sources = {name: fingerprint(record.kernel) for name, record in usable.items()}
    return FleetComparison(given["scheduler"], order, sources, given["output"])


def _command_to_resume(context: click.Context) -> str:
    arguments = [argument for argument in context.meta[ARGUMENTS] if argument != "--resume"]
    return f"softmax-impls {shlex.join([*arguments, '--resume'])}"


def _draw(comparison: "FleetComparison", picture: Path) -> list[str]:
    """Draw the winners of all kinds; return a line if that fails."""
    from softmax_impls.report.maps import winners_maps  # it imports matplotlib
    from softmax_impls.report.style import save

    places: dict[str, list[Ranked]] = {}
    for run in comparison.runs:
        places.setdefault(run.run.place, []).extend(run.cells)
    if places:
        try:
            save(winners_maps(places), picture)
        except OSError as error:
            return [f"{picture} can't be written: {error}"]
    return []


def _print(comparison: "FleetComparison", picture: Path, notes: list[str], details: bool) -> None:
    from softmax_impls.report.terminal.cells import comparison_tables
    from softmax_impls.report.terminal.console import console, print_lines
    from softmax_impls.report.terminal.times import runs_table

    runs = comparison.runs
    for run in runs if details or len(runs) == 1 else ():
        console().print(run.run.place, *comparison_tables(run.cells, details), sep="\n", markup=False)
    for table in runs_table(runs) if len(runs) > 1 else ():
        console().print(table)
    cells = format_count(sum(len(run.cells) for run in runs), "cell")
    files = f"{cells} in {comparison.seconds:.0f} s; {comparison.file}, {picture}"
    print_lines([*notes, "", *comparison.recommendation(), "", files])


def _print_json(comparison: "FleetComparison", picture: Path, notes: list[str]) -> None:
    from msgspec.structs import asdict

    from softmax_impls.report.terminal.console import print_json

    print_json(
        {
            "kinds": [
                asdict(run.cells[0].cell.environment) | {"cells": [cell.as_dict() for cell in run.cells]}
                for run in comparison.runs
            ],
            "fleet": [{"cell": str(key), **fleet.as_dict()} for key, fleet in comparison.answers.items()],
            "recommendation": comparison.recommendation(),
            "interrupted": comparison.interrupted,
            "seconds": comparison.seconds,
            "results": str(comparison.file),
            "picture": str(picture),
            "notes": notes,
        }
    )
