"""One table from three tools; and what is broken, cut off or hostile costs a line and nothing else."""

import importlib.util
import json
import os
import re
import warnings

import numpy as np
import pandas as pd
import pytest

from softmax_impls.choice.answer import Question
from softmax_impls.choice.choose import choose
from softmax_impls.report.runs import runs
from softmax_impls.results.frame import COLUMNS, load
from tests.scripts import ROOT

COMPARED = ROOT / "docs" / "results" / "results.jsonl"
SECONDS = 1e-4
TIME = "backward.Workload.time_kernel"
PEAK, ERROR = "backward.Memory.peakmem_kernel", "backward.Accuracy.track_error"
PARAMS = [["'numba_rows'", "'pivoted'"], ["'digits'"], ["'float64'"]]
MEASURED = {
    TIME: [[SECONDS, None], PARAMS, [9e-5, None], [1.1e-4, None]],
    PEAK: [[77e6, 78e6], PARAMS],
    ERROR: [[2.0, 3.0], [PARAMS[0], ["'long'"], PARAMS[2]]],
    "calls.Starting.timeraw_import": [[0.1], []],
}


LINE = json.dumps(
    {
        "schema": 1,
        **dict.fromkeys(("note", "accurate_for", "source"), "some text"),
        "workload": "digits",
        "dtype": "float32",
        "implementation": "pivoted",
        "status": "timed",
        "control": False,
        "batch": 128,
        "dim": 10,
        "threads": 1,
        "rows_in_cell": 1,
        "calls_per_sample": 1,
        "temporary_bytes": 0,
        "machine": {"cpu": "a", "cores": 2, "system": "b"},
        "versions": {},
        "errors": {"ordinary": 1e-7},
        "samples": [SECONDS],
        "seconds": SECONDS,
        "first_call_seconds": 0.1,
        "compiler_start_seconds": 0.1,
    }
)


def line(**changes):
    return json.dumps(json.loads(LINE) | changes) + "\n"


HAND_EDITED = [
    ("batch", 10**400),
    ("temporary_bytes", -1),
    ("temporary_bytes", 10**300),
    ("errors", {"ordinary": 10**400}),
    ("errors", []),
    ("versions", ["numpy"]),
    ("versions", {"numpy": ["2"]}),
    ("versions", {"n" * 10**5: "2"}),
    ("machine", {"cpu": "x" * 10**6}),
    ("commit", 12),
    ("commit", "c" * 10**6),
    ("samples", [1e-320]),
    ("samples", [1e300]),
    ("samples", {}),
    ("seconds", 1e300),
    ("control", 1),
    ("dtype", "float16"),
    ("status", "fine"),
    ("first_call_seconds", -1),
    ("implementation", None),
]


def of_asv(**changes):
    told = {
        "version": 2,
        "commit_hash": "c0ffee",
        "python": "3.11",
        "requirements": {"numpy": "2.4.6"},
        "env_vars": {"NUMBA_NUM_THREADS": "2"},
        "result_columns": ["result", "params", "stats_ci_99_a", "stats_ci_99_b", "samples"],
        "results": MEASURED,
    }
    return json.dumps({**told, **changes})


def of_pytest(**changes):
    one = {
        "params": {"workload": "digits", "name": "pivoted"},
        "extra_info": {
            "implementation": "pivoted",
            "batch": 128,
            "dim": 10,
            "dtype": "float32",
            "threads": 1,
            "versions": {"numpy": "2.4.6"},
        },
        "stats": {"data": [SECONDS, 2 * SECONDS, 3 * SECONDS], "median": 2 * SECONDS},
    }
    one["extra_info"] |= changes
    return json.dumps(
        {"machine_info": {"cpu": {"brand_raw": "a cpu"}}, "commit_info": {"id": "f00"}, "benchmarks": [one]}
    )


