"""`softmax-impls history` compares two commits from the results of asv."""

import json
import subprocess

import pytest

PARAMS = [["'kernel a'", "'kernel b'"], ["'digits'"]]


def git(*arguments):
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def commits(folder):
    """A repository with three commits; returns their hashes."""
    git("init", "-q")
    hashes = []
    for number in range(3):
        git("commit", "-q", "--allow-empty", "-m", f"commit {number}")
        hashes.append(git("rev-parse", "HEAD"))
    return hashes


@pytest.fixture
def record(folder):
    """Write results of asv: the samples of two benchmarks at a commit."""

    def record(commit, *samples, machine="vm", environment="py3.11", results=".asv/results", cpu=""):
        fastest = [min(values) if values else 1e-6 for values in samples]
        content = {
            "version": 2,
            "commit_hash": commit,
            "env_name": environment,
            "date": 1_790_000_000_000,
            "params": {"cpu": cpu},
            "result_columns": ["result", "params", "version", "started_at", "samples"],
            "results": {"backward.Workload.time_kernel": [fastest, PARAMS, "2", 1_795_000_000_000, list(samples)]},
        }
        place = folder / results / machine
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{commit[:8]}-{environment}.json").write_text(json.dumps(content))

    return record


def test_a_slowdown_is_named_with_its_factor_and_exits_with_1(commits, record, output):
    record(commits[0], [1e-6, 2e-6], [1e-4])
    record(commits[1], [2.5e-6, 3e-6], [0.4e-4])
    slower, faster, counts, sides, smallest = output("history", "HEAD~2", "HEAD~1", status=1).splitlines()
    assert slower == "slower 2.50x  backward.Workload.time_kernel(kernel a, digits)  1 µs -> 2.5 µs"
    assert faster == "faster 0.40x  backward.Workload.time_kernel(kernel b, digits)  100 µs -> 40 µs"
    assert counts == "2 benchmarks compared on vm: 1 slower, 1 faster."
    assert f"Base {commits[0][:10]} of 2026-09-21, measured 2026-11-18; head {commits[1][:10]}" in sides
    assert smallest == "A smaller change than 1.3x for calls of up to 1 ms and 1.5x for longer calls is not reported."


def test_without_a_slowdown_it_prints_three_lines_and_exits_with_0(commits, record, output):
    record(commits[0], [1e-6], [1e-4])
    record(commits[1], [1.2e-6], [0.5e-4])
    record(commits[2], [1.2e-6], [0.5e-4])
    lines = output("history", *commits[:2]).splitlines()
    assert lines[1] == "2 benchmarks compared on vm: 0 slower, 1 faster."
    assert len(output("history", "HEAD~1", "HEAD").splitlines()) == 3


def test_json_holds_every_change(commits, record, output):
    record(commits[0], [1e-6], [1e-4])
    record(commits[1], [2e-6], [1e-4])
    (comparison,) = json.loads(output("history", *commits[:2], "--json", status=1))["comparisons"]
    assert comparison["base"]["commit"] == commits[0]
    assert comparison["head"]["measured"].startswith("2026-11-18T")
    assert (comparison["machine"], comparison["compared"], comparison["faster"]) == ("vm", 2, [])
    (change,) = comparison["slower"]
    assert change == {
        "benchmark": "backward.Workload.time_kernel",
        "params": ["kernel a", "digits"],
        "ratio": 2.0,
        "smallest_reported_factor": 1.3,
        "before_seconds": 1e-6,
        "after_seconds": 2e-6,
    }


def test_each_machine_is_compared_with_itself(commits, record, output):
    for machine, seconds in (("m1", 1e-6), ("m2", 5e-6)):
        record(commits[0], [seconds], [1e-4], machine=machine)
        record(commits[1], [seconds], [1e-4], machine=machine)
    record(commits[1], [9e-6], [1e-4], machine="m3")
    lines = output("history", *commits[:2]).splitlines()
    assert [line.split()[4] for line in lines if "compared on" in line] == ["m1:", "m2:"]


