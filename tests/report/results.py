"""Build results of any shape and with any names."""

import datetime

import numpy as np

from softmax_impls.choice.ranking import RankedRun, rank_run
from softmax_impls.report.html.page import make_page
from softmax_impls.report.style import styles_of
from softmax_impls.results import runs, store
from softmax_impls.timing.records import Cell, Environment, KernelResult, Roofline

TIME = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def kernel(name, seconds, rounds=12, **fields):
    """Return a verified result of an accurate kernel. Its samples grow by a thousandth from round to round."""
    samples = tuple(seconds * (1 + i / 1000) for i in range(rounds))
    known = {"temporary_bytes": 1000, "errors": {"ordinary": 1e-7}, "accurate_for": "logits", "spec": f"package:{name}"}
    fields = (known if name.isidentifier() else {**known, "spec": ""}) | fields
    return KernelResult(name=name, verified=True, samples=samples, seconds=float(np.median(samples)), **fields)


def cell(kernels, batch=16, dim=16, roofline=1e-7, rounds=12, commit="c0ffee", versions=None, **fields):
    """Return a cell. `kernels` are results, or times by name."""
    if isinstance(kernels, dict):
        kernels = [kernel(name, seconds, rounds) for name, seconds in kernels.items()]
    machine = fields.pop("machine", "a cpu, 2 cores, Linux")
    environment = Environment(machine=machine, versions=versions or {"numpy": "2.4.6"}, commit=commit)
    fields = {"workload": "grid", "dtype": "float32", "threads": 1, "time": TIME} | fields
    bound = Roofline(samples=(roofline,) * rounds)
    return Cell(batch=batch, dim=dim, kernels=tuple(kernels), roofline=bound, environment=environment, **fields)


def square(sizes=(16, 256, 4096), **fields):
    """Return a grid where a call takes 1 ns · batch · dim with `slow`, and half of that with `quick`."""
    return [cell({"slow": 1e-9 * b * d, "quick": 0.5e-9 * b * d}, b, d, **fields) for b in sizes for d in sizes]


def loaded(folder, cells):
    """Write cells to a file in a folder, and load all files of the folder."""
    store.write(folder / f"{len(list(folder.glob('*.jsonl')))}.jsonl", cells)
    return runs.load([folder])


def page_of(loaded):
    """Return the page of loaded results, its notes, and the ranked runs."""
    runs = [rank_run(run) for run in loaded.runs]
    styles = styles_of(name for run in runs for cell in run.cells for name in cell.kernels)
    return *make_page(loaded, runs, styles), runs


def ranked(cells) -> RankedRun:
    """Rank cells as a run."""
    return rank_run(runs.Run("compare", "a cpu, 2 cores, Linux", "c0ffee", tuple(cells)))
