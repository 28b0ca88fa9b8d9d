"""A results file keeps whole cells, and damage costs the damaged lines only."""

import datetime
import json

import msgspec
import pytest

from softmax_impls.results import store
from softmax_impls.timing.records import SCHEMA, Environment
from tests.results.examples import ENVIRONMENT, cell, full_cell, kernel, line

SOURCES = {"a": "abc", "b": "abc"}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "results.jsonl"
    store.append(path, full_cell(1))
    store.append(path, full_cell(2))
    return path


def replace(environment, **changes):
    return msgspec.structs.replace(environment, **changes)


def test_appended_cells_are_read_unchanged(path):
    assert store.read(path) == ([full_cell(1), full_cell(2)], [])


def test_measurements_of_the_same_cell_in_the_same_second_on_two_hosts_are_kept(path):
    other = msgspec.structs.replace(full_cell(1), environment=replace(ENVIRONMENT, host="another"))
    store.append(path, other)
    assert store.read(path)[0] == [full_cell(1), full_cell(2), other]


def test_cells_that_cannot_be_appended_are_written_at_the_end(tmp_path):
    said, path = [], tmp_path / "gone" / "results.jsonl"
    file = store.ResultsFile(path)
    file.append(full_cell(1), said.append)
    assert said == [f"{path} lacks cells: No such file or directory"]
    assert file.finish([full_cell(1), full_cell(2)]) == []
    assert store.read(path) == ([full_cell(1), full_cell(2)], [])


def test_a_file_that_cannot_be_written_at_the_end_is_named(path):
    file = store.ResultsFile(path / "results.jsonl")  # in a file instead of a folder
    file.append(full_cell(1), str)
    assert file.finish([full_cell(1)]) == [f"{path / 'results.jsonl'} lacks cells: Not a directory"]


def test_written_cells_replace_a_file(path):
    store.write(path, [full_cell(3)])
    assert store.read(path) == ([full_cell(3)], [])
    assert [file.name for file in path.parent.iterdir()] == ["results.jsonl"]


def test_a_file_that_is_cut_off_anywhere_loses_the_last_cell_only(path):
    first, second = path.read_bytes().splitlines(keepends=True)
    for end in range(1, len(second) - 1):
        path.write_bytes(first + second[:end])
        assert store.read(path) == ([full_cell(1)], ["line 2: cut off"])


def test_a_cut_within_a_character_loses_nothing_else(path):
    path.write_bytes(path.read_bytes() + '{"workload": "×'.encode()[:-1])
    assert store.read(path) == ([full_cell(1), full_cell(2)], ["line 3: cut off"])


def test_a_missing_newline_at_the_end_costs_nothing(path):
    path.write_bytes(path.read_bytes().rstrip())
    assert store.read(path) == ([full_cell(1), full_cell(2)], [])
    store.append(path, full_cell(3))
    assert store.read(path) == ([full_cell(1), full_cell(2), full_cell(3)], [])


def test_a_cell_appended_to_a_cut_off_file_is_read(path):
    path.write_bytes(path.read_bytes()[:-30])
    store.append(path, full_cell(3))
    cells, problems = store.read(path)
    assert cells == [full_cell(1), full_cell(3)]
    assert len(problems) == 1
    assert problems[0].startswith("line 2: ")


def test_blank_lines_cost_nothing(path):
    path.write_bytes(b"\n" + path.read_bytes().replace(b"\n", b"\n \n\n"))
    assert store.read(path) == ([full_cell(1), full_cell(2)], [])


def test_of_a_measurement_that_was_stored_after_each_step_the_last_record_counts(path):
    again = cell(1, (kernel("a", note="with more samples"),))
    store.append(path, again)
    assert store.read(path) == ([again, full_cell(2)], [])


