"""First calls are timed in new processes and in this process."""

import numpy as np
import pytest

from softmax_impls.registry import describe
from softmax_impls.timing.first_calls import first_call_seconds, first_calls
from tests.timing.kernels import spin


def test_first_calls_run_in_new_processes():
    assert all(0 < seconds < 60 for seconds in first_calls("closed_form", 2, 3, "float64"))


def test_a_first_call_that_fails_is_an_error_that_names_the_implementation():
    with pytest.raises(RuntimeError, match="unknown: ValueError: impl must be one of"):
        first_calls("unknown", 2, 3, "float64")


def test_only_the_time_beyond_a_second_call_counts():
    calls = []

    def compiling(probs, grad_output, out):
        calls.append(1)
        if len(calls) == 1:
            spin(0.05)

    assert 0.04 < first_call_seconds(describe(compiling), np.dtype("float32")) < 1


def test_a_kernel_that_raises_in_its_first_call_has_no_time():
    def raising(probs, grad_output, out):
        raise RuntimeError("out of luck")

    assert first_call_seconds(describe(raising), np.dtype("float32")) == 0
