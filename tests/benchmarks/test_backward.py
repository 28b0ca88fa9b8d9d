"""The local comparison: groups by shape, implementations as rows. By default each runs once, as a test.

pytest tests/benchmarks --benchmark-enable
"""

import pytest

from softmax_impls import implementations
from softmax_impls.checks import reference
from softmax_impls.timing import workloads
from softmax_impls.timing.workloads import WORKLOADS, Cell

SHOWN = ("sample-10", "digits", "imagenet")
MOST_OPERATIONS = 1e8  # B · D²: what loops and Jacobians take part in


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("workload", SHOWN)
@pytest.mark.parametrize("name", implementations())
def test_backward(benchmark, workload, dtype, name):
    shape, one = WORKLOADS[workload], implementations()[name]
    cell = Cell(workload, shape.rows, shape.classes, dtype, 1)
    if one.family in ("loop", "jacobian") and shape.rows * shape.classes**2 > MOST_OPERATIONS:
        pytest.skip("takes too long here; softmax-impls compare extrapolates it")
    probs, grad_output, out = workloads.arrays(cell, seed=0)
    one.kernel(probs, grad_output, out)
    worst = reference.worst(probs, grad_output, out, reference.row_sums(probs, grad_output))
    assert not worst.wrong
    benchmark.group = f"{cell}"
    benchmark.extra_info.update(error_in_bounds=worst.ratio, moved_bytes=cell.moved_bytes, dtype=dtype)
    benchmark(one.kernel, probs, grad_output, out)