def test_all_measurements_of_a_cell_are_read(path):
    first, second = (cell(1, time=datetime.datetime(2026, 1, day, tzinfo=datetime.UTC)) for day in (1, 2))
    store.write(path, [first, second])
    assert store.read(path) == ([first, second], [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not json", "JSON is malformed"),
        ("[]", "Expected `object`, got `array`"),
        ("3", "Expected `object`, got `int`"),
        ("{}", "missing required field `workload`"),
        (line(schema="3"), "Expected `int` - at `$.schema`"),
        (line(batch=0), "Expected `int` >= 1 - at `$.batch`"),
        (line(batch=None), "Expected `int`, got `null` - at `$.batch`"),
        (line(kernel_samples="fast"), "at `$.kernels[0].samples`"),
        (line(kernel_samples=[-1.0]), "at `$.kernels[0].samples[0]`"),
        (line(kernel_samples=[float("inf")]), "malformed"),
        (line(kernel_samples=[10**400]), "out of range"),
        (line(kernel_seconds="soon"), "at `$.kernels[0].seconds`"),
        (line(kernel_seconds=0), "at `$.kernels[0].seconds`"),
        (line(kernel_seconds=float("nan")), "malformed"),
        (line(kernel_errors={"ordinary": "small"}), "at `$.kernels[0].errors[...]`"),
        (line(kernel_status="junk"), "Invalid enum value 'junk' - at `$.kernels[0].status`"),
        ("[" * 100_000, "Expected `object`"),
        ('{"workload": ' + "[" * 100_000, "Expected `str`"),
        ('{"unknown": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_costs_itself_and_is_named(path, text, problem):
    first, second = path.read_text().splitlines()
    path.write_text("\n".join([first, text.strip(), second]) + "\n")
    cells, problems = store.read(path)
    assert cells == [full_cell(1), full_cell(2)]
    assert len(problems) == 1
    assert problems[0].startswith("line 2: ")
    assert problem in problems[0]


def test_problems_of_the_same_kind_share_a_line(path):
    path.write_text(path.read_text() + line(batch=0) * 1000)
    assert store.read(path)[1] == ["line 3 and 999 more: Expected `int` >= 1 - at `$.batch`"]


def test_problems_of_many_kinds_are_bounded(path):
    path.write_text("".join(line(dtype=f"int{bits}") for bits in range(1000)))
    cells, problems = store.read(path)
    assert cells == []
    assert len(problems) == 21
    assert problems[-1] == "line 21 and 979 more: other problems"


@pytest.mark.parametrize("schema", range(1, SCHEMA))
def test_a_file_of_an_earlier_edition_gets_one_line_that_says_what_to_do(path, schema):
    path.write_text(json.dumps({"schema": 1, "workload": "digits"}) + "\n" + line(schema=schema) * 99)
    problem = f"written by an earlier edition (schema {schema}): measure again with 'softmax-impls compare'"
    cells, problems = store.read(path)
    assert cells == []
    assert problems[-1].endswith(f"more: {problem}")
    assert len(problems) == len({1, schema})
    with pytest.raises(store.ResultsError, match="written by an earlier edition"):
        store.continue_from(path, ENVIRONMENT, 0, SOURCES)


def test_a_file_of_a_later_edition_gets_one_line_that_says_what_to_do(path):
    path.write_text(line(schema=99) * 2)
    assert store.read(path) == ([], ["line 1 and 1 more: " + store.NEW_SCHEMA.format(99)])


@pytest.mark.parametrize("part", ["control", "roofline"])
def test_a_part_of_a_cell_that_cannot_be_read_costs_itself(path, part):
    path.write_text(line(**{part: {"samples": [0]}}))
    assert store.read(path)[0] == [cell()]
    assert store.read(path)[1][0].startswith(f"line 1, {part} 0: ")


def test_a_kernel_that_cannot_be_read_costs_itself(path):
    content = msgspec.to_builtins(full_cell(1))
    content["kernels"][0]["seconds"] = 0
    path.write_text(json.dumps(content) + "\n")
    ((found,), problems) = store.read(path)
    assert [kernel.name for kernel in found.kernels] == ["b"]
    assert found.roofline == full_cell().roofline
    assert problems == ["line 1, kernel 0: Expected `float` > 0.0 - at `$.seconds`"]


def test_the_problem_of_a_line_is_not_that_of_a_kernel_which_costs_itself(path):
    content = msgspec.to_builtins(full_cell(1))
    content["kernels"][0]["seconds"] = 0
    path.write_text(json.dumps({**content, "seed": -1}) + "\n")
    assert store.read(path) == ([], ["line 1: Expected `int` >= 0 - at `$.seed`"])


def test_an_empty_file_is_reported(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    assert store.read(tmp_path / "empty.jsonl") == ([], ["empty"])


def test_a_missing_file_cannot_be_read_and_has_nothing_to_continue(tmp_path):
    assert store.continue_from(tmp_path / "none.jsonl", ENVIRONMENT, 0, SOURCES) == []
    with pytest.raises(store.ResultsError, match="No such file"):
        store.read(tmp_path / "none.jsonl")


def test_an_interrupted_run_is_continued_without_the_cell_that_was_cut_off(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    cells = store.continue_from(path, ENVIRONMENT, 0, SOURCES)
    assert cells == [full_cell(1)]
    store.write(path, cells)
    store.append(path, full_cell(2))
    assert path.read_bytes() == whole


def test_a_damaged_file_is_not_continued(path):
    path.write_text(line(batch=0) + path.read_text())
    with pytest.raises(store.ResultsError, match=r"results\.jsonl: line 1: Expected `int` >= 1 - at `\$\.batch`"):
        store.continue_from(path, ENVIRONMENT, 0, SOURCES)


@pytest.mark.parametrize(
    ("environment", "seed", "sources", "message"),
    [
        (replace(ENVIRONMENT, versions={"numpy": "3"}), 0, SOURCES, "different versions: numpy 2, now 3"),
        (Environment(machine="b", versions={"numpy": "2"}), 0, SOURCES, "different machine: a cpu, 2 cores, now b"),
        (replace(ENVIRONMENT, host="lab"), 0, SOURCES, "different host: unknown, now lab"),
        (ENVIRONMENT, 1, SOURCES, "different seed: 0, now 1"),
        (ENVIRONMENT, 0, SOURCES | {"c": "abc"}, "different implementations: c missing, now abc"),
        (ENVIRONMENT, 0, SOURCES | {"b": "abd"}, "different implementations: b abc, now abd"),
    ],
)
def test_a_run_that_is_not_comparable_is_not_continued(path, environment, seed, sources, message):
    with pytest.raises(store.ResultsError, match=f"results.jsonl was measured with {message}"):
        store.continue_from(path, environment, seed, sources)


def test_only_versions_that_times_depend_on_have_to_be_the_same(path):
    installed = replace(ENVIRONMENT, versions=ENVIRONMENT.versions | {"torch": "2", "scipy": "1"})
    assert len(store.continue_from(path, installed, 0, SOURCES)) == 2
    with pytest.raises(store.ResultsError, match="different versions: torch missing, now 2"):
        store.continue_from(path, installed, 0, SOURCES, packages=["torch"])


def test_a_run_at_another_commit_is_continued(path):
    environment = replace(ENVIRONMENT, commit="f00")
    assert len(store.continue_from(path, environment, 0, SOURCES)) == 2


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_value_out_of_bounds_is_never_written(path, seconds):
    before = path.read_bytes()
    bad = cell(3, (kernel(samples=(seconds,)),))
    with pytest.raises(ValueError, match="samples"):
        store.append(path, bad)
    with pytest.raises(ValueError, match="samples"):
        store.write(path, [bad])
    assert path.read_bytes() == before


def test_the_file_that_a_cell_was_read_from_is_not_written(path):
    store.write(path, [msgspec.structs.replace(full_cell(1), file="elsewhere.jsonl")])
    assert b"elsewhere" not in path.read_bytes()


def test_a_file_that_is_empty_or_missing_has_no_cells(tmp_path):
    path = tmp_path / "results.jsonl"
    assert store.read_whole(path) == []
    path.touch()  # as an interrupted comparison leaves it
    assert store.read_whole(path) == []