@pytest.fixture
def write(tmp_path):
    def write(text, name="one.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    return write


def test_what_compare_measured():
    loaded = load([COMPARED])
    assert loaded.problems == []
    assert tuple(loaded.frame.columns) == COLUMNS
    one = loaded.frame.query("implementation == 'numba_simd' and workload == 'gpt2' and dtype == 'float64'").iloc[0]
    assert (one.tool, one.batch, one.dim, one.threads, one.verified) == ("compare", 512, 50257, 1, True)
    assert one.low <= one["median"] <= one.high
    assert one["median"] == np.median(one.samples)
    assert one.error < 1e-15 < loaded.frame.query("implementation == 'numba_rows'").error.min()
    assert not loaded.frame.duplicated(["implementation", "workload", "batch", "dim", "dtype", "threads"]).any()


def test_lines_are_as_compare_writes_them(write):
    loaded = load([write(LINE + "\n", "a.jsonl")])
    assert loaded.problems == []
    assert loaded.frame.implementation.tolist() == ["pivoted"]


def test_what_asv_measured(write):
    frame = load([write(of_asv(), "vm/one.json")]).frame
    assert len(frame) == 1  # the other one is n/a
    one = frame.iloc[0]
    assert (one.tool, one.implementation, one.batch, one.dim) == ("asv", "numba_rows", 128, 10)
    assert (one.threads, one.machine, one.commit, one["median"], one.low) == (2, "vm", "c0ffee", SECONDS, 9e-5)
    assert one.peak_memory == 77e6
    assert one.error == 2.0 * 2.0**-53


def test_what_pytest_benchmark_measured(write):
    one = load([write(of_pytest())]).frame.iloc[0]
    assert (one.tool, one.implementation, one["dtype"], one["median"]) == (
        "pytest-benchmark",
        "pivoted",
        "float32",
        2e-4,
    )
    assert (one.machine, one.commit) == ("a cpu", "f00")


def test_a_folder_is_searched(write):
    write("{}", "vm/machine.json")  # asv's own
    file = write(of_asv(), "vm/one.json")
    loaded = load([file.parents[1]])
    assert (len(loaded.frame), loaded.problems) == (1, [])


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        (LINE[:-20], "a.jsonl", "cut off in its last line"),
        ("", "a.jsonl", "empty"),
        (LINE.replace('"schema": 1', '"schema": 99', 1) + "\n", "a.jsonl", "line 1: .*schema 99"),
        (
            LINE.replace('"threads": 1', '"threads": "one"', 1) + "\n",
            "a.jsonl",
            "line 1: .*threads: expected a size, got 'one'",
        ),
        (LINE.replace('"seconds": ', '"seconds": 1' + "0" * 400 + ", ", 1) + "\n", "a.jsonl", "line 1: "),
        (LINE.replace('"seconds": ', '"seconds": NaN, "was": ', 1) + "\n", "a.jsonl", "line 1: .*NaN is no number"),
        *[(line(**{key: wrong}), "a.jsonl", f"line 1: .*{key}: expected") for key, wrong in HAND_EDITED],
        (line(seconds=None), "a.jsonl", "line 1: .*samples, and no seconds"),
        (line(samples=[], seconds=None), "a.jsonl", "line 1: .*timed, and no samples"),
        (line(visits=[2]), "a.jsonl", "line 1: .*more rounds than there are samples"),
        (line(time="9999-01-01"), "a.jsonl", "expected a time, got '9999-01-01'"),
        (line(time="then"), "a.jsonl", "digits 128×10 float32: expected a time, got 'then'"),
        (line(machine={"cpu": "a"}), "a.jsonl", "digits 128×10 float32: no 'cores'"),
        (line(rows_in_cell=2), "a.jsonl", "digits 128×10 float32: some of its rows are missing"),
        (of_asv()[:-50], "a.json", "char"),
        (of_asv(version=3), "a.json", "version 3, not 2"),
        (of_asv(results={"backward.Grid.time_kernel": [[1.0], PARAMS]}), "a.json", "1 results for 2 cells"),
        (
            of_asv(results={"backward.Workload.time_kernel": [["slow", 1e-5], PARAMS]}),
            "a.json",
            "positive number, got 'slow'",
        ),
        (
            of_asv(results={"backward.Workload.time_kernel": [[-1.0, 1e-5], PARAMS]}),
            "a.json",
            "positive number, got -1.0",
        ),
        (of_asv(env_vars=[]), "a.json", "get"),
        (of_asv(date="x" * 10**6), "a.json", "expected a time, got 'xxx"),
        (of_asv(commit_hash=12), "a.json", "expected a name, got 12"),
        (of_asv(results={TIME: [[1e-320, None], PARAMS]}), "a.json", "time_kernel.*expected a positive number"),
        (of_asv(results={TIME: [[1e-5, None], [["'x'"] * 10**4] * 3]}), "a.json", f"2 results for {10**12} cells"),
        (of_asv(results=MEASURED | {PEAK: [["abc", 1], PARAMS]}), "a.json", "expected a positive number, got 'abc'"),
        (of_asv(results=MEASURED | {ERROR: [[-1.0, 1], PARAMS]}), "a.json", "track_error.*not negative, got -1.0"),
        (of_asv(results={"calls.Starting.timeraw_import": [[0.1], []]}), "a.json", "no times of the backward pass"),
        (of_pytest(versions={"numpy": {}}), "a.json", "benchmark 0: expected a name"),
        (json.dumps({"machine_info": {"cpu": {}}, "benchmarks": []}), "a.json", "no times of the backward pass"),
        (of_pytest().replace(str([SECONDS, 2 * SECONDS, 3 * SECONDS]), "[]"), "a.json", "at least one time, got"),
        (of_pytest(batch="128"), "a.json", "benchmark 0: expected a size, got '128'"),
        (of_pytest(batch=10**30), "a.json", "benchmark 0: expected a size"),
        (of_pytest(dtype="<b>float32</b>"), "a.json", "expected float32 or float64"),
        (of_pytest(implementation="x" * 1000), "a.json", "expected a name"),
        ("[" * 100_000, "a.json", "nested too deeply"),
        ("[1, 2]", "a.json", "neither asv's results nor pytest-benchmark's"),
        ("\x00\xff", "a.json", "char|decode"),
    ],
)
def test_what_is_broken_costs_a_line_that_names_file_and_place(write, text, name, told):
    broken, good = write(text, name), write(of_pytest(), "good.json")
    loaded = load([broken, good])
    assert loaded.frame.implementation.tolist() == ["pivoted"]
    (line,) = loaded.problems
    assert line.startswith(f"{broken}: ")
    assert "\n" not in line
    assert len(line) < 500
    assert re.search(told, line), line


