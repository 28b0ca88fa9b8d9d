"""From raw rows to winners, ties, and a rule in words."""

import numpy as np
import pytest

from softmax_impls.choice import ranking
from softmax_impls.timing.workloads import Cell

from .test_results import row

FAMILIES = {"numba_rows": "numba", "numba_pivoted": "numba", "pivoted": "closed form", "column_loop": "loop"}
EXACT = {"numba_pivoted", "pivoted"}


def cell_rows(batch, seconds, **changes):
    """Rows of a cell in which implementations take these times; None for one that was extrapolated to a second."""
    rng = np.random.default_rng(batch)
    rows = []
    for name, mean in seconds.items():
        samples = [] if mean is None else [float(mean * f) for f in np.exp(0.003 * rng.standard_normal(20))]
        rows.append(
            row(
                name,
                batch,
                samples=samples,
                seconds=mean or 1.0,
                status="timed" if mean else "extrapolated",
                accurate_for="logits" if name in EXACT else "probs",
                errors={"ordinary": 1e-16, "saturated": 2e-16 if name in EXACT else 1.0},
                **changes,
            )
        )
    return rows


def ranked(cells):
    return ranking.rank_all({Cell("test", b, 5, "float64", 1): cell_rows(b, s) for b, s in cells.items()})


def test_winner_speedup_and_bandwidth():
    (one,) = ranked({10: {"numba_rows": 1e-6, "numba_pivoted": 1.5e-6, "column_loop": 1e-4}})
    assert one.winners == ("numba_rows",)
    assert one.times_best("numba_pivoted") == pytest.approx(1.5, rel=0.01)
    assert one.times_best("nobody") == np.inf
    assert one.speedup == (pytest.approx(100), False)
    assert one.gigabytes_per_second == pytest.approx(3 * 50 * 8 / 1e-6 / 1e9)
    assert one.as_dict()["winners"] == ["numba_rows"]


def test_ties_are_ties():
    (one,) = ranked({10: {"numba_rows": 1e-6, "numba_pivoted": 1.005e-6}})
    assert set(one.winners) == {"numba_rows", "numba_pivoted"}


def test_extrapolated_baseline_is_marked_and_not_ranked():
    (one,) = ranked({10: {"numba_rows": 1e-6, "column_loop": None}})
    assert one.speedup == (pytest.approx(1e6), True)
    assert one.winners == ("numba_rows",)
    assert one.as_dict()["implementations"]["column_loop"]["times_the_fastest"] is None


def test_control_is_the_noise_and_not_a_contestant():
    rows = cell_rows(1, {"numba_rows": 1e-6, "numba_pivoted": 1.1e-6})
    twin = row("numba_rows", 1, control=True, samples=[1.3e-6] * 20)
    one = ranking.rank([*rows, twin], Cell("test", 1, 5, "float64", 1))
    assert one.standing.margin == pytest.approx(one.noise, rel=0.02) == pytest.approx(0.3, rel=0.02)
    assert len(one.winners) == 2
    assert set(one.rows) == {"numba_rows", "numba_pivoted"}


def test_wrong_is_never_ranked_and_said():
    rows = cell_rows(1, {"numba_rows": 1e-6})
    rows.append(row("mine", 1, status="wrong", note="value: off by 3", samples=[], seconds=None))
    one = ranking.rank(rows, Cell("test", 1, 5, "float64", 1))
    assert one.winners == ("numba_rows",)
    assert "Don't use mine: value: off by 3." in ranking.rule([one], FAMILIES)


def test_nothing_to_rank():
    one = ranking.rank([row("mine", status="wrong", samples=[], seconds=None)], Cell("test", 1, 5, "float64", 1))
    assert one.winners == ()
    assert one.speedup is None
    assert one.as_dict()["seconds"] is None
    assert ranking.rule([one], {})[0] == "No implementation was timed in every cell."
    assert ranking.rule([], {}) == []


def test_rule_weighs_speed_accuracy_and_doing_without_numba():
    lines = ranking.rule(
        ranked(
            {
                1: {"numba_rows": 1e-6, "numba_pivoted": 1.25e-6, "pivoted": 5e-6, "column_loop": 1e-3},
                2: {"numba_rows": 2e-6, "numba_pivoted": 2.001e-6, "pivoted": 6e-6, "column_loop": None},
            }
        ),
        FAMILIES,
    )
    assert len(lines) == 3
    assert lines[0] == "Use numba_rows when only time counts: fastest or tied in 2 of 2 cells."
    assert lines[1].startswith("Use numba_pivoted when rows may saturate")
    assert "its worst error there is 2e-16 in float64, that of numba_rows 1e+00 in float64" in lines[1]
    assert (
        "fastest or tied in 1 of 2 cells, 1.12x the fastest on average, at worst 1.25x (test 1×5 float64)" in lines[1]
    )
    assert lines[2].startswith("Use pivoted when Numba can't be had")


def test_rule_when_the_fastest_is_exact():
    lines = ranking.rule(ranked({1: {"numba_rows": 2e-6, "numba_pivoted": 1e-6}}), FAMILIES)
    assert lines == ["Use numba_pivoted: right where rows saturate, and the fastest or tied with it."]
