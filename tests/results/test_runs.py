"""Results of three tools become runs; a file that is damaged or hostile costs lines, not the other files."""

import datetime
import json
import os
import re

import msgspec
import pytest

from softmax_impls.results import reading, store
from softmax_impls.results.runs import load
from tests.results.examples import (
    ERROR,
    MEMORY,
    NAN,
    PARAMS,
    SECONDS,
    TIME,
    asv,
    cell,
    kernel,
    line,
    pytest_benchmark,
)
from tests.tools.scripts import ROOT

COMPARED = ROOT / "measurements" / "results.jsonl"
HAND_EDITED = [
    ("batch", 10**400),
    ("batch", "128"),
    ("kernel_temporary_bytes", -1),
    ("kernel_temporary_bytes", 10**300),
    ("kernel_errors", {"ordinary": 10**400}),
    ("kernel_errors", []),
    ("kernel_samples", [1e-320]),
    ("kernel_samples", [1e300]),
    ("kernel_samples", {}),
    ("kernel_seconds", 1e300),
    ("kernel_verified", 1),
    ("kernel_status", "fine"),
    ("kernel_first_call_seconds", -1),
    ("kernel_name", None),
    ("kernel_name", ""),
    ("kernel_name", "a\x1b[31m\r\n"),
    ("kernel_name", "a\u202eb"),
    ("kernel_note", "\x00"),
    ("environment", {"machine": "x" * 10**6}),
    ("environment", {"machine": "a", "versions": ["numpy"]}),
    ("environment", {"machine": "a", "versions": {"numpy": ["2"]}}),
    ("environment", {"machine": "a", "versions": {"n" * 10**5: "2"}}),
    ("environment", {"machine": "a", "commit": 12}),
    ("environment", {"machine": "a", "commit": "c" * 10**6}),
    ("environment", {}),
    ("dtype", "float16"),
    ("dtype", "<b>" * 10**5),
    ("threads", "two"),
    ("kernels", []),
    ("time", "then"),
    ("time", "2026-01-01T00:00:00"),
]


