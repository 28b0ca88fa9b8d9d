"""tools/predictions.py: predictions of cells that were not seen are compared with their measured times."""

import datetime

import numpy as np
import pytest

from softmax_impls.results import store
from softmax_impls.timing.records import Cell, Environment, KernelResult
from tests.tools.scripts import ROOT, script

KNOWN = [(b, d) for b in (1, 16, 256, 4096) for d in (16, 256, 4096)]
ACCURACY = {"numba_simd": "logits", "pivoted": "logits", "numba_rows": "probs"}


@pytest.fixture
def predictions(tmp_path, monkeypatch):
    found = script(ROOT / "tools" / "predictions.py")
    for name in ("KNOWN", "UNSEEN"):
        monkeypatch.setattr(found, name, tmp_path / f"{name}.jsonl")
    return found


def write(path, shapes, factors, before=(), same_run=None):
    """Write cells in which each kernel takes 1 µs and a nanosecond for each element, times its factor.

    Each factor in `before` is that of all times in an earlier measurement. `same_run` has the factors of the cells of
    `compare` that are measured in the same run.
    """
    rng = np.random.default_rng(0)

    def kernel(name, batch, dim, slower, factor):
        seconds = slower * factor * (1e-6 + 1e-9 * batch * dim)
        samples = tuple((seconds * np.exp(0.002 * rng.standard_normal(20))).tolist())
        return KernelResult(
            name=name, samples=samples, seconds=seconds, verified=True, accurate_for=ACCURACY[name], temporary_bytes=0
        )

    environment = Environment(machine="a cpu")
    store.write(
        path,
        [
            Cell(
                workload=workload, batch=batch, dim=dim, dtype="float64", threads=1, environment=environment,
                kernels=tuple(kernel(name, batch, dim, slower, times[name]) for name in times),
                time=datetime.datetime(2026, 1, 1, number, tzinfo=datetime.UTC),
            )
            for number, slower in enumerate((*before, 1.0))
            for workload, of, times in (("custom", shapes, factors), ("grid", KNOWN, same_run or {}))
            for batch, dim in (of if times else ())
        ],
    )  # fmt: skip


def test_predictions_that_come_true(predictions):
    factors = {"numba_simd": 1.0, "pivoted": 2.0, "numba_rows": 0.8}
    write(predictions.KNOWN, KNOWN, factors)
    write(predictions.UNSEEN, [(2, 20), (50, 300), (100, 1000)], factors, same_run=factors)
    lines = predictions.block().splitlines()
    assert lines[1].endswith("| measured again: within 20% |")
    rows = [line.strip("| ").split(" | ") for line in lines[3:9]]
    kinds = [["the pick", "3"], ["accurate on saturated rows", "6"], ["all", "9"]]
    assert [row[:3] for row in rows] == [[grid, *kind] for grid in ("in the same run", "before") for kind in kinds]
    assert [(row[4], row[6]) for row in rows] == [("100%", "–")] * 6
    assert "| before | accurate on saturated rows | 3 | 1.00x | 1.00x | 100% |" in lines
    assert lines[-1] == "3 cells of other shapes. Machine: a cpu."


def test_a_machine_that_was_faster_before_makes_only_the_predictions_from_before_wrong(predictions):
    factors = {"numba_simd": 1.0, "pivoted": 2.0}
    write(predictions.KNOWN, KNOWN, {name: factor / 1.4 for name, factor in factors.items()})
    write(predictions.UNSEEN, [(2, 20), (50, 300)], factors, same_run=factors)
    lines = predictions.block().splitlines()
    assert "| 100% | 100% | – |" in lines[3]
    assert "| 0% | 0% | – |" in lines[6]


@pytest.mark.parametrize(("slower", "close"), [(1.1, "100%"), (1.3, "0%")])
def test_two_measurements_of_a_shape_are_compared(predictions, slower, close):
    factors = {"numba_simd": 1.0, "pivoted": 2.0}
    write(predictions.KNOWN, KNOWN, factors)
    write(predictions.UNSEEN, [(2, 20), (50, 300)], factors, before=[slower], same_run=factors)
    assert predictions.block().splitlines()[3].endswith(f"| 100% | 100% | {close} |")


def test_a_pick_that_is_slower_than_another_kernel_and_times_that_are_off(predictions):
    factors = {"numba_simd": 1.0, "pivoted": 2.0}
    write(predictions.KNOWN, KNOWN, factors)
    write(predictions.UNSEEN, [(50, 300)], {"numba_simd": 4.0, "pivoted": 2.0}, same_run=factors)
    lines = predictions.block().splitlines()
    assert lines[3].endswith("| 0% | 0% | – |")
    assert "| in the same run | accurate on saturated rows | 1 | 2.00x | 2.00x | 0% |" in lines


def test_without_a_cell_that_can_be_predicted_there_is_no_block(predictions):
    write(predictions.KNOWN, KNOWN, {"numba_simd": 1.0})
    write(predictions.UNSEEN, KNOWN[:1], {"numba_simd": 1.0}, same_run={"numba_simd": 1.0})
    with pytest.raises(SystemExit, match="predict none of the cells"):
        predictions.block()


def test_no_shape_is_measured_by_compare(predictions):
    from softmax_impls.timing import workloads

    assert not {(batch, dim) for _, batch, dim in workloads.select()} & set(predictions.SHAPES)