def test_environments_of_a_machine_are_compared_each_with_itself(commits, record, output):
    for environment in ("py3.11", "py3.12"):
        for commit in commits[:2]:
            record(commit, [1e-6], [1e-4], environment=environment)
    lines = output("history", *commits[:2]).splitlines()
    assert [line for line in lines if "compared on" in line] == [
        "2 benchmarks compared on vm, py3.11: 0 slower, 0 faster.",
        "2 benchmarks compared on vm, py3.12: 0 slower, 0 faster.",
    ]


def test_another_results_folder_can_be_named(commits, record, output):
    for commit in commits[:2]:
        record(commit, [1e-6], [1e-4], results="elsewhere")
    assert "compared on vm: 0 slower" in output("history", *commits[:2], "--results", "elsewhere")


def test_several_folders_show_which_slowdowns_all_kinds_of_machines_have(commits, record, output):
    for number, after in ((1, ([2e-6], [1e-4])), (2, ([3e-6], [3e-4]))):
        lab = {"results": f"lab-{number}", "cpu": f"processor {number}"}  # both machines have the same name
        record(commits[0], [1e-6], [1e-4], **lab)
        record(commits[1], *after, **lab)
    arguments = ("history", *commits[:2], "--results", "lab-1", "--results", "lab-2")
    *_, on_all, on_one, counts, _ = output(*arguments, status=1).splitlines()
    assert on_all == (
        "slower on all 2 kinds: backward.Workload.time_kernel(kernel a, digits) (processor 1 2.00x, processor 2 3.00x)"
    )
    assert on_one == "slower on 1 of 2 kinds: backward.Workload.time_kernel(kernel b, digits) (processor 2 3.00x)"
    assert counts == "1 slower on all kinds, so because of the commit; 1 on some kinds only."
    found = json.loads(output(*arguments, "--json", status=1))["slower_by_kind"]
    assert [(slowdown["on_all"], slowdown["other_kinds"]) for slowdown in found] == [
        (True, []),
        (False, ["processor 1"]),
    ]


def test_a_list_of_changes_is_bounded(commits, record, output, monkeypatch):
    monkeypatch.setattr("softmax_impls.report.terminal.changes.MAX_LISTED", 1)
    record(commits[0], [1e-6], [1e-4])
    record(commits[1], [2e-6], [3e-4])
    lines = output("history", *commits[:2], status=1).splitlines()
    assert lines[0].startswith("slower 3.00x")
    assert lines[1] == "… and 1 more that are slower"


@pytest.mark.parametrize("terminal", [False, True])
def test_only_output_to_a_terminal_has_colours(commits, record, output, monkeypatch, terminal):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")  # to rich, an empty value means no terminal
    record(commits[0], [1e-6], [1e-4])
    record(commits[1], [2e-6], [1e-4])
    assert ("\x1b[31mslower" in output("history", *commits[:2], status=1)) is terminal


def test_a_commit_without_results_is_an_error_that_says_the_command(commits, record, error):
    record(commits[0], [1e-6], [1e-4])
    command = "run 'asv run --record-samples -a rounds=6 HEAD^!'"
    assert f"no results of HEAD in .asv/results: {command}" in error("history", commits[0], "HEAD")


def test_results_without_samples_are_an_error_that_says_the_option(commits, record, error):
    record(commits[0], None, None)
    text = error("history", commits[0], commits[0])
    assert "recorded no samples" in text
    assert "--record-samples" in text


def test_commits_measured_on_different_machines_are_an_error(commits, record, error):
    record(commits[0], [1e-6], [1e-4], machine="m1")
    record(commits[1], [1e-6], [1e-4], machine="m2")
    assert "no benchmark in common" in error("history", *commits[:2])


@pytest.mark.parametrize("name", ["nothing", "HEAD~9", "HEAD HEAD", "", "$(date)"])
def test_a_name_that_is_no_commit_is_an_error(commits, error, name):
    assert "is not a commit" in error("history", name, "HEAD")


def test_a_folder_outside_a_repository_is_an_error(folder, monkeypatch, error):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    assert "'HEAD~1' is not a commit of a git repository here" in error("history", "HEAD~1", "HEAD")
