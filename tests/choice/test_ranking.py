"""Cells are ranked by verified, comparable samples; ties and noise are stated."""

import json

import numpy as np
import pytest

from softmax_impls.choice import ranking
from softmax_impls.choice.ranking import compare_some, rank, rank_all
from softmax_impls.results.runs import interval_of
from softmax_impls.timing.records import Roofline

from .builders import build_cell, build_cell_of, build_kernel


def test_the_fastest_kernel_wins_with_speedup_bandwidth_and_ratio():
    cell = build_cell(10, 5, {"numba_rows": 1e-6, "numba_pivoted": 1.5e-6, "column_loop": 1e-4}, dtype="float64")
    ranked = rank(cell)
    assert ranked.winners == ("numba_rows",)
    assert ranked.times_best("numba_pivoted") == pytest.approx(1.5, rel=0.01)
    assert ranked.times_best("unknown") == np.inf
    times, extrapolated = ranked.speedup
    assert times == pytest.approx(100, rel=0.01)
    assert not extrapolated
    assert ranked.gigabytes_per_second == pytest.approx(3 * 50 * 8 / 1e-6 / 1e9, rel=0.01)
    assert ranked.seconds == ranked.kernels["numba_rows"].seconds


def test_kernels_within_the_margin_tie():
    ranked = rank(build_cell(10, 5, {"numba_rows": 1e-6, "numba_pivoted": 1.005e-6}))
    assert set(ranked.winners) == {"numba_rows", "numba_pivoted"}


def test_an_extrapolated_baseline_gives_a_speedup_but_is_not_ranked():
    fast = build_kernel("numba_rows", [1e-6] * 20)
    loop = build_kernel("column_loop", [], status="extrapolated", seconds=1.0)
    ranked = rank(build_cell_of(fast, loop))
    assert ranked.speedup == (pytest.approx(1e6), True)
    assert ranked.winners == ("numba_rows",)
    assert ranked.as_dict()["implementations"]["column_loop"]["times_the_fastest"] is None


@pytest.mark.parametrize(("predicted", "sure"), [(5e-5, False), (5e-4, True)])
def test_a_verdict_is_not_sure_if_a_kernel_that_was_not_timed_may_be_faster(predicted, sure):
    fast, second = build_kernel("fast", [1e-5] * 20), build_kernel("second", [2e-5] * 20)
    ranked = rank(build_cell_of(fast, second, build_kernel("slow", [], status="extrapolated", seconds=predicted)))
    assert (ranked.winners, ranked.sure) == (("fast",), sure)


@pytest.mark.parametrize(("most", "sure"), [(1.02, False), (1.1, True)])
def test_a_verdict_is_sure_only_if_the_medians_of_all_rounds_agree(most, sure):
    fast = build_kernel("fast", [1e-5] * 40)
    second = build_kernel("second", [1.1e-5] * 15 + [most * 1e-5] * 25)  # the first rounds count as quiet
    ranked = rank(build_cell_of(fast, second, disturbed=tuple(range(15, 40))))
    assert (ranked.winners, ranked.sure) == (("fast",), sure)


def test_without_a_baseline_there_is_no_speedup():
    assert rank(build_cell(1, 5, {"numba_rows": 1e-6})).speedup is None


def test_the_difference_of_the_control_is_the_noise_and_widens_the_margin():
    ranked = rank(build_cell(1, 5, {"numba_rows": 1e-6, "numba_pivoted": 1.1e-6}, control=1.3e-6))
    assert ranked.noise == pytest.approx(0.3, rel=0.02)
    assert ranked.comparison.margin == pytest.approx(ranked.noise, rel=0.05)
    assert len(ranked.winners) == 2
    assert set(ranked.kernels) == {"numba_rows", "numba_pivoted"}


def test_without_a_control_the_noise_is_unknown():
    assert rank(build_cell(1, 5, {"numba_rows": 1e-6})).noise is None


@pytest.mark.parametrize(
    "fields", [{"verified": False}, {"status": "wrong", "note": "off by 3"}, {"status": "failed", "note": "raised"}]
)
def test_a_result_that_is_not_verified_is_never_ranked(fields):
    ranked = rank(build_cell(1, 5, {"mine": 1e-6, "numba_rows": 2e-6}, fields={"mine": fields}, control=1e-6))
    assert ranked.winners == ("numba_rows",)
    assert ranked.times_best("mine") == np.inf
    assert ranked.noise is None


def test_a_cell_without_verified_times_has_no_ranking():
    ranked = rank(build_cell_of(build_kernel("mine", [], status="wrong")))
    assert ranked.winners == ()
    assert ranked.comparison is None
    assert ranked.speedup is None
    assert ranked.as_dict()["seconds"] is None


