"""Compare implementations with pytest-benchmark. Without --benchmark-enable, each of ours runs once, as a test.

pytest tests/benchmarks/test_backward.py --benchmark-enable -k "imagenet and float32"
"""

import functools
import math

import numpy as np
import pytest

from softmax_impls import softmax_backward, usage
from softmax_impls.checks import reference
from softmax_impls.registry import get, names
from softmax_impls.timing import environment, workloads
from softmax_impls.timing.workloads import OTHER_AXES, WORKLOADS, CellKey

TIMED = ("sample-10", "digits", "imagenet")
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
    batch, dim = WORKLOADS[workload]
    key = CellKey(workload, batch, dim, dtype, 1)
    if implementation.family in ("loop", "jacobian") and batch * dim**2 > MAX_OPERATIONS:
        pytest.skip("takes too long; softmax-impls compare extrapolates its time")
    probs, grad_output, out = workloads.arrays(key, seed=0)
    with environment.limit_all_threads(1), np.errstate(all="ignore"):
        if implementation.set_num_threads:
            assert implementation.set_num_threads(1) == 1
        call, read = usage.bind(implementation, probs, grad_output, out, threads=1)
        result = read(call())  # compiles, and is verified before the timing
        sums = reference.row_sums(probs, grad_output)
        worst = reference.worst(probs, grad_output, result, sums, implementation.flush_to_zero)
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


@pytest.mark.filterwarnings("ignore")  # of other libraries
@pytest.mark.benchmark(max_time=0.5, min_time=0.002, warmup=False)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("workload", OTHER_AXES)
@pytest.mark.parametrize("name", ["numba_simd", "torch", "jax"])
def test_other_axes(benchmark, workload, dtype, name):
    if benchmark.disabled and (name != "numba_simd" or workload != "channels"):
        pytest.skip("large arrays and other libraries take part only with --benchmark-enable")
    if name != "numba_simd":
        pytest.importorskip(name)
    implementation, (shape, axis) = get(name), OTHER_AXES[workload]
    arrays = workloads.arrays_on_axis(shape, axis, dtype, seed=0)
    *inputs, out = (array.reshape(-1, shape[axis], math.prod(shape[axis + 1 :])) for array in arrays)
    with environment.limit_all_threads(1):
        if implementation.set_num_threads:
            assert implementation.set_num_threads(1) == 1
        if name == "numba_simd":
            call = functools.partial(softmax_backward, *arrays[:2], axis=axis, out=arrays[2])
            call()
            result = out
        else:
            call, read = implementation.bind_call(*inputs, out)
            result = read(call())
        rows = (np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in (*inputs, result))
        probs, grad_output, result = (array.reshape(-1, shape[axis]) for array in rows)
        sums = reference.row_sums(probs, grad_output)
        worst = reference.worst(probs, grad_output, result, sums, implementation.flush_to_zero)
        assert not worst.wrong, worst
        benchmark.group = f"{workload} {shape} axis={axis} {dtype}"
        benchmark.extra_info.update(call=name, moved_bytes=3 * out.nbytes)
        benchmark(call)


def test_every_implementation_is_in_the_comparison():
    (mark,) = (mark for mark in test_backward.pytestmark if mark.args[0:1] == ("name",))
    assert mark.args[1] == [*names(), *PEERS]
