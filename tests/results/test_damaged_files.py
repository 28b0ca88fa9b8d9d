"""A damaged or hostile file, or a file with another name, costs lines, and neither other files nor its good entries."""

import json
import os
import re
import threading

import msgspec
import pytest

from softmax_impls.results import reading
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
    only_run,
    pytest_benchmark,
)

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
    ("kernel_name", "\ud800"),
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
        (asv(version=1), "a.json", "old version of asv .format 1.: convert them with 'asv update'"),
        (json.dumps({"version": 1, "commit_hash": "c0", "results": {}}), "a.json", "convert them with 'asv update'"),
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
        (asv(results={TIME: [[1e-5, 2e-5], PARAMS, "2"]}), "a.json", "earlier edition: measure again with 'asv run'"),
        (asv(results={MEMORY: [["abc", 1], PARAMS]}), "a.json", "peakmem_kernel.*Expected `float`, got `str`"),
        (asv(results={ERROR: [[-1.0, 1], PARAMS]}), "a.json", "track_error.*Expected `float` >= 0"),
        (asv(env_vars=[]), "a.json", r"env_vars: Expected `object`, got `array`"),
        (asv(env_vars={"NUMBA_NUM_THREADS": "0"}), "a.json", "NUMBA_NUM_THREADS: Expected `int` >= 1"),
        (asv(date="x" * 10**6), "a.json", r"date: Expected `float"),
        (asv(commit_hash=12), "a.json", r"commit_hash: Expected `str . null`, got `int`"),
        (json.dumps({"version": 2, "result_columns": []}), "a.json", "missing required field"),
        (pytest_benchmark(versions={"numpy": {1: 2}}), "a.json", "version of numpy: Expected `str`"),
        (json.dumps({"machine_info": {"cpu": {}}, "benchmarks": []}), "a.json", "no times.* must have implementation"),
        (json.dumps({"machine_info": {}, "benchmarks": [3, None, {}]}), "a.json", "benchmark 0"),
        (pytest_benchmark().replace(str([SECONDS, 2 * SECONDS, 3 * SECONDS]), "[]"), "a.json", "length >= 1"),
        (pytest_benchmark(batch="128"), "a.json", "benchmark 0: Expected `int`, got `str`"),
        (pytest_benchmark(batch=10**30), "a.json", "benchmark 0: "),
        (pytest_benchmark(batch=0).replace('{"params"', '{"name": [3], "params"'), "a.json", r"\[3\]: Expected `int`"),
        (pytest_benchmark(implementation="\ud800"), "a.json", "benchmark 0: Expected `str` without control"),
        (pytest_benchmark(dtype="<b>float32</b>"), "a.json", "benchmark 0: Invalid enum value"),
        (pytest_benchmark(implementation="x" * 1000), "a.json", "benchmark 0: Expected `str` of length <= 200"),
        (
            pytest_benchmark(implementation="a\x1b[31m"),
            "a.json",
            "benchmark 0: Expected `str` without control characters",
        ),
        ('{"machine_info": ' + "[" * 100_000, "a.json", "nested too deeply"),
        ("[" * 100_000, "a.json", "results of neither compare, asv nor pytest-benchmark"),
        ("[1, 2]", "a.json", "results of neither compare, asv nor pytest-benchmark"),
        ("\x00\xff", "a.json", "results of neither compare, asv nor pytest-benchmark"),
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
    results = {TIME: [["slow"] * 999 + [1e-5], [names, ["'digits'"], ["'float64'"]], "3"]}
    loaded = load([write(asv(results=results), "vm/a.json")])
    assert [kernel.name for kernel in loaded.runs[0].cells[0].kernels] == ["k999"]
    (problem,) = loaded.problems
    assert problem.endswith("time_kernel(k0, digits, float64) and 998 more: Expected `float`, got `str`")


def test_a_file_without_times_of_the_backward_pass_is_reported(write):
    text = json.dumps(json.loads(asv()) | {"results": {"calls.Starting.timeraw_import": [[0.1], []]}})
    (problem,) = load([write(text)]).problems
    assert "no times of the backward pass: expected backward.Grid.time_kernel" in problem


def test_a_pipe_a_device_and_a_folder_in_a_folder_are_not_read(write, tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    write(line(), "good.jsonl")
    loaded = load([tmp_path])
    assert len(loaded.runs) == 1
    assert loaded.problems == ()
    assert load([tmp_path / "zero.jsonl"]).problems == (f"{tmp_path / 'zero.jsonl'}: not a file",)


def test_a_pipe_that_is_named_is_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[line()])
    writer.start()
    assert only_run(pipe).cells[0].key == cell().key
    writer.join()


