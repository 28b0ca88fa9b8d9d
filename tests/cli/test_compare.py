"""The command compare."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softmax_impls.checks.verdict import Verdict
from softmax_impls.cli import run
from softmax_impls.results import store
from softmax_impls.timing import workloads
from softmax_impls.timing.session import Session
from softmax_impls.timing.workloads import CellKey

from .conftest import RIGHT

FEW = ("--impl", "closed_form", "--impl", "pivoted")
QUICK = ("compare", "--batch", "4", "--dim", "8", "--dtype", "float64", "--budget", "1", *FEW)
RESULTS = Path("softmax-impls-report/results.jsonl")


@pytest.fixture
def unchecked(monkeypatch):
    """Skip the checks, which take seconds."""

    def judge(implementations, dtypes):
        return {name: Verdict(name, "probs") for name in implementations}

    monkeypatch.setattr("softmax_impls.timing.session.judge", judge)


def kernels_of(found, number=0):
    return found["cells"][number]["implementations"]


def test_tables_recommendation_results_and_picture(output, monkeypatch):
    monkeypatch.setattr(workloads, "grid", lambda: [(1, 16), (16, 16)])
    text = output("compare", "--workload", "sample-10,grid", "--dtype", "float32", "--budget", "1", *FEW)
    assert "float32, 1 thread: time of one call, and × the fastest" in text
    assert all(text.count(f"\n{name}") == 1 for name in ("closed_form †", "pivoted ", "A/A noise "))
    assert "float32, 1 thread: fastest over the grid" in text
    assert "\nUse " in text
    assert "\n3 cells in " in text
    cells, problems = store.read(RESULTS)
    assert problems == []
    assert {kernel.name for cell in cells for kernel in cell.kernels} == {"closed_form", "pivoted"}
    assert RESULTS.with_name("winners.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("unchecked")
def test_all_implementations_take_part_by_default(output):
    found = json.loads(output("compare", "--batch", 4, "--dim", 8, "--budget", 1, "--dtype", "float64", "--json"))
    assert set(kernels_of(found)) == set(json.loads(output("list", "--json"))["implementations"])


def test_json_has_key_winners_and_environment(output):
    found = json.loads(output(*QUICK, "--json"))
    (cell,) = found["cells"]
    assert (cell["batch"], cell["dim"], cell["dtype"], cell["threads"]) == (4, 8, "float64", 1)
    assert set(cell["winners"]) <= {"closed_form", "pivoted"}
    assert cell["implementations"]["pivoted"]["seconds"] > 0
    assert found["recommendation"][0].startswith("Use ")
    assert found["machine"]
    assert found["versions"]["numpy"]
    assert (found["interrupted"], found["results"]) == (False, str(RESULTS))


def test_details_show_every_kernel_with_its_status(output):
    text = output(*QUICK, "--details")
    assert "× fastest" in text
    assert text.count("timed") + text.count("eliminated") >= 2


def test_users_function_takes_part_beside_named_implementations(output, kernels):
    found = json.loads(output(*QUICK, "--impl", "right_kernels:mine", "--json"))
    assert set(kernels_of(found)) == {"mine", "closed_form", "pivoted"}
    assert all(kernel["status"] in ("timed", "eliminated") for kernel in kernels_of(found).values())


def test_wrong_function_is_listed_and_not_ranked(output, kernels):
    found = json.loads(output(*QUICK, "--impl", "flipped_kernels:mine", "--json", status=1))
    mine = kernels_of(found)["mine"]
    assert (mine["status"], mine["times_the_fastest"]) == ("wrong", None)
    assert "mine" not in found["cells"][0]["winners"]
    assert any(line.startswith("Do not use mine: value:") for line in found["recommendation"])


CHEATING = """
state = {"calls": 0, "known": set()}

def repeats(probs, grad_output, out):
    key = (id(probs), id(grad_output), id(out))
    if key not in state["known"]:
        out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))
    state["known"].add(key)

