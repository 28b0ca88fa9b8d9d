"""The recommendation weighs time, accuracy and doing without a compiler."""

import pytest

from softmax_impls.choice.coverage import cover, recommend, rejected
from softmax_impls.choice.ranking import rank, rank_all

from .builders import build_cell, build_cell_of, build_kernel

FAMILIES = {
    "numba_rows": "numba",
    "numba_pivoted": "numba",
    "pivoted": "closed form",
    "column_loop": "loop",
    "mine": "user",
}
ACCURATE = {"accurate_for": "logits", "errors": {"saturated": 2e-16}}
INACCURATE = {"accurate_for": "probs", "errors": {"saturated": 1.0}}
FIELDS = dict.fromkeys(("numba_rows", "column_loop"), INACCURATE) | dict.fromkeys(
    ("numba_pivoted", "pivoted"), ACCURATE
)


def ranked_cells(*cells):
    return rank_all(build_cell(b, 5, times, fields=FIELDS, dtype="float64") for b, times in enumerate(cells, 1))


def test_coverage_is_the_mean_and_the_worst_ratio_over_all_cells():
    ranked = ranked_cells({"numba_rows": 1e-6, "pivoted": 4e-6}, {"numba_rows": 1e-6, "pivoted": 1e-6})
    coverage = cover(ranked, "pivoted")
    assert (coverage.fastest_in, coverage.cells) == (1, 2)
    assert coverage.mean == pytest.approx(2, rel=0.01)
    assert coverage.worst == pytest.approx(4, rel=0.01)
    assert coverage.worst_cell.batch == 1


def test_a_kernel_that_is_not_ranked_in_a_cell_has_no_coverage():
    ranked = ranked_cells({"numba_rows": 1e-6, "pivoted": 4e-6}, {"numba_rows": 1e-6})
    assert cover(ranked, "pivoted") is None


def test_the_fastest_the_accurate_and_the_kernel_without_numba_are_recommended():
    lines = recommend(
        ranked_cells(
            {"numba_rows": 1e-6, "numba_pivoted": 1.25e-6, "pivoted": 5e-6, "column_loop": 1e-3},
            {"numba_rows": 2e-6, "numba_pivoted": 2.001e-6, "pivoted": 6e-6},
        ),
        FAMILIES,
    )
    assert lines == [
        "Use numba_rows if only time matters. It is fastest or tied in 2 of 2 cells.",
        "Use numba_pivoted if rows may saturate, as the rows of a trained classifier do. Its worst error is 2e-16 in "
        "float64; that of numba_rows is 1e+00 in float64. It is fastest or tied in 1 of 2 cells, and takes 1.12x the "
        "time of the fastest kernel on average, 1.25x at worst (custom 1×5 float64).",
        lines[2],
    ]
    assert lines[2].startswith(
        "Use pivoted if Numba is not available. It is fastest or tied in 0 of 2 cells, and takes"
    )


def test_an_accurate_kernel_that_is_fastest_is_the_only_recommendation():
    lines = recommend(ranked_cells({"numba_rows": 2e-6, "numba_pivoted": 1e-6}), FAMILIES)
    assert lines == ["Use numba_pivoted. It stays accurate on saturated rows, and is the fastest or ties with it."]


def test_the_kernel_of_a_user_gets_a_line():
    lines = recommend(ranked_cells({"numba_pivoted": 1e-6, "mine": 1.5e-6}), FAMILIES)
    assert lines[-1] == "Your kernel mine takes 1.50x the fastest time."


def test_wrong_and_failed_kernels_are_warned_of():
    wrong = build_kernel("mine", [], status="wrong", note="value: off by 3")
    ranked = [rank(build_cell_of(build_kernel("numba_rows", [1e-6] * 20), wrong))]
    assert rejected(ranked) == {"mine": "value: off by 3"}
    assert recommend(ranked, FAMILIES)[-1] == "Do not use mine: value: off by 3."


def test_without_times_in_every_cell_nothing_is_recommended():
    ranked = [rank(build_cell_of(build_kernel("mine", [], status="wrong", note="off")))]
    assert recommend(ranked, {})[0] == "No implementation was timed in every cell."
    assert recommend([], {}) == []
