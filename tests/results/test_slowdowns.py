"""Two commits are compared by the fastest samples that asv recorded of them."""

import json

import pytest

from softmax_impls.results import slowdowns
from softmax_impls.results.slowdowns import SIZE_CLASSES, Benchmark, Recorded, by_kind, compare_commits, is_slower

BASE, HEAD = "a" * 40, "b" * 40


def recorded(machine="vm", environment="py3.11", kind="", **samples):
    samples = {Benchmark(name, "1", ()): values for name, values in samples.items()}
    return Recorded(machine, environment, BASE, None, None, samples, kind or machine)


@pytest.mark.parametrize("fastest", [1e-6, 5e-5, 5e-4, 1e-2])
def test_a_change_counts_from_the_factor_of_its_size_class_on(fastest):
    factor = slowdowns.size_class(fastest).factor
    assert is_slower([fastest], [fastest * factor * 1.01])
    assert not is_slower([fastest], [fastest * factor * 0.99])


def test_long_calls_need_a_larger_factor():
    assert SIZE_CLASSES[-1].factor > SIZE_CLASSES[0].factor
    assert slowdowns.size_class(1e9) is SIZE_CLASSES[-1]


def test_only_the_fastest_sample_counts():
    assert not is_slower([1e-6, 1e-6], [1e-6, 1e-3, 1e-3])
    assert is_slower([1e-6, 1e-3], [2e-6])


def test_slower_and_faster_benchmarks_are_listed_with_the_largest_change_first():
    base = recorded(a=(1e-6,), b=(1e-6,), c=(4e-6,), d=(1e-6,), e=(8e-6,), only_base=(1e-6,))
    head = recorded(a=(2e-6,), b=(4e-6,), c=(1e-6,), d=(1.1e-6,), e=(1e-6,), only_head=(1e-6,))
    (comparison,) = compare_commits([base], [head])
    assert [(change.benchmark.name, change.ratio) for change in comparison.slower] == [("b", 4.0), ("a", 2.0)]
    assert [change.benchmark.name for change in comparison.faster] == ["e", "c"]
    assert comparison.compared == 5


def test_commits_are_compared_on_each_machine_and_environment_that_both_have():
    base = [recorded("m1", a=(1e-6,)), recorded("m2", a=(1e-6,)), recorded("m2", "py3.12", a=(1e-6,))]
    head = [recorded("m2", a=(2e-6,)), recorded("m1", a=(1e-6,)), recorded("m3", a=(2e-6,))]
    comparisons = list(compare_commits(base, head))
    assert [(comparison.base.machine, len(comparison.slower)) for comparison in comparisons] == [("m1", 0), ("m2", 1)]


def test_a_slowdown_on_all_kinds_is_told_from_one_on_a_single_kind():
    base = [
        recorded(name, kind=kind, a=(1e-6,), b=(1e-6,)) for name, kind in (("m1", "old"), ("m2", "new"), ("m3", "new"))
    ]
    after = [{"a": (2e-6,), "b": (1e-6,)}, {"a": (3e-6,), "b": (1e-6,)}, {"a": (4e-6,), "b": (9e-6,)}]
    head = [recorded(old.machine, kind=old.kind, **samples) for old, samples in zip(base, after, strict=True)]
    everywhere, single = by_kind(compare_commits(base, head))
    assert (everywhere.benchmark.name, everywhere.ratios, everywhere.on_all) == ("a", {"old": 2.0, "new": 4.0}, True)
    assert (single.benchmark.name, single.other_kinds, single.on_all) == ("b", ("old",), False)


def test_a_benchmark_that_one_kind_has_does_not_count_as_slower_on_all():
    base = [recorded("m1", a=(1e-6,)), recorded("m2", b=(1e-6,))]
    head = [recorded("m1", a=(2e-6,)), recorded("m2", b=(1e-6,))]
    (slowdown,) = by_kind(compare_commits(base, head))
    assert not slowdown.on_all


def test_the_kind_of_a_machine_is_its_processor_number_of_cores_and_system(tmp_path):
    write(tmp_path)
    write(tmp_path, "other", params={"cpu": "A  processor", "num_cpu": "4", "os": "Linux 6.1", "arch": "x86_64"})
    found, _ = slowdowns.read_commit(tmp_path, BASE)
    assert {side.machine: side.kind for side in found} == {"vm": "vm", "other": "A processor, 4 cores, Linux x86_64"}


def test_environments_of_a_machine_are_kinds_because_their_versions_differ():
    places = ("m1", "py3.11"), ("m1", "py3.12"), ("m2", "py3.11")
    base = [recorded(*place, a=(1e-6,)) for place in places]
    head = [recorded(old.machine, old.environment, a=(2e-6,)) for old in base]
    (slowdown,) = by_kind(compare_commits(base, head))
    assert list(slowdown.ratios) == ["m1, py3.11", "m1, py3.12", "m2"]


def write(folder, machine="vm", commit=BASE, **changes):
    columns = ["result", "params", "version", "started_at", "samples"]
    params = [["'a b'", "'c, d'"], ["16"]]
    results = {
        "suite.time": [[1e-6, 2e-6], params, "1", 1_700_000_000_000, [[1e-6, 2e-6], [2e-6]]],
        "suite.track": [[1.0, 2.0], params, "1", 1_600_000_000_000],
        "suite.broken": [[1.0], params, "1", None],
        "suite.failed": None,
    }
    content = {"version": 2, "commit_hash": commit, "env_name": "py3.11", "date": 1_650_000_000_000}
    file = folder / machine / f"{commit[:8]}-py3.11.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content | {"result_columns": columns, "results": results} | changes))
    return file


def test_samples_of_a_commit_are_read_with_params_that_hold_spaces_and_commas(tmp_path):
    write(tmp_path)
    write(tmp_path, commit=HEAD)
    ((found,), problems) = slowdowns.read_commit(tmp_path, BASE)
    assert problems == []
    assert (found.machine, found.environment, found.commit) == ("vm", "py3.11", BASE)
    assert (found.date.year, found.measured.year) == (2022, 2023)
    assert found.samples == {
        Benchmark("suite.time", "1", ("a b", "16")): (1e-6, 2e-6),
        Benchmark("suite.time", "1", ("c, d", "16")): (2e-6,),
    }


def test_results_of_different_versions_of_a_benchmark_are_not_compared(tmp_path):
    write(tmp_path)
    results = {"suite.time": [[1e-3], [], "2", None, [[1e-3]]]}
    write(tmp_path, commit=HEAD, results=results)
    sides = [slowdowns.read_commit(tmp_path, commit)[0] for commit in (BASE, HEAD)]
    (comparison,) = compare_commits(*sides)
    assert comparison.compared == 0


def test_a_file_of_another_commit_with_the_same_beginning_is_left_out(tmp_path):
    write(tmp_path, commit=BASE[:8] + "c" * 32)
    assert slowdowns.read_commit(tmp_path, BASE) == ([], [])


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"version": 1}', '{"version": 2}'])
def test_a_file_that_cannot_be_read_costs_one_line(tmp_path, text):
    write(tmp_path)
    bad = write(tmp_path, "other")
    bad.write_text(text)
    found, (problem,) = slowdowns.read_commit(tmp_path, BASE)
    assert [side.machine for side in found] == ["vm"]
    assert problem.startswith(f"{bad}: ")
    assert problem.isprintable()