def stops(probs, grad_output, out):
    state["calls"] += len(probs) == 600
    if state["calls"] <= 3:
        out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))

def changes_input(probs, grad_output, out):
    out[...] = probs * (grad_output - (probs * grad_output).sum(-1, keepdims=True))
    if len(probs) == 600:
        grad_output *= 2

def infinite(probs, grad_output, out):
    out.fill(float("inf"))

def exits(probs, grad_output, out):
    raise SystemExit(0)
"""


@pytest.mark.parametrize("name", ["repeats", "stops", "changes_input"])
def test_kernels_that_are_wrong_only_while_they_are_timed_are_not_ranked(output, module, name):
    module("cheating_kernels", CHEATING)
    arguments = ["compare", "--batch", 600, "--dim", 8, "--budget", 1, "--dtype", "float64", "--impl", "pivoted"]
    found = json.loads(output(*arguments, "--impl", f"cheating_kernels:{name}", "--json", status=1))
    assert kernels_of(found)[name]["status"] in ("wrong", "failed")
    assert found["cells"][0]["winners"] == ["pivoted"]


@pytest.mark.parametrize("name", ["infinite", "exits"])
def test_kernels_that_give_infinities_or_exit_do_not_stop_the_others(output, module, name):
    module("cheating_kernels", CHEATING)
    arguments = ["--impl", f"cheating_kernels:{name}", "--json"]
    checked = json.loads(output("check", "--impl", "pivoted", *arguments, status=1))
    assert checked["verdicts"][name]["right"] is False
    found = json.loads(output(*QUICK, *arguments, status=1))
    assert kernels_of(found)[name]["status"] == "wrong"
    assert found["cells"][0]["winners"]


def test_wrong_kernel_is_named_even_if_no_cell_fits_the_budget(output, kernels):
    arguments = ["compare", "--workload", "gpt2", "--impl", "pivoted", "--impl", "flipped_kernels:mine", "--budget", 1]
    found = json.loads(output(*arguments, "--json", status=1))
    assert (found["cells"], found["picture"]) == ([], None)
    assert any(note.startswith("mine: value:") for note in found["notes"])
    assert not RESULTS.with_name("winners.png").exists()


def test_cell_that_does_not_fit_the_budget_is_skipped_with_a_reason(output):
    arguments = ["compare", "--workload", "sample-10,gpt2", "--dtype", "float64", "--budget", "1", "--impl", "pivoted"]
    found = json.loads(output(*arguments, "--json"))
    assert [cell["workload"] for cell in found["cells"]] == ["sample-10"]
    assert any(note.startswith("gpt2 512×50257 float64 not measured: ") for note in found["notes"])


def test_kernel_that_needs_more_than_the_maximum_memory_is_pruned(output):
    found = json.loads(output(*QUICK, "--impl", "row_jacobian", "--max-memory", "1kB", "--json"))
    pruned = kernels_of(found)["row_jacobian"]
    assert pruned["status"] == "pruned"
    assert pruned["note"].startswith("needs ")
    assert kernels_of(found)["pivoted"]["status"] in ("timed", "eliminated")


# ---------------------------------------------------------------- results of earlier runs


def test_resume_measures_only_the_missing_cells(output, monkeypatch):
    output(*QUICK)
    before = RESULTS.read_text()
    output(*QUICK, "--dtype", "float32", "--resume")
    after = RESULTS.read_text()
    assert after.startswith(before)
    assert [cell.dtype for cell in store.read(RESULTS)[0]] == ["float64", "float32"]
    monkeypatch.setattr(Session, "prepare", None)  # nothing is checked if nothing is measured
    output(*QUICK, "--dtype", "float32", "--resume")
    assert RESULTS.read_text() == after


def test_resume_refuses_results_of_other_code_or_another_seed(output, error, kernels, module):
    arguments = [*QUICK, "--impl", "right_kernels:mine"]
    output(*arguments)
    assert "seed" in error(*arguments, "--resume", "--seed", 3)
    module("right_kernels", RIGHT + "# edited\n")
    message = error(*arguments, "--resume")
    assert "--resume" in message
    assert "implementations" in message
    assert "mine" in message


def test_resume_refuses_a_damaged_file_and_leaves_it_alone(error):
    RESULTS.parent.mkdir()
    RESULTS.write_text("nonsense\n")
    assert "results.jsonl: line 1: " in error(*QUICK, "--resume")
    assert RESULTS.read_text() == "nonsense\n"


@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_a_comparison_in_the_folder_of_a_running_comparison_is_refused(error, output, options):
    RESULTS.parent.mkdir()
    RESULTS.write_text("")
    lock = (
        f"import fcntl, os; fcntl.flock(os.open({str(RESULTS.parent)!r}, os.O_RDONLY), fcntl.LOCK_EX); print(); input()"
    )
    with subprocess.Popen([sys.executable, "-c", lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        assert "another comparison writes to softmax-impls-report" in error(*QUICK, *options)
        running.kill()
    store.ResultsFile(RESULTS).lock()  # as a comparison of this process that has failed
    output(*QUICK, *options)
    assert RESULTS.read_text()


def test_new_run_keeps_the_results_of_the_previous_run(output):
    output(*QUICK)
    before = RESULTS.read_text()
    output(*QUICK)
    assert RESULTS.with_name("results.previous.jsonl").read_text() == before


def test_interrupted_run_shows_and_keeps_finished_cells_and_resume_continues(output, monkeypatch, capsys):
    def run_one_cell(self, keys, starting):
        yield next(measure(self, keys, starting))
        raise KeyboardInterrupt

    measure = Session.run
    both = [*QUICK, "--dtype", "float32"]
    monkeypatch.setattr(Session, "run", run_one_cell)
    text = output(*both, status=130)
    assert "Interrupted: 1 of 2 cells are measured. To continue, run the same command with --resume." in text
    assert "\nUse " in text
    (first,) = store.read(RESULTS)[0]
    monkeypatch.setattr(Session, "run", measure)
    found = json.loads(output(*both, "--resume", "--json"))
    assert (len(found["cells"]), found["interrupted"]) == (2, False)
    assert store.read(RESULTS)[0][0] == first


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_a_run_keeps_finished_cells():
    arguments = ["compare", "--workload", "sample-10,gpt2", "--dtype", "float64", "--budget", "60", *FEW]
    # A shell's background jobs ignore the signal, and so would the process that they start.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "softmax_impls", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    signal.signal(signal.SIGINT, handler)
    for _ in range(600):
        if RESULTS.exists() and RESULTS.read_text().endswith("\n"):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert "Interrupted: 1 of 2 cells are measured." in out
    assert [cell.key for cell in store.read(RESULTS)[0]] == [CellKey("sample-10", 1, 10, "float64", 1)]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("first_call", [0, 20])
def test_a_line_states_the_time_and_another_line_if_compiling_takes_longer(monkeypatch, capsys, first_call):
    monkeypatch.setattr("softmax_impls.timing.session.first_call_seconds", lambda *_: first_call)
    monkeypatch.setattr(Session, "run", lambda *_: iter(()))
    assert run(["compare", "--batch", "4", "--dim", "8", "--budget", "30", *FEW]) == 1
    first, *more = capsys.readouterr().err.splitlines()
    assert first == "comparing 2 cells in about 30 s"
    if first_call:
        (line,) = more
        seconds = int(re.fullmatch(r"it will take about (\d+) s: kernels are compiled and checked first", line)[1])
        assert seconds >= 2 * first_call + 0.2 * 30
    else:
        assert more == []


def test_the_name_of_the_machine_is_an_option(output):
    found = json.loads(output(*QUICK, "--machine", "lab-3", "--json"))
    assert found["host"] == "lab-3"
    assert {cell.environment.host for cell in store.read(RESULTS)[0]} == {"lab-3"}
