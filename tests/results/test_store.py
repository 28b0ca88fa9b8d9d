"""Results on disk: whole cells, whatever happens to the process or the file."""

import json

import pytest

from softmax_impls.results import store
from softmax_impls.timing.workloads import Cell

SOURCES = {"a": "abc", "b": "abc"}


def row(implementation="a", batch=1, **changes):
    return {
        "schema": 1,
        "workload": "test",
        "batch": batch,
        "dim": 5,
        "dtype": "float64",
        "threads": 1,
        "rows_in_cell": 2,
        "implementation": implementation,
        "control": False,
        "status": "timed",
        "note": "",
        "seconds": 1e-6,
        "samples": [1e-6, 1.1e-6],
        "calls_per_sample": 10,
        "discrepancy": 0.1,
        "temporary_bytes": 0,
        "accurate_for": "probs",
        "errors": {"ordinary": 1e-16, "saturated": 1.0, "hostile": None},
        "source": "abc",
        "seed": 0,
        "first_call_seconds": 0.1,
        "compiler_start_seconds": 0.3,
        "machine": {"cpu": "x"},
        "versions": {"numpy": "2"},
        **changes,
    }


def cell(batch=1):
    return Cell("test", batch, 5, "float64", 1)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "results.jsonl"
    store.append(path, [row("a"), row("b")])
    store.append(path, [row("a", 2), row("b", 2)])
    return path


def test_round_trip(path):
    found = store.read(path)
    assert list(found) == [cell(1), cell(2)]
    assert found[cell(2)] == [row("a", 2), row("b", 2)]


@pytest.mark.parametrize("cut", [1, 50, 300, 700])
def test_cut_off_anywhere_only_the_last_cell_is_lost(path, cut):
    text = path.read_text()
    path.write_text(text[: len(text) - cut])
    assert list(store.read(path)) == [cell(1)]


def test_of_a_cell_kept_twice_the_last_whole_one_counts_and_none_is_put_together_from_two(path):
    more = [row(name, rows_in_cell=3, seconds=2e-6) for name in "abc"]
    store.append(path, more)
    assert store.read(path)[cell(1)] == more
    store.append(path, [row("a", seconds=3e-6)])  # and then the process died
    assert store.read(path)[cell(1)] == more
    store.append(path, [row("a", seconds=4e-6), row("b", seconds=4e-6)])
    assert [one["seconds"] for one in store.read(path)[cell(1)]] == [4e-6, 4e-6]


def test_continuing_after_a_cut_leaves_a_clean_file(path):
    whole = path.read_text()
    path.write_text(whole[:-30])
    done = store.continued(path, row(), SOURCES)
    store.write(path, done.values())
    store.append(path, [row("a", 2), row("b", 2)])
    assert path.read_text() == whole


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        "3",
        "{}",
        json.dumps(row(schema=99)),
        json.dumps(row(samples="fast")),
        json.dumps(row(samples=[-1.0])),
        json.dumps(row(seconds="soon")),
        json.dumps(row(seconds=0)),
        json.dumps(row(seconds=float("nan"))),
        json.dumps(row(samples=[float("inf")])),
        json.dumps(row(samples=[10**400])),
        json.dumps(row(errors={"ordinary": "small"})),
        json.dumps(row(status="junk")),
        json.dumps(row(batch=None)),
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_row_is_named(path, line):
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first, line, *rest]) + "\n")
    with pytest.raises(store.ResultsError, match=r"results.jsonl, line 2: not a row of store"):
        store.read(path)


def test_cut_inside_a_character(path):
    path.write_bytes(path.read_bytes() + '{"note": "×'.encode()[:-1])
    assert len(store.read(path)) == 2


def test_a_cell_kept_twice_counts_once(path):
    store.append(path, [row("a", 2, note="later"), row("b", 2)])
    assert store.read(path)[cell(2)][0]["note"] == "later"


def test_missing_file(tmp_path):
    assert store.continued(tmp_path / "none.jsonl", row(), SOURCES) == {}
    with pytest.raises(store.ResultsError, match=r"none\.jsonl"):
        store.read(tmp_path / "none.jsonl")


def test_results_made_otherwise_are_not_continued(path):
    with pytest.raises(store.ResultsError, match="made with another versions: numpy 2, now 3"):
        store.continued(path, row(versions={"numpy": "3"}), SOURCES)
    with pytest.raises(store.ResultsError, match="made with another machine: cpu x, now y"):
        store.continued(path, row(machine={"cpu": "y"}), SOURCES)
    with pytest.raises(store.ResultsError, match="made with another seed: 0, now 1"):
        store.continued(path, row(seed=1), SOURCES)
    with pytest.raises(store.ResultsError, match=r"made with other implementations, .*: c None, now abc"):
        store.continued(path, row(), {**SOURCES, "c": "abc"})
    with pytest.raises(store.ResultsError, match=r"made with other implementations, .*: b abc, now abd"):
        store.continued(path, row(), {**SOURCES, "b": "abd"})


def test_results_without_a_seed_can_be_read_and_not_continued(path):
    path.write_text("".join(json.dumps({k: v for k, v in row(name).items() if k != "seed"}) + "\n" for name in "ab"))
    assert list(store.read(path)) == [cell(1)]
    with pytest.raises(store.ResultsError, match="made with another seed: None, now 0"):
        store.continued(path, row(), SOURCES)


def test_nan_is_never_written(path):
    before = path.read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.append(path, [row(seconds=float("nan"))])
    assert path.read_text() == before
