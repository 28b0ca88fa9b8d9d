"""softmax-impls tune."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from softmax_impls import backward, tuned
from softmax_impls.backward._limits import cores
from softmax_impls.choice import ranking, results, tuning
from softmax_impls.choice.ranking import Ranked
from softmax_impls.cli import options
from softmax_impls.contract import Implementation
from softmax_impls.dispatch import has_compiler
from softmax_impls.report.console import console, kernels_to_stderr, print_json, print_lines, progress
from softmax_impls.timing import ceremony, machine
from softmax_impls.timing.plan import turns
from softmax_impls.timing.session import Session
from softmax_impls.timing.workloads import Cell

RESULTS = "rule-results.jsonl"
SHARES = (0.7, 0.3)  # of the time: for cells that the rule is made from, and for those that it is judged by


@click.command()
@click.option(
    "--budget",
    type=click.FloatRange(min=20, max=1e5),
    callback=options.finite,
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for everything.",
)
@click.option(
    "--any-accuracy",
    is_flag=True,
    help='Let "auto" pick forms, too, that lose digits where rows saturate; it never does otherwise.',
)
@click.option("--show", is_flag=True, help="Show the rule that is there, and what it is worth on other shapes.")
@click.option("--reset", is_flag=True, help="Remove it: the built-in rule is followed again.")
@options.as_json
def tune(budget: float, any_accuracy: bool, show: bool, reset: bool, as_json: bool) -> int:
    """Make the rule that impl="auto" follows from measurements on this machine.

    Measures cells over batch and dim, fits a rule of a few lines, and judges it on other shapes. The rule is kept where
    this user's configuration lives, or where SOFTMAX_IMPLS_RULE says ("built-in" there switches it off); it is followed
    by processes that start afterwards, on this kind of machine, with these versions. Ctrl-C leaves it as it was.

    \b
    Examples:
      softmax-impls tune
      softmax-impls tune --budget 300 --any-accuracy
      softmax-impls tune --show
      softmax-impls tune --reset
    """  # noqa: D301
    place = tuned.place()
    if place is None:
        raise click.UsageError(f"{tuned.VARIABLE} says {tuned.BUILT_IN!r}: there is no place for a rule")
    if show and reset:
        raise click.UsageError("--show and --reset don't go together")
    try:
        if reset:
            return _reset(place, as_json)
        if not show:
            _make(place, budget, any_accuracy)
        return _show(place, as_json)
    except OSError as error:
        raise click.ClickException(f"{place}: {error.strerror or error}") from None


def _make(place: Path, budget: float, any_accuracy: bool) -> None:
    """Measure, fit, judge and write."""
    if not has_compiler():
        raise click.UsageError("Numba's compiler is missing or switched off: there is nothing to tune")
    usable, _ = backward.catalogue()
    chosen = {name: one for name, one in usable.items() if _may_be_picked(one, any_accuracy)}
    threads = sorted({1, cores()})
    fitted = tuning.cells(tuning.shapes(0), threads)
    judged = tuning.cells(tuning.shapes(1, 10), threads)
    place.parent.mkdir(parents=True, exist_ok=True)
    session = Session(chosen, budget, machine.largest_temporaries())
    with kernels_to_stderr():
        measured = _measured(session, [fitted, judged], place.with_name(RESULTS))
        around = ceremony.measure()
    made_from, judged_by = (tuning.samples(ranked, around) for ranked in measured)
    if not (made_from and judged_by):
        raise click.ClickException("too few cells could be measured: raise --budget")
    lines = tuning.fit(made_from)
    tuned.write(
        place,
        lines,
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        among=sorted(chosen),
        regret={
            "fitted": tuning.in_figures(tuning.regrets(lines, made_from)),
            "unseen": tuning.in_figures(tuning.regrets(lines, judged_by)),
            "unseen_built_in": tuning.in_figures(tuning.regrets(tuning.BUILT_IN, judged_by)),
        },
        ceremony=vars(around),
    )


def _may_be_picked(one: Implementation, any_accuracy: bool) -> bool:
    exact = one.accurate_for == "logits"
    return backward.is_ours(one) and one.family in ("numba", "closed form") and (exact or any_accuracy)


def _measured(session: Session, parts: Sequence[Sequence[Cell]], file: Path) -> list[list[Ranked]]:
    """Measure the cells to fit to, and then those to judge by; keep the results in a file."""
    screen = console(stderr=True, narrowest=0)
    file.unlink(missing_ok=True)
    found: list[list[Ranked]] = []
    with progress(screen) as bar:
        task = bar.add_task("compiling and checking", total=sum(len(turns(cells)) for cells in parts), left="")
        bar.refresh()
        session.prepare(["float32", "float64"])
        total = session.left
        for cells, share in zip(parts, SHARES, strict=True):
            session.deadline = time.perf_counter() + share * total  # its own, should the first part overrun

            def starting(cell: Cell) -> None:
                bar.update(task, description=str(cell), refresh=True)

            done = {}
            for cell, rows in session.run(cells, starting):
                if not isinstance(rows, str):
                    done[cell] = rows
                bar.advance(task)
            results.write(file, [*results.read(file).values(), *done.values()] if found else done.values())
            found.append(ranking.rank_all(done))
    return found


def _reset(place: Path, as_json: bool) -> int:
    there = place.exists()
    for file in (place, place.with_name(RESULTS)):
        file.unlink(missing_ok=True)
    if as_json:
        print_json({"file": str(place), "removed": there})
    else:
        told = f"{place} removed." if there else f"There is no rule in {place}."
        print_lines([told, "The built-in rule is followed."])
    return 0


def _show(place: Path, as_json: bool) -> int:
    """Show the rule, and what it is worth."""
    try:
        lines = tuned.read(place)
    except FileNotFoundError:
        if as_json:
            print_json({"file": None})
        else:
            print_lines([f"There is no rule in {place}: the built-in one is followed."])
        return 0
    except ValueError as error:
        raise click.ClickException(f"{place} is not followed: {error}") from None
    told: dict[str, Any] = json.loads(place.read_bytes())
    if as_json:
        print_json({"file": str(place), **told})
    else:
        said = [f"  {one.impl}: {one.in_words()}" for one in lines]
        print_lines([f"{place}, the first line that holds decides:", *said, *_worth(told)])
    return 0


def _worth(told: dict[str, Any]) -> list[str]:
    """Return what following this rule costs, and the built-in one, as far as the file says so."""
    regret = told.get("regret")
    if not isinstance(regret, dict):
        return []
    lines = []
    for key, words in {"unseen": "this rule takes", "unseen_built_in": "the built-in one"}.items():
        try:
            one = {name: float(regret[key][name]) for name in ("cells", "median", "p95", "worst")}
        except (KeyError, TypeError, ValueError, OverflowError):  # edited by hand
            continue
        lines.append(
            f"On {one['cells']:.0f} cells that it was not made from, {words} {one['median']:.2f}x the time of the best "
            f"in the median, {one['p95']:.2f}x in the 95th percentile, {one['worst']:.2f}x at worst."
        )
    return lines
