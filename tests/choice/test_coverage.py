"""The recommendation weighs time, accuracy and doing without a compiler."""

import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.coverage import cover, recommend, rejected
from softmax_impls.choice.ranking import rank, rank_all

from .builders import HERE, build_cell, build_cell_of, build_kernel, build_run

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


def test_one_accurate_implementation_is_recommended_and_one_without_numba():
    lines = recommend(
        ranked_cells(
            {"numba_rows": 1e-6, "numba_pivoted": 1.25e-6, "pivoted": 5e-6, "column_loop": 1e-3},
            {"numba_rows": 2e-6, "numba_pivoted": 2.001e-6, "pivoted": 6e-6},
        ),
        FAMILIES,
    )
    assert lines == [
        "Use numba_pivoted. It stays accurate on saturated rows. "
        "Among implementations that do, it is fastest or tied in 2 of 2 cells.",
        lines[1],
        "numba_rows takes 0.89x the time of numba_pivoted, but loses saturated rows.",
    ]
    assert lines[1].startswith(
        "Use pivoted if Numba is not available. It is fastest or tied in 0 of 2 cells, and takes"
    )


def test_among_implementations_that_tie_the_default_call_is_recommended():
    cells = ranked_cells({"numba_pivoted": 1e-6, "numba_simd": 1.004e-6}, {"numba_pivoted": 1e-6, "numba_simd": 1e-6})
    assert recommend(cells, FAMILIES)[0] == (
        "Use numba_simd, which the default call uses. It stays accurate on saturated rows. "
        "It is fastest or tied in 2 of 2 cells."
    )


@pytest.mark.parametrize("spread", [0.002, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_for_one_cell_choose_recommends_the_same(seed, spread):
    times = {"numba_rows": 0.5e-6, "numba_pivoted": 1e-6, "numba_simd": 1.01e-6, "pivoted": 1.02e-6}
    cell = build_cell(seed + 1, 5, times, spread=spread)
    chosen = choose(Question(seed + 1, 5, "float32"), [build_run(cell)], HERE, implementations()).pick.name
    assert recommend([rank(cell)], FAMILIES)[0].removeprefix("Use ").startswith((f"{chosen}.", f"{chosen},"))


def test_an_implementation_that_loses_saturated_rows_is_never_recommended():
    lines = recommend(ranked_cells({"numba_rows": 1e-6, "column_loop": 2e-6}), FAMILIES)
    assert lines == ["No implementation that stays accurate on saturated rows was timed in every cell."]


def test_a_faster_kernel_of_the_user_is_mentioned_but_not_recommended_without_its_accuracy():
    lines = recommend(ranked_cells({"numba_pivoted": 2e-6, "mine": 1e-6}), FAMILIES)
    assert lines[0].startswith("Use numba_pivoted.")
    assert lines[1:] == [
        "mine takes 0.50x the time of numba_pivoted, but does not state accurate_for='logits'.",
        "Your kernel mine is the fastest or ties with it.",
    ]


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
    assert (
        recommend(ranked, {})[0] == "No implementation that stays accurate on saturated rows was timed in every cell."
    )
    assert recommend([], {}) == []
