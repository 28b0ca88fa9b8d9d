"""The answer to a shape: from that very cell, from between cells, or none; within limits, and no surer than it is."""

import math

import numpy as np
import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import INTERPOLATED, MEASURED, OUTSIDE, Question
from softmax_impls.choice.choose import choose
from softmax_impls.results import store
from softmax_impls.results.frame import load

from .test_results import row

HERE = "znver3, 2 cores, Linux x86_64"
THERE = "other, 2 cores, Linux x86_64"
EXACT = {"numba_simd": 2e-7, "numba_rows": 4e5, "closed_form": 4e5, "mine": 1e-7}


def cell_rows(batch, dim, times, cpu="znver3", time="2026-01-01T00:00:00+00:00", **changes):
    rng = np.random.default_rng([batch, dim])
    noise = np.exp(0.002 * rng.standard_normal((len(times) + 1, 20)))
    control = next(iter(times))
    return [
        row(
            name,
            batch,
            dim=dim,
            dtype="float32",
            control=index == len(times),
            rows_in_cell=len(times) + 1,
            samples=[float(times[name] * f) for f in noise[index]],
            errors={"saturated": EXACT[name]},
            machine={"cpu": cpu, "cores": 2, "system": "Linux x86_64"},
            time=time,
            **changes,
        )
        for index, name in enumerate([*times, control])
    ]


@pytest.fixture
def ask(tmp_path):
    """Return a function that keeps cells in files, and asks about them."""

    def ask(files, question):
        for index, cells in enumerate(files):
            for rows in cells:
                store.append(tmp_path / f"{index}.jsonl", rows)
        loaded = load(sorted(tmp_path.glob("*.jsonl")))
        assert not loaded.problems
        return choose(question, loaded.frame, loaded.unranked, HERE, implementations())

    return ask


def law(b, d):
    """Below 1000 classes numba_rows is faster, beyond it numba_simd."""
    return {
        "numba_rows": 1e-9 * b * d * (d / 1000) ** 0.5,
        "numba_simd": 1e-9 * b * d,
        "closed_form": 4e-9 * b * d,
    }


GRID = [cell_rows(b, d, law(b, d)) for b in (1, 16, 256) for d in (16, 64, 256, 4096, 16384)]


def test_from_the_very_cell(ask):
    found = ask([GRID], Question(16, 64, "float32"))
    assert (found.basis, found.pick.name, found.sure) == (MEASURED, "numba_rows", True)
    assert found.pick.seconds == pytest.approx(law(16, 64)["numba_rows"], rel=0.01)
    assert found.pick.low <= found.pick.seconds <= found.pick.high
    second, ratio = found.runner_up
    assert second.name == "numba_simd"
    assert ratio.value == pytest.approx((1000 / 64) ** 0.5, rel=0.02)
    assert found.more_accurate.name == "numba_simd"
    assert list(found.contenders) == ["numba_rows", "numba_simd", "closed_form"]
    assert found.source["here"]


def test_between_cells_it_is_interpolated_and_as_sure_as_that_allows(ask):
    far, near = ask([GRID], Question(50, 20, "float32")), ask([GRID], Question(50, 990, "float32"))
    assert (far.basis, far.pick.name, far.sure) == (INTERPOLATED, "numba_rows", True)
    assert far.pick.seconds == pytest.approx(law(50, 20)["numba_rows"], rel=0.02)
    assert not near.sure
    assert near.pick.name == "numba_simd"  # as fast as can be told, and more accurate
    assert near.source["cells"] == 15


@pytest.mark.parametrize(
    "question",
    [
        Question(257, 64, "float32"),
        Question(16, 15, "float32"),
        Question(16, 64, "float64"),
        Question(16, 64, "float32", 2),
    ],
)
def test_outside_there_is_no_answer(ask, question):
    found = ask([GRID], question)
    assert (found.basis, found.pick, found.contenders, found.sure) == (OUTSIDE, None, {}, False)


def test_limits_rule_out_and_say_so(ask):
    found = ask([GRID], Question(16, 64, "float32", max_error=1e-6))
    assert list(found.contenders) == ["numba_simd"]
    assert found.ruled_out["numba_rows"] == "its worst error is 4e+05, more than 1e-06"
    rows = cell_rows(1, 5, {"numba_rows": 1e-6, "mine": 2e-6})
    rows[0]["temporary_bytes"] = 2_000_000
    found = ask([[rows]], Question(1, 5, "float32", max_memory=1e6))
    assert found.pick.name == "mine"
    assert found.ruled_out == {"numba_rows": "temporaries of 2.0 MB, more than 1.0 MB"}
    nothing = ask([[rows]], Question(1, 5, "float32", max_error=1e-9))
    assert nothing.pick is None
    assert len(nothing.ruled_out) == 2


def test_between_cells_memory_is_that_of_the_shape_and_unknown_is_no(ask):
    cells = [cell_rows(b, 1000, {"closed_form": 1e-6 * b, "mine": 1e-6 * b}) for b in (1, 1000)]
    found = ask([cells], Question(500, 1000, "float32", max_memory=3e6))
    assert found.ruled_out == {
        "closed_form": "temporaries of 4.0 MB, more than 3.0 MB",
        "mine": "temporaries of unknown, more than 3.0 MB",
    }


def test_ties_are_not_sure_and_the_most_accurate_of_them_is_named(ask):
    found = ask(
        [[cell_rows(4, 4, {"numba_rows": 1e-5, "numba_simd": 1.002e-5, "closed_form": 2e-5})]],
        Question(4, 4, "float32"),
    )
    assert not found.sure
    assert found.pick.name == "numba_simd"
    assert found.more_accurate is None


def test_what_was_not_timed_tells_why(ask):
    rows = cell_rows(4, 4, {"numba_simd": 1e-5, "closed_form": 2e-5})
    rows[1] |= {"samples": [], "status": "pruned", "note": "needs 12.9 GB"}
    assert ask([[rows]], Question(4, 4, "float32")).ruled_out == {"closed_form": "pruned: needs 12.9 GB"}


def test_the_newest_run_of_a_cell_counts_and_runs_are_not_mixed(ask):
    older = cell_rows(4, 4, {"numba_rows": 1e-6, "closed_form": 2e-6})
    newer = cell_rows(4, 4, {"numba_simd": 3e-6}, time="2026-02-01T00:00:00+00:00")
    assert list(ask([[newer], [older]], Question(4, 4, "float32")).contenders) == ["numba_simd"]


def test_this_machine_before_others(ask):
    newer = "2026-02-01T00:00:00+00:00"
    cells = [[cell_rows(4, 4, {"numba_rows": 1e-6})], [cell_rows(4, 4, {"numba_simd": 3e-6}, "other", newer)]]
    found = ask(cells, Question(4, 4, "float32"))
    assert (found.pick.name, found.source["here"]) == ("numba_rows", True)
    elsewhere = ask([[cell_rows(9, 9, {"numba_simd": 1e-6}, "other")]], Question(9, 9, "float32"))
    assert (elsewhere.source["machine"], elsewhere.source["here"]) == (THERE, False)


def test_as_json_it_has_no_nan(ask):
    import json

    found = ask([GRID], Question(50, 20, "float32"))
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["use"] == "numba_rows"
    assert told["question"]["max_memory"] is None
    assert told["contenders"]["closed_form"]["times_the_fastest"][0] > 1
    assert math.isinf(found.question.max_memory)
