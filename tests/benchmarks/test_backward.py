"""Compare implementations with pytest-benchmark. Without --benchmark-enable, each of ours runs once, as a test.

pytest tests/benchmarks/test_backward.py --benchmark-enable -k "imagenet and float32"
"""

import numpy as np
import pytest

from softmax_impls import usage
from softmax_impls.checks import reference
from softmax_impls.registry import get, names
from softmax_impls.timing import environment, workloads
from softmax_impls.timing.kernel import CellArrays
from softmax_impls.timing.workloads import OTHER_AXES, CellKey

TIMED = ("sample-10", "digits", "imagenet", *OTHER_AXES)
MAX_ELEMENTS = 2**20  # of a test without --benchmark-enable
MAX_OPERATIONS = 1e8  # B · D² of loops and Jacobians, which are slow
PEERS = sorted(set(names(peers=True)) - set(names()))


@pytest.mark.filterwarnings("ignore")  # of other libraries
@pytest.mark.benchmark(max_time=0.2, min_time=0.002, warmup=False)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("workload", TIMED)
@pytest.mark.parametrize("name", [*names(), *PEERS])
def test_backward(benchmark, workload, dtype, name):
    if name in PEERS and benchmark.disabled:
        pytest.skip("other libraries take part only with --benchmark-enable")
    try:
        implementation = get(name)
    except ImportError as error:
        pytest.skip(f"not installed: {error}")
    batch, dim = workloads.sizes(workload)
    key = CellKey(workload, batch, dim, dtype, 1)
    if benchmark.disabled and key.elements > MAX_ELEMENTS:
        pytest.skip("large arrays take part only with --benchmark-enable")
    if implementation.family in ("loop", "jacobian") and batch * dim**2 > MAX_OPERATIONS:
        pytest.skip("takes too long; softmax-impls compare extrapolates its time")
    arrays = CellArrays(key, seed=0)
    probs, grad_output, out = arrays.probs, arrays.gradients[0], arrays.out
    with environment.limit_all_threads(1), np.errstate(all="ignore"):
        if implementation.set_num_threads:
            assert implementation.set_num_threads(1) == 1
        call, read = usage.bind(implementation, probs, grad_output, out, threads=1, axis=key.axis)
        result = read(call())  # compiles, and is verified before the timing
        rows = map(arrays.rows, (probs, grad_output, result))
        worst = reference.worst(*rows, arrays.sums[0], implementation.flush_to_zero)
        assert not worst.wrong, worst
        benchmark.group = f"{key}"
        benchmark.extra_info.update(
            implementation=name,
            dtype=dtype,
            batch=batch,
            dim=dim,
            threads=1,
            verified=True,
            error_in_bounds=worst.ratio,
            moved_bytes=key.moved_bytes,
            versions=environment.environment().versions,
        )
        benchmark(call)
    if not benchmark.disabled:
        benchmark.extra_info["GB/s"] = key.moved_bytes / benchmark.stats.stats.median / 1e9


def test_every_implementation_is_in_the_comparison():
    (mark,) = (mark for mark in test_backward.pytestmark if mark.args[0:1] == ("name",))
    assert mark.args[1] == [*names(), *PEERS]
