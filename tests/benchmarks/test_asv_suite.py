"""The asv suite has every implementation in it, runs, and is not fooled by a wrong one."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _accuracy, _cells, backward, calls
from softmax_impls import implementations, register
from softmax_impls.registry import names

SUITES = (backward.Grid, backward.Workload, backward.Bandwidth, backward.Memory, backward.Accuracy)


@pytest.mark.parametrize("suite", SUITES)
def test_every_implementation_is_in_it(suite):
    assert suite.params[0] == names() == sorted(implementations())


@pytest.mark.parametrize("dtype", _cells.DTYPES)
@pytest.mark.parametrize("name", names())
def test_a_cell_is_made_ready_when_it_is_asked_for(name, dtype):
    skipped = _cells.Skipped(backward.of_workload)
    assert (name, "digits", dtype) not in skipped
    out = skipped.call.args[2]
    out.fill(np.nan)
    skipped.run()
    assert np.isfinite(out).all()
    assert not hasattr(backward.Workload, "setup")  # or asv would time single calls


@pytest.mark.parametrize("name", ["einsum_jacobian", "column_loop", "not_yet_written"])
def test_what_can_not_run_is_skipped(name):
    assert (name, "attention", "float64") in _cells.Skipped(backward.of_workload)


def test_a_wrong_one_fails_instead_of_being_timed(registry):
    @register
    def flipped(probs, grad_output, out):
        out[...] = -probs

    with pytest.raises(AssertionError, match="flipped"):
        _ = ("flipped", 128, 10, "float64") in _cells.Skipped(_cells.verified)


def test_bandwidth_is_that_of_the_bytes_moved():
    suite = backward.Bandwidth()
    cell = ("numba_rows", "imagenet", "float64")
    assert cell not in suite.skip_params
    assert 0.1 < suite.track_bandwidth(*cell) < 10_000


@pytest.mark.parametrize("family", _accuracy.FAMILIES)
@pytest.mark.parametrize("dtype", _cells.DTYPES)
def test_errors_tell_exact_forms_from_the_textbook(family, dtype):
    errors = {}
    for name in ("pivoted", "numba_simd", "closed_form"):
        suite = backward.Accuracy()
        assert (name, family, dtype) not in suite.skip_params
        errors[name] = suite.track_error(name, family, dtype)
    assert errors["pivoted"] < 10
    assert errors["numba_simd"] < 10
    if family in ("offset", "saturated"):
        assert errors["closed_form"] > 100


@pytest.mark.parametrize("cell", [(dtype, by) for dtype in _cells.DTYPES for by in calls.BY])
def test_the_public_call_is_ready(cell):
    suite = calls.PublicCall()
    assert cell not in suite.skip_params
    suite.time_call(*cell)
    assert suite.skip_params.run().shape == (1, 10)


@pytest.mark.parametrize(
    "statement",
    [
        calls.Starting().timeraw_import(),
        calls.Starting().timeraw_first_call_cached(),
        calls.Starting().timeraw_source(),
    ],
)
def test_what_runs_in_processes_of_its_own_runs(statement, capfd):
    code, setup = statement
    exec(compile(setup + "\n" + code, "benchmark", "exec"), {})
    assert capfd.readouterr().out == ""


def test_keys_of_the_configuration_are_those_that_asv_has():
    """asv accepts any key in silence."""
    config = pytest.importorskip("asv.config")
    told = json.loads((Path(__file__).parents[2] / "asv.conf.json").read_text())
    assert not told.keys() - vars(config.Config()).keys() - {"version"}