@pytest.fixture
def write(tmp_path):
    def write(text, name="results.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    return write


def only_run(*files):
    loaded = load(files)
    assert loaded.problems == ()
    (run,) = loaded.runs
    return run


def test_results_of_compare_are_read(write):
    run = only_run(write(line(), "a.jsonl"))
    assert (run.tool, run.machine, run.commit) == ("compare", "a cpu, 2 cores", "c0ffee")
    assert run.title == "a cpu, 2 cores · c0ffee · compare"
    assert [msgspec.structs.replace(found, file="") for found in run.cells] == [cell()]
    assert run.cells[0].file.endswith("a.jsonl")


def test_kept_results_are_read():
    loaded = load([COMPARED])
    assert loaded.problems == ()
    assert loaded.notes == ()
    kernels = {kernel.name: kernel for run in loaded.runs for found in run.cells for kernel in found.kernels}
    assert kernels["numba_simd"].ranked


def test_results_of_asv_are_read(write):
    run = only_run(write(asv(date=1_700_000_000_000), "vm/a.json"))
    assert (run.tool, run.machine, run.commit) == ("asv", "vm", "c0ffee")
    assert run.time.year == 2023
    (found,) = run.cells
    assert (found.workload, found.batch, found.dim, found.dtype, found.threads) == ("digits", 128, 10, "float64", 2)
    assert found.environment.versions == {"python": "3.11", "numpy": "2.4.6"}
    (result,) = found.kernels  # the other was skipped
    assert (result.name, result.seconds, result.interval) == ("numba_rows", SECONDS, (9e-5, 1.1e-4))
    assert result.peak_memory_bytes == 77_000_000
    assert result.errors == {"long": 2.0 * 2.0**-53}


def test_kernels_of_the_same_cell_are_together(write):
    times = [[1e-4, 2e-4], PARAMS, "2", None, None, [[1e-4, 1.1e-4], [2e-4]]]
    (found,) = only_run(write(asv(results={TIME: times}), "vm/a.json")).cells
    assert {result.name: result.samples for result in found.kernels} == {
        "numba_rows": (1e-4, 1.1e-4),
        "pivoted": (2e-4,),
    }


def test_results_of_the_grid_of_asv_are_read(write):
    params = [["'pivoted'"], ["16"], ["256"], ["'float32'"]]
    results = {
        TIME: [[NAN], [["'pivoted'"], ["'digits'"], ["'float32'"]]],
        "backward.Grid.time_kernel": [[1e-5], params],
    }
    (found,) = only_run(write(asv(results=results, env_vars={}))).cells
    assert (found.workload, found.batch, found.dim, found.threads) == ("grid", 16, 256, 1)


@pytest.mark.parametrize(("version", "verified"), [("1", True), ("2", True), ("3", False), ("", False)])
def test_results_of_asv_are_verified_if_their_benchmark_verifies(write, version, verified):
    results = {TIME: [[SECONDS, NAN], PARAMS, version]}
    assert only_run(write(asv(results=results))).cells[0].kernels[0].verified is verified


@pytest.mark.parametrize(
    "ends", [(0.0, 1e-4), (-1e-5, 1e-4), (1e-4, 1e-5), (float("-inf"), float("inf")), (None, 1e-4)]
)
def test_an_interval_of_asv_that_is_none_is_left_out(write, ends):
    results = {TIME: [[SECONDS, NAN], PARAMS, "2", [ends[0], None], [ends[1], None]]}
    result = only_run(write(asv(results=results))).cells[0].kernels[0]
    assert result.seconds == SECONDS
    assert result.interval is None


def test_results_of_pytest_benchmark_are_read(write):
    run = only_run(write(pytest_benchmark()))
    assert (run.tool, run.machine, run.commit) == ("pytest-benchmark", "a cpu", "f00")
    assert run.time == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    (found,) = run.cells
    assert (found.workload, found.batch, found.dim, found.dtype, found.threads) == ("digits", 128, 10, "float32", 1)
    (result,) = found.kernels
    assert (result.name, result.seconds, len(result.samples), result.verified) == ("pivoted", 2 * SECONDS, 3, True)


def test_results_of_pytest_benchmark_are_verified_if_they_say_so(write):
    assert not only_run(write(pytest_benchmark(verified=False))).cells[0].kernels[0].verified


def test_uncommitted_changes_are_part_of_the_commit(write):
    assert only_run(write(pytest_benchmark({"id": "f00", "dirty": True}))).commit == "f00+changes"


def test_a_folder_is_searched_for_results(write):
    write("{}", "vm/machine.json")  # asv's own
    write(line(), "vm/a.jsonl")
    file = write(asv(), "vm/a.json")
    loaded = load([file.parents[1], file])
    assert loaded.problems == ()
    assert sorted(run.tool for run in loaded.runs) == ["asv", "compare"]
    assert loaded.notes == ()  # the file that was named twice is read once


def test_a_folder_of_many_files_is_one_run(write):
    for number in range(1, 201):
        file = write(line(batch=number), f"{number}.jsonl")
    assert len(only_run(file.parent).cells) == 200


def test_of_a_cell_that_was_measured_again_the_newest_record_counts(write):
    newer = write(line(time="2026-02-01T00:00:00Z", kernel_note="newer"), "a.jsonl")
    older = write(line(time="2026-01-01T00:00:00Z", kernel_note="older"), "b.jsonl")
    undated = write(line(kernel_note="undated"), "c.jsonl")
    loaded = load([newer, older, undated])
    assert [found.kernels[0].note for run in loaded.runs for found in run.cells] == ["newer"]
    assert loaded.notes == ("2 older records of cells that were measured again left out",)


def test_runs_are_split_by_machine_commit_and_tool_and_the_newest_is_first(write):
    def environment(machine, commit):
        return {"machine": machine, "versions": {}, "commit": commit}

    texts = [
        line(environment=environment("a", "c0")),
        line(environment=environment("a", "c1"), time="2026-01-01T00:00:00Z"),
        line(environment=environment("b", "c1"), time="2026-03-01T00:00:00Z"),
    ]
    files = [write(text, f"{number}.jsonl") for number, text in enumerate(texts)]
    loaded = load([*files, write(pytest_benchmark())])
    assert [(run.machine, run.commit) for run in loaded.runs] == [
        ("b", "c1"),
        ("a cpu", "f00"),
        ("a", "c1"),
        ("a", "c0"),
    ]


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (line()[:-20], "a.jsonl", "line 1: cut off"),
        ("", "a.jsonl", "empty"),
        *[(line(**{key: wrong}), "a.jsonl", "line 1: ") for key, wrong in HAND_EDITED],
        (line(kernel_seconds=None), "a.jsonl", "samples without seconds"),
        (line(kernel_samples=[]), "a.jsonl", "status 'timed' without samples"),
        (line(blocks=[3]), "a.jsonl", "more rounds in blocks than samples"),
        (line(time="9999-01-01T00:00:00Z"), "a.jsonl", "digits 128×10 float32: expected a year from 1970 to 2199"),
        (asv()[:-50], "a.json", "char|delimiter"),
        (asv(version=3), "a.json", "format 3; format 2 is supported"),
        (asv(result_columns="result"), "a.json", r"Expected `array`.*result_columns"),
        (asv(results={"backward.Grid.time_kernel": [[1.0], PARAMS]}), "a.json", "1 results for 2 combinations"),
        (asv(results={TIME: [["slow", 1e-5], PARAMS]}), "a.json", r"digits, float64\): Expected `float`, got `str`"),
        (asv(results={TIME: [[-1.0, 1e-5], PARAMS]}), "a.json", "Expected `float` >= 1e-12"),
        (asv(results={TIME: [[1e-320, NAN], PARAMS]}), "a.json", "Expected `float` >= 1e-12"),
        (asv(results={TIME: [[10**400, NAN], PARAMS]}), "a.json", "out of range|Expected `float`"),
        (
            asv(results={TIME: [[None, 1e-5], PARAMS]}),
            "a.json",
            r"time_kernel\(numba_rows, digits, float64\): failed in asv",
        ),
        (asv(results={TIME: None}), "a.json", "time_kernel: failed in asv"),
        (asv(results={TIME: [None, PARAMS]}), "a.json", "time_kernel: failed in asv"),
        (asv(results={TIME: 3}), "a.json", "time_kernel: expected a list of columns"),
        (asv(results={TIME: [[1e-5, NAN], [["'x'"] * 10**4] * 3]}), "a.json", f"2 results for {10**12} combinations"),
        (asv(results={TIME: [[1e-5], [["'x'"], ["'nowhere'"], ["'float32'"]]]}), "a.json", "unknown workload"),
        (
            asv(results={TIME: [[1e-5], [["'\x1b[31m'"], ["'digits'"], ["'float32'"]]]}),
            "a.json",
            "`str` without control",
        ),
        (asv(results={MEMORY: [["abc", 1], PARAMS]}), "a.json", "peakmem_kernel.*Expected `float`, got `str`"),
        (asv(results={ERROR: [[-1.0, 1], PARAMS]}), "a.json", "track_error.*Expected `float` >= 0"),
        (asv(env_vars=[]), "a.json", r"Expected `object`.*env_vars"),
        (asv(env_vars={"NUMBA_NUM_THREADS": "0"}), "a.json", "Expected `int` >= 1"),
        (asv(date="x" * 10**6), "a.json", r"Expected `float.*date"),
        (asv(commit_hash=12), "a.json", r"Expected `str`, got `int` - at `\$.commit_hash`"),
        (json.dumps({"version": 2, "result_columns": []}), "a.json", "missing required field"),
        (pytest_benchmark(versions={"numpy": {}}), "a.json", "benchmark 0: Expected `str`"),
        (json.dumps({"machine_info": {"cpu": {}}, "benchmarks": []}), "a.json", "no times of the backward pass"),
        (json.dumps({"machine_info": {}, "benchmarks": [3, None, {}]}), "a.json", "benchmark 0"),
        (pytest_benchmark().replace(str([SECONDS, 2 * SECONDS, 3 * SECONDS]), "[]"), "a.json", "length >= 1"),
        (pytest_benchmark(batch="128"), "a.json", "benchmark 0: Expected `int`, got `str`"),
        (pytest_benchmark(batch=10**30), "a.json", "benchmark 0: "),
        (pytest_benchmark(dtype="<b>float32</b>"), "a.json", "benchmark 0: Invalid enum value"),
        (pytest_benchmark(implementation="x" * 1000), "a.json", "benchmark 0: Expected `str` of length <= 200"),
        (
            pytest_benchmark(implementation="a\x1b[31m"),
            "a.json",
            "benchmark 0: Expected `str` without control characters",
        ),
        ('{"machine_info": ' + "[" * 100_000, "a.json", "nested too deeply"),
        ("[" * 100_000, "a.json", "neither results of asv nor of pytest-benchmark"),
        ("[1, 2]", "a.json", "neither results of asv nor of pytest-benchmark"),
        ("\x00\xff", "a.json", "neither results of asv nor of pytest-benchmark"),
        ('{"result_columns": \x00}', "a.json", "char"),
    ],
)
def test_a_damaged_or_hostile_file_costs_short_printable_lines(write, text, name, problem):
    bad, good = write(text, name), write(pytest_benchmark(), "good.json")
    loaded = load([bad, good])
    assert "pytest-benchmark" in [run.tool for run in loaded.runs]
    assert 1 <= len(loaded.problems) <= 3
    for shown in loaded.problems:
        assert shown.startswith(f"{bad}: ")
        assert shown.isprintable()
        assert len(shown) < 700
    assert re.search(problem, loaded.problems[0]), loaded.problems


