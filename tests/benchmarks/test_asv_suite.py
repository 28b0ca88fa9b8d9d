"""The asv suite: it has every implementation, it runs, and a wrong kernel fails instead of being timed."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _accuracy, _cells, backward, calls
from softmax_impls import implementations, register
from softmax_impls.registry import names

SUITES = (backward.Grid, backward.Workload, backward.Bandwidth, backward.Memory, backward.Accuracy)


@pytest.mark.parametrize("suite", SUITES)
def test_every_implementation_is_in_each_suite(suite):
    assert suite.params[0] == names() == sorted(implementations())


@pytest.mark.parametrize("dtype", _cells.DTYPES)
@pytest.mark.parametrize("name", names())
def test_the_question_whether_to_skip_a_cell_prepares_its_call(name, dtype):
    skipped = _cells.Skipped(backward.prepare_workload)
    assert (name, "digits", dtype) not in skipped
    out = skipped.call.keywords["out"]
    out.fill(np.nan)
    skipped.run()
    assert np.isfinite(out).all()


@pytest.mark.parametrize("suite", SUITES)
def test_no_suite_has_a_setup_since_asv_would_time_single_calls(suite):
    assert not hasattr(suite, "setup")


@pytest.mark.parametrize("name", ["einsum_jacobian", "column_loop", "not_yet_written"])
def test_a_kernel_that_is_too_slow_or_missing_is_skipped(name):
    assert (name, "attention", "float64") in _cells.Skipped(backward.prepare_workload)


def test_a_wrong_kernel_fails_instead_of_being_timed(registry):
    @register
    def flipped(probs, grad_output, out):
        out[...] = -probs

    with pytest.raises(AssertionError, match="flipped is wrong at 128×10 float64"):
        _ = ("flipped", 128, 10, "float64") in _cells.Skipped(backward.prepare_grid)


def test_bandwidth_is_bytes_over_time(monkeypatch):
    class Timer:
        """A call takes 2 ms."""

        def __init__(self, call):
            pass

        def timeit(self, number):
            return 0.002 * number

        def repeat(self, repeat, number):
            return [0.002 * number] * repeat

    monkeypatch.setattr(backward.timeit, "Timer", Timer)
    gigabytes = backward.Bandwidth().track_bandwidth("numba_rows", "imagenet", "float64")
    assert gigabytes == pytest.approx(3 * 256 * 1000 * 8 / 0.002 / 1e9)


@pytest.mark.parametrize("family", _accuracy.FAMILIES)
@pytest.mark.parametrize("dtype", _cells.DTYPES)
def test_the_error_of_a_pivoted_kernel_is_small_and_the_error_of_the_closed_form_is_not(family, dtype):
    errors = {}
    for name in ("pivoted", "numba_simd", "closed_form"):
        suite = backward.Accuracy()
        assert (name, family, dtype) not in suite.skip_params
        errors[name] = suite.track_error(name, family, dtype)
    assert errors["pivoted"] < 10
    assert errors["numba_simd"] < 10
    if family in ("offset", "saturated"):
        assert errors["closed_form"] > 100


@pytest.mark.parametrize("combination", [(dtype, given) for dtype in _cells.DTYPES for given in calls.ARGUMENTS])
def test_the_public_call_runs(combination):
    suite = calls.PublicCall()
    assert combination not in suite.skip_params
    suite.time_call(*combination)
    assert suite.skip_params.run().shape == (1, 10)


@pytest.mark.parametrize("statement", ["timeraw_import", "timeraw_first_call_cached", "timeraw_source"])
def test_statements_for_new_processes_run_and_print_nothing(statement, capfd, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest"])
    code, setup = getattr(calls.Starting(), statement)()
    exec(compile(setup + "\n" + code, "benchmark", "exec"), {})
    assert capfd.readouterr().out == ""


def test_asv_knows_every_key_of_the_configuration():
    """asv ignores unknown keys."""
    config = pytest.importorskip("asv.config")
    keys = json.loads((Path(__file__).parents[2] / "asv.conf.json").read_text()).keys()
    assert not keys - vars(config.Config()).keys() - {"version"}
