"""Build records of measured cells."""

import datetime

import numpy as np

from softmax_impls.choice.ranking import RankedRun, rank_run
from softmax_impls.results.runs import Run
from softmax_impls.timing.records import Cell, Control, Environment, KernelResult

HERE = "znver3, 2 cores, Linux x86_64"
JANUARY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
FEBRUARY = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)


def build_kernel(name, samples, **fields):
    """Return the verified result of a kernel with these samples, or of a kernel that was not timed, without any."""
    seconds = float(np.median(samples)) if samples else None
    defaults = {"seconds": seconds, "verified": bool(samples), "temporary_bytes": 0}
    return KernelResult(name=name, samples=tuple(samples), **defaults | fields)


def build_cell(
    batch,
    dim,
    times,
    *,
    fields=None,
    control=None,
    machine=HERE,
    host="",
    versions=None,
    commit=None,
    spread=0.002,
    rounds=20,
    **changes,
):
    """Return a cell with noisy samples of each kernel, one for each round.

    Parameters
    ----------
    times : dict of str to float
        Seconds of a call of each kernel.
    fields : dict of str to dict, optional
        More fields of the results of some kernels.
    control : float, optional
        Seconds of a call of the A/A control of the first kernel.
    """
    rng = np.random.default_rng([batch, dim])

    def draw(seconds):
        return tuple(float(seconds * factor) for factor in np.exp(spread * rng.standard_normal(rounds)))

    kernels = tuple(build_kernel(name, draw(t), **(fields or {}).get(name, {})) for name, t in times.items())
    return build_cell_of(
        *kernels,
        batch=batch,
        dim=dim,
        control=Control(name=next(iter(times)), samples=draw(control)) if control else None,
        environment=Environment(machine=machine, host=host, versions=versions or {}, commit=commit),
        **changes,
    )


def build_cell_of(*kernels, batch=1, dim=5, **changes):
    """Return a cell with these results."""
    defaults = {
        "workload": "custom",
        "dtype": "float32",
        "threads": 1,
        "environment": Environment(machine=HERE),
        "time": JANUARY,
        "file": "results.jsonl",
    }
    return Cell(batch=batch, dim=dim, kernels=kernels, **defaults | changes)


def build_run(*cells, earlier=()) -> RankedRun:
    """Return the ranked run of these cells, which must have the same tool, machine, commit and host."""
    (key,) = {
        (cell.tool, cell.environment.machine, cell.environment.commit or "", cell.environment.host) for cell in cells
    }
    tool, machine, commit, host = key
    return rank_run(Run(tool, machine, commit, cells, host, {cell.key: (cell,) for cell in earlier}))
