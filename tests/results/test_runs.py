"""Results of three tools become runs."""

import datetime
import json
import subprocess

import msgspec
import pytest

from softmax_impls.results import asv as asv_results
from softmax_impls.results import store
from softmax_impls.results.runs import load
from softmax_impls.timing import environment
from tests.results.examples import (
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
from tests.tools.scripts import ROOT

COMPARED = ROOT / "measurements" / "results.jsonl"


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
    assert (run.tool, run.machine, run.host, run.commit) == ("asv", "a cpu, 2 cores, Linux x86_64", "lab", "c0ffee")
    assert run.time.year == 2023
    (found,) = run.cells
    assert (found.workload, found.batch, found.dim, found.dtype, found.threads) == ("digits", 128, 10, "float64", 2)
    assert found.environment.versions == {"python": "3.11", "numpy": "2.4.6"}
    (result,) = found.kernels  # the other was skipped
    assert (result.name, result.seconds, result.interval) == ("numba_rows", SECONDS, (9e-5, 1.1e-4))
    assert result.peak_memory_bytes == 77_000_000
    assert result.errors == {"long": 2.0 * 2.0**-53}


def test_kernels_of_the_same_cell_are_together(write):
    times = [[1e-4, 2e-4], PARAMS, "3", None, None, [[1e-4, 1.1e-4], [2e-4]]]
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


def test_results_of_asv_on_other_axes_are_read(write):
    params = [["'pivoted'"], ["'channels'"], ["'float32'"]]
    results = {TIME: [[NAN], params], "backward.OtherAxes.time_call": [[1e-5], params]}
    (found,) = only_run(write(asv(results=results))).cells
    assert str(found.key) == "channels 64×10×100 axis=1 float32, 2 threads"


@pytest.mark.parametrize(("version", "verified"), [("3", True), ("4", False), ("", False)])
def test_results_of_asv_are_verified_if_their_benchmark_verifies(write, version, verified):
    assert f'version = "{asv_results.VERSION}"' in (ROOT / "benchmarks" / "backward.py").read_text()
    results = {TIME: [[SECONDS, NAN], PARAMS, version]}
    assert only_run(write(asv(results=results))).cells[0].kernels[0].verified is verified


@pytest.mark.parametrize(
    "ends", [(0.0, 1e-4), (-1e-5, 1e-4), (1e-4, 1e-5), (float("-inf"), float("inf")), (None, 1e-4)]
)
def test_an_interval_of_asv_that_is_none_is_left_out(write, ends):
    results = {TIME: [[SECONDS, NAN], PARAMS, "3", [ends[0], None], [ends[1], None]]}
    result = only_run(write(asv(results=results))).cells[0].kernels[0]
    assert result.seconds == SECONDS
    assert result.interval is None


def test_results_of_pytest_benchmark_are_read(write):
    run = only_run(write(pytest_benchmark()))
    assert (run.tool, run.commit) == ("pytest-benchmark", "f00")
    assert run.place == "a cpu, 2 cores, Linux x86_64 (lab)"
    assert run.time == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    (found,) = run.cells
    assert (found.workload, found.batch, found.dim, found.dtype, found.threads) == ("digits", 128, 10, "float32", 1)
    (result,) = found.kernels
    assert (result.name, result.seconds, len(result.samples), result.verified) == ("pivoted", 2 * SECONDS, 3, True)


def test_results_of_pytest_benchmark_are_verified_if_they_say_so(write):
    assert not only_run(write(pytest_benchmark(verified=False))).cells[0].kernels[0].verified


def test_uncommitted_changes_are_part_of_the_commit(write):
    assert only_run(write(pytest_benchmark({"id": "f00", "dirty": True}))).commit == "f00+changes"


def test_a_folder_without_version_control_has_no_commit(write):
    assert only_run(write(pytest_benchmark({"id": "unversioned"}))).commit == ""


def test_a_benchmark_that_names_no_workload_has_a_custom_shape(write):
    content = json.loads(pytest_benchmark())
    del content["benchmarks"][0]["params"]["workload"]
    (found,) = only_run(write(json.dumps(content))).cells
    assert (found.workload, found.batch, found.dim) == ("custom", 128, 10)


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
    (run,) = loaded.runs
    (found,) = run.cells
    assert found.kernels[0].note == "newer"
    assert [[cell.kernels[0].note for cell in cells] for cells in run.earlier.values()] == [["older", "undated"]]
    assert list(run.earlier) == [found.key]
    assert loaded.notes == ("2 older records of cells that were measured again left out",)


def test_runs_are_split_by_machine_commit_and_tool_in_the_order_of_paths_and_of_a_path_by_age(write):
    def environment(machine, commit):
        return {"machine": machine, "versions": {}, "commit": commit}

    texts = [
        line(environment=environment("a", "c0")),
        line(environment=environment("a", "c1"), time="2026-01-01T00:00:00Z"),
        line(environment=environment("b", "c1"), time="2026-03-01T00:00:00Z"),
    ]
    files = [write(text, f"{number}.jsonl") for number, text in enumerate(texts)]
    loaded = load([write(pytest_benchmark()).parent])
    assert [(run.machine, run.commit) for run in load(files).runs] == [("a", "c0"), ("a", "c1"), ("b", "c1")]
    assert [(run.machine, run.commit) for run in loaded.runs] == [
        ("b", "c1"),
        ("a cpu, 2 cores, Linux x86_64", "f00"),
        ("a", "c1"),
        ("a", "c0"),
    ]


def test_kernels_that_were_not_timed_are_kept_with_the_reason(write, tmp_path):
    wrong = kernel("x", status="wrong", verified=False, samples=(), seconds=None, note="off by 3")
    store.write(tmp_path / "a.jsonl", [cell(kernels=(kernel(), wrong))])
    (found,) = only_run(tmp_path / "a.jsonl").cells
    assert [(result.name, result.note) for result in found.kernels if not result.ranked] == [("x", "off by 3")]


def test_two_hosts_with_one_processor_are_two_runs(write):
    environment = {"machine": "a cpu, 2 cores", "commit": "c0"}
    files = [write(line(environment=environment | {"host": host}), f"{host}.jsonl") for host in ("x", "y")]
    loaded = load(files)
    assert sorted(run.place for run in loaded.runs) == ["a cpu, 2 cores (x)", "a cpu, 2 cores (y)"]
    assert loaded.notes == ()


def test_files_of_every_tool_name_this_machine_alike(write, monkeypatch):
    monkeypatch.setattr(environment, "_processor", lambda: "a cpu")
    monkeypatch.setattr(environment.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(environment.platform, "system", lambda: "Linux")
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(environment.platform, "node", lambda: "lab")
    here = environment.environment().machine
    loaded = load([write(asv(), "a.json"), write(pytest_benchmark(), "b.json")])
    assert [run.machine for run in loaded.runs] == [here, here]
    (elsewhere,) = load([write(asv(params={"machine": "other", "cpu": "a cpu", "num_cpu": "2"}))]).runs
    assert elsewhere.place == "a cpu, 2 cores (other)"


def test_an_autosaved_file_of_pytest_benchmark_has_an_interval_from_the_quartiles(write):
    content = json.loads(pytest_benchmark())
    stats = {"median": 2e-4, "min": 1e-4, "q1": 1.9e-4, "q3": 2.2e-4, "rounds": 100, "iterations": 7}
    content["benchmarks"][0]["stats"] = stats
    (result,) = only_run(write(json.dumps(content))).cells[0].kernels
    assert (result.samples, result.seconds, result.calls_per_sample) == ((2e-4,), 2e-4, 7)
    assert result.interval == pytest.approx((2e-4 - 1.57 * 3e-6, 2e-4 + 1.57 * 3e-6))


def test_of_two_commits_of_one_second_the_newer_in_the_history_is_first(write, tmp_path, monkeypatch):
    def git(*arguments):
        command = ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.chdir(tmp_path)
    git("init")
    hashes = []
    for number in range(6):
        git("commit", "--allow-empty", "-m", str(number))
        hashes.append(git("rev-parse", "HEAD"))
    for commit in hashes:
        write(asv(commit_hash=commit, date=1_700_000_000_000), f"lab/{commit}.json")
    assert [run.commit for run in load([tmp_path / "lab"]).runs] == hashes[::-1]