def test_a_library_whose_import_fails_is_none_of_our_implementations(monkeypatch):
    def fail(name):
        raise OSError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr(ranking, "get", fail)
    assert ranking.ours("a library that is damaged") is None


def test_a_ranking_can_be_written_as_json():
    cell = build_cell(1, 5, {"numba_rows": 1e-6, "slow": 2e-6}, roofline=Roofline(samples=(0.5e-6,) * 20))
    data = json.loads(json.dumps(rank(cell).as_dict(), allow_nan=False))
    assert data["winners"] == ["numba_rows"]
    assert data["roofline_seconds"] == 0.5e-6
    assert data["implementations"]["slow"]["times_the_fastest"][0] == pytest.approx(2, rel=0.01)
    assert data["implementations"]["slow"]["share_of_roofline"][0] == pytest.approx(0.25, rel=0.01)


def test_cells_are_shown_by_workload_threads_size_and_dtype():
    cells = [
        build_cell(2, 2, {"a": 1e-6}, workload="grid"),
        build_cell(9, 9, {"a": 1e-6}, threads=2),
        build_cell(9, 9, {"a": 1e-6}, dtype="float64"),
        build_cell(9, 9, {"a": 1e-6}),
        build_cell(3, 3, {"a": 1e-6}, dtype="float64"),
    ]
    shown = [(r.key.workload, r.key.threads, r.key.batch, r.key.dtype) for r in rank_all(cells)]
    assert shown == [
        ("custom", 1, 3, "float64"),
        ("custom", 1, 9, "float32"),
        ("custom", 1, 9, "float64"),
        ("custom", 2, 9, "float32"),
        ("grid", 1, 2, "float32"),
    ]


def cell_with_eliminations():
    return build_cell_of(
        build_kernel("a", [1.0] * 20),
        build_kernel("b", [1.2] * 20),
        build_kernel("c", [2.1] * 6, status="eliminated"),
        build_kernel("d", [2.2] * 4, status="eliminated"),
    )


def test_eliminated_kernels_do_not_tie_with_the_fastest():
    assert rank(cell_with_eliminations()).winners == ("a",)


def test_without_the_fastest_kernel_elimination_means_nothing():
    ranked = rank(cell_with_eliminations())
    without_a, without_both = compare_some(ranked, ["b", "c", "d"]), compare_some(ranked, ["c", "d"])
    assert without_a.best == "b"
    assert without_both.best == "c"
    assert without_both.ratios["d"].value == pytest.approx(2.2 / 2.1)


def test_kernels_that_were_eliminated_may_tie_with_each_other():
    samples = {"c": [2.1, 2.3, 2.2, 2.1], "d": [2.2, 2.1, 2.3, 2.2, 2.2]}
    slow = [build_kernel(name, taken, status="eliminated") for name, taken in samples.items()]
    ranked = rank(build_cell_of(build_kernel("a", [1.0] * 20), *slow))
    assert ranked.winners == ("a",)
    assert len(compare_some(ranked, ["c", "d"]).ties) == 1


def test_comparing_all_kernels_again_changes_nothing():
    ranked = rank(cell_with_eliminations())
    assert compare_some(ranked, ["a", "b", "c", "d"]) is ranked.comparison


def test_with_other_tools_more_samples_do_not_mean_faster():
    fast, slow = build_kernel("fast", [1e-6] * 5), build_kernel("slow", [2e-6] * 10)
    ranked = rank(build_cell_of(fast, slow, tool="asv"))
    assert ranked.winners == ("fast",)
    assert ranked.comparison.ratios["slow"].value == pytest.approx(2)


def test_blocks_count_only_if_they_cover_all_rounds():
    """Two of the six samples of a block are as fast: by blocks there is a tie, by single rounds there is none."""
    a, b = [1.0] * 24, ([1.0] * 2 + [1.1] * 4) * 4
    kernels = build_kernel("a", a), build_kernel("b", b)
    assert rank(build_cell_of(*kernels, blocks=(6, 6, 6, 6))).comparison.ties
    assert not rank(build_cell_of(*kernels, blocks=(6, 6, 6, 5))).comparison.ties
    assert not rank(build_cell_of(*kernels)).comparison.ties


def test_the_interval_of_a_tool_comes_before_the_interval_of_the_samples():
    assert interval_of(build_kernel("a", [1.0, 2.0, 3.0], interval=(1.9, 2.1))) == (1.9, 2.1)
    assert interval_of(build_kernel("a", [1.0, 2.0, 3.0])) == (1.0, 3.0)
    assert interval_of(build_kernel("a", [1.0])) is None