def test_a_bad_benchmark_costs_itself_and_alike_problems_share_a_line(write):
    names = [f"'k{number}'" for number in range(1000)]
    results = {TIME: [["slow"] * 999 + [1e-5], [names, ["'digits'"], ["'float64'"]], "2"]}
    loaded = load([write(asv(results=results), "vm/a.json")])
    assert [kernel.name for kernel in loaded.runs[0].cells[0].kernels] == ["k999"]
    (problem,) = loaded.problems
    assert problem.endswith("time_kernel(k0, digits, float64) and 998 more: Expected `float`, got `str`")


def test_a_file_without_times_of_the_backward_pass_is_reported(write):
    text = json.dumps(json.loads(asv()) | {"results": {"calls.Starting.timeraw_import": [[0.1], []]}})
    (problem,) = load([write(text)]).problems
    assert problem.endswith("no times of the backward pass")


def test_a_pipe_a_device_and_a_folder_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    problems = load([tmp_path]).problems
    assert problems == tuple(f"{tmp_path / name}: not a file" for name in ("folder.json", "pipe.json", "zero.jsonl"))


def test_a_huge_file_is_not_read(tmp_path):
    file = tmp_path / "huge.jsonl"
    with file.open("wb") as stream:
        stream.truncate(reading.MAX_FILE_BYTES + 1)
    assert load([file]).problems == (f"{file}: larger than 500 MB",)


def test_a_missing_path_and_an_empty_folder_are_reported(tmp_path):
    assert load([tmp_path / "gone.json", tmp_path]).problems == (
        f"{tmp_path / 'gone.json'}: No such file or directory",
        f"{tmp_path}: no results there",
    )


def test_names_of_files_cannot_steer_a_terminal(write):
    loaded = load([write(line(batch=0) + line(), "a\x1b[31m\n.jsonl")])
    assert loaded.problems[0].isprintable()
    assert loaded.runs[0].cells[0].file.isprintable()


def test_kernels_that_were_not_timed_are_kept_with_the_reason(write, tmp_path):
    wrong = kernel("x", status="wrong", verified=False, samples=(), seconds=None, note="off by 3")
    store.write(tmp_path / "a.jsonl", [cell(kernels=(kernel(), wrong))])
    (found,) = only_run(tmp_path / "a.jsonl").cells
    assert [(result.name, result.note) for result in found.kernels if not result.ranked] == [("x", "off by 3")]
