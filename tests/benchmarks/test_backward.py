"""The local comparison: groups by shape, implementations as rows. By default each of ours runs once, as a test.

pytest tests/benchmarks --benchmark-enable -k "imagenet and float32"
"""

import numpy as np
import pytest

from softmax_impls.checks import reference
from softmax_impls.registry import get, names
from softmax_impls.timing import environment, workloads
from softmax_impls.timing.workloads import WORKLOADS, Cell

SHOWN = ("sample-10", "digits", "imagenet")
MOST_OPERATIONS = 1e8  # B · D²: what loops and Jacobians take part in
PEERS = sorted(set(names(peers=True)) - set(names()))


@pytest.mark.filterwarnings("ignore")  # of other libraries
@pytest.mark.benchmark(max_time=0.2, min_time=0.002, warmup=False)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("workload", SHOWN)
@pytest.mark.parametrize("name", [*names(), *PEERS])
def test_backward(benchmark, workload, dtype, name):
    if name in PEERS and benchmark.disabled:
        pytest.skip("other libraries take part where they are timed, with --benchmark-enable")
    try:
        one = get(name)
    except ImportError as error:
        pytest.skip(f"not installed: {error}")
    shape = WORKLOADS[workload]
    cell = Cell(workload, shape.rows, shape.classes, dtype, 1)
    if one.family in ("loop", "jacobian") and shape.rows * shape.classes**2 > MOST_OPERATIONS:
        pytest.skip("takes too long here; softmax-impls compare extrapolates it")
    probs, grad_output, out = workloads.arrays(cell, seed=0)
    with environment.limit_all_threads(1), np.errstate(all="ignore"):
        if one.set_num_threads:
            assert one.set_num_threads(1) == 1
        call, read = one.bind_call(probs, grad_output, out)
        result = read(call())  # compiles, and is verified before anything is timed
        worst = reference.worst(probs, grad_output, result, reference.row_sums(probs, grad_output), one.flush_to_zero)
        assert not worst.wrong, worst.in_words()
        benchmark.group = f"{cell}"
        benchmark.extra_info.update(
            implementation=name,
            dtype=dtype,
            batch=shape.rows,
            dim=shape.classes,
            threads=1,
            error_in_bounds=worst.ratio,
            moved_bytes=cell.moved_bytes,
            versions=environment.versions(),
        )
        benchmark(call)
    if not benchmark.disabled:
        benchmark.extra_info["GB/s"] = cell.moved_bytes / benchmark.stats.stats.median / 1e9


def test_every_implementation_is_in_it():
    (mark,) = (one for one in test_backward.pytestmark if one.args[0:1] == ("name",))
    assert mark.args[1] == [*names(), *PEERS]
