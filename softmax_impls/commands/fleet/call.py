"""A comparison on a fleet as a call: for the command line, and for Python."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmax_impls.commands.fleet.messages import Order
from softmax_impls.commands.fleet.sending import specs_of
from softmax_impls.implementation import Implementation
from softmax_impls.report.notebook import Results
from softmax_impls.timing.workloads import CellKey

if TYPE_CHECKING:  # it needs Dask
    from softmax_impls.commands.fleet.comparison import FleetComparison


def compare_on_fleet(
    scheduler: str,
    keys: Iterable[CellKey],
    usable: Mapping[str, Implementation],
    chosen: bool,
    folder: Path | None,
    resume: bool,
    progress: bool,
    **options: Any,
) -> Results:
    """Measure the cells on each kind of machine, and return the results of all kinds.

    If the user has `chosen` the implementations, only they take part, and peers. The options are those of `Order`.
    """
    peers = {name for name, record in usable.items() if options["peers"] and record.family == "peer"}
    names = [name for name in usable if name not in peers] if chosen else None
    specs = specs_of({name: usable[name] for name in names or ()})
    order = Order(list(keys), specs, only=names, **options)
    with tempfile.TemporaryDirectory() as temporary:
        comparison = prepare(scheduler, order, usable, folder or Path(temporary))
        comparison.open(resume)
        comparison.run(progress)
    if folder and (comparison.interrupted or comparison.unfinished):
        comparison.problems.append("To continue, repeat the call with resume=True.")
    return Results(tuple(comparison.runs), tuple(comparison.problems), tuple(comparison.recommendation()))


def prepare(scheduler: str, order: Order, usable: Mapping[str, Implementation], folder: Path) -> "FleetComparison":
    """Return a comparison to open and run. Raise ImportError without Dask, ValueError if the user's files are large."""
    try:
        from softmax_impls.commands.fleet.comparison import FleetComparison
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed: pip install 'softmax-impls[distributed]'") from None
    if order.machine not in (None, "hash"):
        raise ValueError("machine names one machine: set SOFTMAX_IMPLS_MACHINE where each worker starts")
    return FleetComparison(scheduler, order, usable, folder)