@pytest.mark.parametrize("text", [line() + "\n" + line(batch=7), asv(), pytest_benchmark()])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a"])
def test_the_content_of_a_file_decides_and_not_its_name_or_encoding(write, tmp_path, text, encoding, name):
    (expected,) = load([write(text, "results.jsonl")]).runs
    (tmp_path / name).write_text(text.rstrip(), encoding=encoding)
    found = only_run(tmp_path / name)
    assert [cell.kernels for cell in found.cells] == [cell.kernels for cell in expected.cells]


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


def test_problems_that_many_files_have_share_a_line(write, tmp_path):
    results = {TIME: [[None, 1e-5], PARAMS, "3"]}
    for number in range(100):
        write(asv(results=results, commit_hash=f"c{number}"), f"lab/{number:03}.json")
    loaded = load([tmp_path])
    assert len(loaded.runs) == 100
    where = f"{tmp_path}/lab/000.json: backward.Workload.time_kernel(numba_rows, digits, float64)"
    assert loaded.problems == (f"{where} and 99 more in 100 files: failed in asv",)


@pytest.mark.parametrize("cpu", [{}, None, {"brand_raw": None}, {"brand_raw": ""}, 3])
def test_a_processor_without_a_name_costs_no_times(write, cpu):
    text = json.dumps(json.loads(pytest_benchmark()) | {"machine_info": {"node": "lab", "cpu": cpu}})
    (run,) = load([write(text)]).runs
    assert run.place == "unknown processor (lab)"
    (run,) = load([write(asv(params={"cpu": cpu}), "vm/a.json")]).runs
    assert run.place == "unknown processor (vm)"


def places(content, place=()):
    """Yield the place of every value in JSON."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from places(value, (*place, key))


def replaced(content, place, value):
    key, *rest = place
    changed = dict(content) if isinstance(content, dict) else list(content)
    changed[key] = replaced(content[key], rest, value) if rest else value
    return changed


GRID = "backward.Grid.time_kernel"
GRID_PARAMS = [["'a'", "'b'"], ["16"], ["256"], ["'float32'"]]
REQUIRED_OF_A_CELL = ("workload", "batch", "dim", "dtype", "threads", "environment", "blocks", "tool", "seed", "time")
WHOLE = {  # what a file needs: without it, nothing can be read
    "asv": [("version",), ("results",), ("result_columns",), ("result_columns", 0), ("result_columns", 1)],
    "pytest-benchmark": [("benchmarks",)],
    "compare": [("schema",), ("kernels",)],
}


def three_good_kernels():
    """For each tool, a file with kernels "a", "b" and "c"; and how many of them a bad entry may cost."""
    grid = [[1e-5, 2e-5], GRID_PARAMS, "3", [9e-6, 1e-5], [2e-5, 3e-5], [[1e-5], [2e-5, 2.1e-5]], 1_700_000_000_000]
    workload = [[1e-5], [["'c'"], ["'digits'"], ["'float64'"]], "3"]
    yield "asv", json.loads(asv(results={GRID: grid, TIME: workload})), 2
    content = json.loads(pytest_benchmark())
    content["benchmarks"] = [json.loads(pytest_benchmark(implementation=name))["benchmarks"][0] for name in "abc"]
    yield "pytest-benchmark", content, 1
    yield "compare", json.loads(msgspec.json.encode(cell(kernels=tuple(kernel(name) for name in "abc")))), 1


@pytest.mark.parametrize("bad", [None, 0, -1, "x", "\x1b", [], {}, {"x": None}, 1e999], ids=repr)
@pytest.mark.parametrize(("tool", "content", "cost"), list(three_good_kernels()), ids=WHOLE)
def test_any_bad_value_costs_only_the_benchmark_that_it_is_in(write, tool, content, cost, bad):
    for place in places(content):
        needed = place in WHOLE[tool] or (tool == "compare" and place[0] in REQUIRED_OF_A_CELL)
        loaded = load([write(json.dumps(replaced(content, place, bad)))])
        found = {kernel.name for run in loaded.runs for cell in run.cells for kernel in cell.kernels}
        assert needed or len({"a", "b", "c"} & found) >= 3 - cost, (place, loaded.problems)
        assert len(loaded.problems) <= 3
        if len(found) < 3 and not ("extra_info" in place or isinstance(bad, dict)):  # it is of another project
            assert loaded.problems, place