@pytest.mark.parametrize(
    "ends", [(0.0, 1e-4), (-1e-5, 1e-4), (1e-4, 1e-5), (float("-inf"), float("inf")), (None, None)]
)
def test_an_interval_that_is_none_is_not_known(write, ends):
    results = {TIME: [[SECONDS, None], PARAMS, [ends[0], None], [ends[1], None]]}
    one = load([write(of_asv(results=results), "vm/one.json")]).frame.iloc[0]
    assert one["median"] == SECONDS
    assert np.isnan([one.low, one.high]).all()


def test_an_error_of_zero_is_one(write):
    told = of_asv(results=MEASURED | {ERROR: [[0.0, 3.0], [PARAMS[0], ["'long'"], PARAMS[2]]]})
    assert load([write(told, "vm/one.json")]).frame.error.tolist() == [0.0]


def test_what_turned_wrong_after_it_was_timed_is_told_and_not_ranked(write):
    text = line(rows_in_cell=2) + line(rows_in_cell=2, implementation="x", status="wrong", note="off by 3")
    loaded = load([write(text, "a.jsonl")])
    assert loaded.frame.implementation.tolist() == ["pivoted"]
    assert [(row["implementation"], row["note"]) for row in loaded.unranked] == [("x", "off by 3")]


def test_one_of_the_name_limit_is_not_taken_for_the_machines(write):
    rows = [line(rows_in_cell=2, implementation="limit", status=status) for status in ("timed", "limit")]
    assert load([write("".join(rows), "a.jsonl")]).frame.implementation.tolist() == ["limit"]


def test_names_can_not_steer_a_terminal(write):
    name = "a\x1b[31m\r\nb\u202e\ud800"
    loaded = load([write(line(implementation=name, note=name), "a.jsonl"), write(of_pytest(implementation=name))])
    assert set(loaded.frame.implementation) == {"a?[31m??b??"}


def test_without_a_time_it_is_not_known(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load([write(line(), "a.jsonl")])
        assert loaded.frame.time.isna().all()
        assert runs(loaded.frame)[0][0].tool == "compare"
        question = Question(128, 10, "float32")
        assert choose(question, loaded.frame, [], "elsewhere", {}).pick.name == "pivoted"


def test_what_never_ends_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    assert load([tmp_path / "a.json"]).problems == [f"{tmp_path / 'a.json'}: not a file"]


def test_what_is_not_there_is_told(tmp_path):
    assert "No such file" in load([tmp_path / "gone.json"]).problems[0]
    assert load([tmp_path]).problems == [f"{tmp_path}: no results there"]


def test_the_table_can_be_taken_elsewhere(tmp_path):
    loaded = load([COMPARED])
    loaded.to_csv(tmp_path / "all.csv")
    again = pd.read_csv(tmp_path / "all.csv")
    assert tuple(again.columns) == COLUMNS
    assert again["median"].tolist() == loaded.frame["median"].tolist()
    assert json.loads(again.samples[0]) == loaded.frame.samples[0]
    if importlib.util.find_spec("pyarrow"):
        loaded.to_parquet(tmp_path / "all.parquet")
        assert pd.read_parquet(tmp_path / "all.parquet").samples[0].tolist() == loaded.frame.samples[0]
    else:
        with pytest.raises(ImportError, match="pyarrow"):
            loaded.to_parquet(tmp_path / "all.parquet")


def test_margin_limit_and_time_come_along(write):
    frame = load([COMPARED]).frame
    cell = frame[(frame.workload == "imagenet") & (frame.dtype == "float32")]
    assert (cell.limit < cell["median"].min() * 1.2).all()
    assert cell.margin.nunique() == 1
    assert frame.time.dt.year.eq(2026).all()
    assert load([write(of_asv(date=1_700_000_000_000), "vm/one.json")]).frame.time[0].year == 2023
