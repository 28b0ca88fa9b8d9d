"""The asv suite has every implementation in it, runs, and is not fooled by a wrong one."""

import numpy as np
import pytest

from benchmarks.benchmark_backward import DTYPES, SHAPES, Backward
from softmax_impls import implementations, register
from softmax_impls.backward import names


def test_every_implementation_is_in_both_suites():
    assert Backward.params == (names(), list(SHAPES), DTYPES)
    assert sorted(implementations()) == names()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", names())
def test_runs(name, dtype):
    suite = Backward()
    suite.setup(name, "128x10", dtype)
    suite.out.fill(np.nan)
    suite.time_kernel(name, "128x10", dtype)
    assert np.isfinite(suite.out).all()
    assert suite.number >= 1


@pytest.mark.parametrize("name", ["einsum_jacobian", "column_loop", "not_yet_written"])
def test_what_can_not_run_is_not_available(name):
    with pytest.raises(NotImplementedError):
        Backward().setup(name, "4096x512", "float64")


def test_a_wrong_one_fails_instead_of_being_timed(registry):
    @register
    def flipped(probs, grad_output, out):
        out[...] = -probs

    with pytest.raises(AssertionError):
        Backward().setup("flipped", "128x10", "float64")
