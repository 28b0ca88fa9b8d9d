"""Cells, and files of all tools, for the tests of this folder."""

import json

import msgspec

from softmax_impls.results.runs import load
from softmax_impls.timing.records import Cell, Environment, KernelResult, Roofline

SECONDS = 1e-4
ENVIRONMENT = Environment(machine="a cpu, 2 cores", versions={"numpy": "2"}, commit="c0ffee")
TIME = "backward.Workload.time_kernel"
MEMORY, ERROR = "backward.Memory.peakmem_kernel", "backward.Accuracy.track_error"
PARAMS = [["'numba_rows'", "'pivoted'"], ["'digits'"], ["'float64'"]]
NAN = float("nan")  # asv states it for what it skipped


def kernel(name="pivoted", **changes):
    record = {
        "name": name,
        "verified": True,
        "samples": (SECONDS, 1.1 * SECONDS),
        "seconds": 1.05 * SECONDS,
        "calls_per_sample": 10,
        "discrepancy": 0.1,
        "temporary_bytes": 0,
        "accurate_for": "probs",
        "errors": {"ordinary": 1e-7, "saturated": 1e-6, "hostile": None},
        "source": "abc",
        "first_call_seconds": 0.1,
    }
    return KernelResult(**record | changes)


def cell(batch=128, kernels=None, **changes):
    kernels = kernels or (kernel(),)
    record = {"workload": "digits", "dim": 10, "dtype": "float32", "threads": 1, "environment": ENVIRONMENT}
    return Cell(batch=batch, kernels=kernels, **record | changes)


def full_cell(batch=128):
    """A cell with every part."""
    return cell(batch, (kernel("a"), kernel("b")), roofline=Roofline(samples=(1e-5, 1.1e-5)), blocks=(1, 1))


def line(**changes):
    """The line of a cell; changes of its only kernel are written as kernel_samples=..."""
    content = msgspec.to_builtins(cell())
    for key, value in changes.items():
        if key.startswith("kernel_"):
            content["kernels"][0][key.removeprefix("kernel_")] = value
        else:
            content[key] = value
    return json.dumps(content) + "\n"


def asv(**changes):
    """A results file of asv: a kernel with a result, and a kernel that was skipped."""
    columns = ["result", "params", "version", "stats_ci_99_a", "stats_ci_99_b", "samples", "started_at"]
    results = {
        TIME: [[SECONDS, NAN], PARAMS, "3", [9e-5, None], [1.1e-4, None]],
        MEMORY: [[77e6, 78e6], PARAMS, "1"],
        ERROR: [[2.0, 3.0], [PARAMS[0], ["'long'"], PARAMS[2]], "1"],
        "calls.Starting.timeraw_import": [[0.1], [], "1"],
    }
    content = {
        "version": 2,
        "commit_hash": "c0ffee",
        "env_name": "virtualenv-py3.11",
        "python": "3.11",
        "requirements": {"numpy": "2.4.6", "numba": ""},
        "env_vars": {"NUMBA_NUM_THREADS": "2"},
        "params": {"machine": "lab", "cpu": "a cpu", "num_cpu": "2", "os": "Linux 6.1", "arch": "x86_64"},
        "result_columns": columns,
        "results": results | changes.pop("results", {}),
    }
    return json.dumps(content | changes)


def pytest_benchmark(commit_info=None, **changes):
    """A file of pytest-benchmark with a benchmark of ours and a benchmark of another project."""
    extra_info = {"implementation": "pivoted", "batch": 128, "dim": 10, "dtype": "float32", "threads": 1}
    benchmark = {
        "params": {"workload": "digits", "name": "pivoted"},
        "extra_info": extra_info | {"versions": {"numpy": "2.4.6"}, "verified": True} | changes,
        "stats": {"data": [SECONDS, 2 * SECONDS, 3 * SECONDS], "median": 2 * SECONDS},
    }
    other = {"params": None, "extra_info": {}, "stats": {}}
    content = {
        "machine_info": {
            "node": "lab",
            "cpu": {"brand_raw": "a cpu", "count": 2},
            "system": "Linux",
            "machine": "x86_64",
        },
        "commit_info": commit_info or {"id": "f00"},
        "datetime": "2026-01-02T03:04:05",
        "benchmarks": [benchmark, other],
    }
    return json.dumps(content)


def only_run(*files):
    """Load files without problems that hold a single run."""
    loaded = load(files)
    assert loaded.problems == ()
    (run,) = loaded.runs
    return run
