"""The command choose."""

import importlib
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from softmax_impls.choice import asking
from softmax_impls.cli import run
from softmax_impls.results import runs, store
from softmax_impls.timing.environment import environment
from softmax_impls.timing.pasted_code import Times
from softmax_impls.timing.statistics import MIN_MARGIN
from tests.choice.builders import FEBRUARY, build_cell

COMMAND = importlib.import_module("softmax_impls.cli.choose")
FEW = ("--impl", "closed_form", "--impl", "pivoted")
SHAPE = ("--batch", 16, "--dim", 16, "--dtype", "float32")
ONE = ("--threads", 1)
MEASURED = Path("softmax-impls-report/measured.jsonl")
ERRORS = {"numba_simd": 2e-7, "numba_rows": 4e5, "pivoted": 1e-7, "closed_form": 4e5}
FIELDS = {name: {"errors": {"saturated": error}, "temporary_bytes": 10} for name, error in ERRORS.items()}
FIELDS["numba_simd"]["temporary_bytes"] = 0
HERE = {"machine": environment().machine, "host": environment().host, "versions": environment().versions}
TIMES = {"numba_rows": 0.5e-6, "numba_simd": 1e-6, "pivoted": 3e-6, "closed_form": 2e-6}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Measure for a part of a second, with two threads by default."""
    monkeypatch.setattr(asking, "SECONDS", 0.3)
    monkeypatch.setattr(asking, "PASTED_SECONDS", 0.0)
    monkeypatch.setattr(COMMAND, "default_threads", lambda: 2)
    monkeypatch.setattr(COMMAND, "available_cores", lambda: 2)
    monkeypatch.setattr("softmax_impls.cli.options.available_cores", lambda: 2)


@pytest.fixture
def kept():
    """Results of this machine at some shapes, with one thread."""
    shapes = [(16, 16), (1, 16), (256, 16), (1, 1000), (16, 1000), (256, 1000)]
    for batch, dim in shapes:
        scale = batch * dim / 256
        times = {name: seconds * scale for name, seconds in TIMES.items()}
        store.append(Path("kept.jsonl"), build_cell(batch, dim, times, fields=FIELDS, **HERE))
    return ("--from", "kept.jsonl")


def run_code(code):
    """Run code in a new process in the current folder."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


# Measuring, the default.


def test_the_shape_is_measured_and_the_result_kept(output):
    answer = json.loads(output("choose", *SHAPE, *ONE, *FEW, "--json"))
    assert (answer["basis"], answer["just_measured"], answer["use"]) == ("measured", True, "pivoted")
    assert set(answer["candidates"]) == {"closed_form", "pivoted"}
    cells, problems = store.read(MEASURED)
    assert problems == []
    assert [(cell.batch, cell.dim, cell.threads) for cell in cells] == [(16, 16, 1)]
    again = json.loads(output("choose", *SHAPE, *ONE, *FEW, "--json", "--no-measure"))
    assert (again["basis"], again["just_measured"]) == ("measured", False)
    ratios, before = ({n: c["times_the_fastest"] for n, c in a["candidates"].items()} for a in (again, answer))
    assert ratios == before


def test_it_is_measured_again_although_there_are_results_and_says_so(output):
    MEASURED.parent.mkdir()
    store.append(MEASURED, build_cell(16, 16, TIMES, fields=FIELDS))
    text = output("choose", *SHAPE, *ONE, *FEW)
    assert "measured now, " in text
    assert len(MEASURED.read_text().splitlines()) == 2


def test_by_default_the_threads_are_those_of_the_default_call(output):
    assert json.loads(output("choose", *SHAPE, *FEW, "--json"))["question"]["threads"] == 2


def test_in_a_folder_that_cannot_be_written_the_answer_is_not_kept(monkeypatch, capsys):
    said, threads = [], threading.active_count()
    measure = asking._measure
    monkeypatch.setattr(asking.os, "access", lambda path, mode: False)

    def measure_alone(*arguments):
        assert threading.active_count() == threads  # no thread draws the progress, which would disturb the timing
        said.append(capsys.readouterr().err)
        return measure(*arguments)

    monkeypatch.setattr(asking, "_measure", measure_alone)
    assert run(["choose", *map(str, SHAPE), *ONE[:1], "1", *FEW]) == 0
    assert said == [f"{MEASURED} can't be written (no permission): the result is not kept\n"]
    assert "Use pivoted for" in capsys.readouterr().out.replace(",", "")
    assert not MEASURED.parent.exists()


def test_ctrl_c_keeps_the_shapes_of_a_mix_that_are_measured(monkeypatch):
    def interrupted(keys, implementations, cells):
        cells[keys[0]] = build_cell(16, 16, TIMES, fields=FIELDS, **HERE)
        raise KeyboardInterrupt

    monkeypatch.setattr(asking, "_measure", interrupted)
    assert run(["choose", "--workload", "16x16,4x4", *map(str, ONE), *FEW]) == 130
    assert len(MEASURED.read_text().splitlines()) == 1


def test_a_file_in_place_of_the_folder_is_reported(error):
    MEASURED.parent.write_text("")
    place = MEASURED.parent.absolute()
    why = f"{MEASURED} can't be written ({place} is not a folder): the result is not kept"
    assert error("choose", *SHAPE, *ONE, *FEW, status=0).splitlines() == [why]
    assert MEASURED.parent.read_text() == ""


def test_the_stated_time_is_that_of_the_code(output, monkeypatch):
    timed = []
    monkeypatch.setattr(asking, "time_pasted", lambda usage, *_: timed.append(usage) or Times(7e-6, 6e-6, 9e-6))
    text = output("choose", *SHAPE, *ONE, "--impl", "pivoted")
    assert "Use pivoted, for 16×16 float32, 1 thread: 7 µs a call (6 µs to 9 µs nine times in ten)." in text
    assert timed[0].line in text


def test_code_that_cannot_be_timed_leaves_the_time_of_the_rounds(output, monkeypatch):
    def fail(*arguments):
        raise NameError("name 'mine' is not defined")

    monkeypatch.setattr(asking, "time_pasted", fail)
    assert json.loads(output("choose", *SHAPE, *ONE, "--impl", "pivoted", "--json"))["use"] == "pivoted"


def test_an_earlier_measurement_with_another_winner_makes_it_unsure(output, monkeypatch):
    swapped = {"numba_simd": TIMES["pivoted"], "pivoted": TIMES["numba_simd"]}
    MEASURED.parent.mkdir()
    store.append(MEASURED, build_cell(16, 16, swapped, fields=FIELDS, **HERE))
    now = build_cell(16, 16, TIMES, fields=FIELDS, time=FEBRUARY, **HERE)
    monkeypatch.setattr(asking, "_measure", lambda keys, implementations, cells: cells.update({keys[0]: now}))
    assert "Sure: measured now, 20 rounds;" in output("choose", *SHAPE, "--threads", 1, "--impl", "numba_simd")
    text = output("choose", *SHAPE, *ONE)
    doubt = "Another measurement of 2026-01-01 00:00 had pivoted ahead of numba_simd by 3x."
    assert f"Not sure: measured now, 20 rounds. {doubt}" in text


# Answers from results.


def test_answer_names_one_implementation_and_ends_in_code(output, kept):
    text = output("choose", *SHAPE, *kept, *ONE)
    assert re.search(
        r"^Use numba_simd, the default call, for 16×16 float32, 1 thread: 1 µs a call \(", text, re.MULTILINE
    )
    assert "Sure: measured at this shape, 20 rounds; all others without a mark are slower by more than" in text
    assert re.search(r"^Runner-up: pivoted, (2\.9|3\.0)\dx \(", text, re.MULTILINE)
    assert re.search(r"^numba_rows † +500 ns +0\.50", text, re.MULTILINE)
    assert re.search(r"^Faster, but not recommended .*: numba_rows 0\.50x \(", text, re.MULTILINE)
    assert "† Loses saturated rows: recommended only with --any-accuracy." in text
    assert "Ratios compare the quieter part" in " ".join(text.split())
    assert "measured now" not in text
    assert text.splitlines()[-1] == "softmax_backward(probs, grad_output, out=out, threads=1)" or text.endswith(
        "out=out)\n"
    )


def test_any_accuracy_allows_an_implementation_that_loses_saturated_rows(output, kept):
    text = output("choose", *SHAPE, *kept, *ONE, "--any-accuracy")
    assert "Use numba_rows for 16×16 float32, 1 thread: 500 ns a call" in text.replace(", for", " for")
    assert re.search(r"numba_rows loses saturated rows\. numba_simd does not: it takes (1\.9|2\.0)\dx", text)


def test_what_it_prints_runs_in_a_new_process(output, kept):
    code = output("choose", *SHAPE, *kept, *ONE, "--impl", "pivoted").partition("\n\n")[2]
    assert code.endswith('softmax_backward(probs, grad_output, out=out, impl="pivoted")\n')
    done = run_code(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_function_of_the_user_is_measured_and_its_code_runs(output, module, registry):
    module("accurate_kernels", ACCURATE)
    options = ("choose", *SHAPE, *ONE, "--impl", "accurate_kernels:mine", "--impl", "closed_form")
    answer = json.loads(output(*options, "--json"))
    assert set(answer["candidates"]) == {"mine", "closed_form"}
    assert answer["use"] == "mine"
    assert answer["code"] == "mine(probs, grad_output, out)"
    done = run_code(answer["setup"] + "\n" + answer["code"])
    assert (done.returncode, done.stderr) == (0, "")


ACCURATE = """
from softmax_impls import register, softmax_backward

@register(accurate_for="logits")
def mine(probs, grad_output, out):
    softmax_backward(probs, grad_output, out=out, impl="pivoted")
"""


def test_between_measured_shapes_the_answer_is_predicted(output, kept):
    text = output("choose", "--batch", 100, "--dim", 300, "--dtype", "float32", *ONE, *kept)
    assert "predicted from 6 measured cells" in text


def test_without_results_for_the_dtype_there_is_a_command_instead_of_an_answer(output, kept):
    text = output("choose", "--batch", 100, "--dim", 300, *ONE, *kept, status=1)
    assert "There are no results in float64 with 1 thread." in text
    assert "softmax-impls choose --batch 100 --dim 300 --dtype float64 --threads 1" in text


def test_results_with_fewer_threads_answer_unless_threads_are_stated(capsys, kept):
    assert run(["choose", *map(str, SHAPE), *kept]) == 0
    out, error = capsys.readouterr()
    assert "1 thread: 1 µs" in out
    assert error == "No results with 2 threads are near: this is the answer for 1 thread.\n"
    assert run(["choose", *map(str, SHAPE), *kept, "--threads", "2"]) == 1


def test_impl_restricts_the_candidates_wherever_times_come_from(output, kept):
    options = ("choose", *SHAPE, *ONE, "--impl", "pivoted", "--json")
    for source in (kept, ()):
        assert set(json.loads(output(*options, *source))["candidates"]) == {"pivoted"}


def test_maximum_memory_and_error_rule_out_implementations(output, kept):
    text = output("choose", *SHAPE, *ONE, *kept, "--max-memory", 5)
    assert "Ruled out: numba_rows, pivoted, closed_form: its temporary memory is 10 bytes, more than 5 bytes." in text
    text = output("choose", *SHAPE, *ONE, *kept, "--max-error", "1e-5")
    assert "Ruled out: numba_rows, closed_form: its worst error has no bound." in text


def test_errors_of_our_own_kernels_are_known_wherever_their_times_come_from(output):
    """pytest-benchmark keeps neither errors nor memory."""
    fields = {name: {"temporary_bytes": None} for name in TIMES}
    store.append(Path("foreign.jsonl"), build_cell(16, 16, {**TIMES, "theirs": 1e-3}, fields=fields))
    text = output("choose", *SHAPE, *ONE, "--from", "foreign.jsonl", "--max-error", "1e-5")
    assert "Use numba_simd" in text
    assert "Ruled out: theirs: its worst error is unknown." in text
    assert "Ruled out: numba_rows, closed_form: its worst error has no bound." in text
    assert "nan" not in text


def test_results_of_another_machine_are_mentioned(output):
    fields = {name: {"accurate_for": "logits"} for name in ("quick", "slow")}
    store.append(
        Path("elsewhere.jsonl"), build_cell(16, 16, {"quick": 1e-6, "slow": 3e-6}, fields=fields, machine="a cpu")
    )
    text = output("choose", *SHAPE, *ONE, "--from", "elsewhere.jsonl")
    assert "Use quick, for 16×16 float32, 1 thread: 1 µs a call" in text
    assert "Error or memory not known: quick, slow." in text
    assert "Measured by compare on a cpu: times on this machine may differ." in text


def test_the_commit_that_asv_measured_is_stated(output):
    store.append(Path("asv.jsonl"), build_cell(16, 16, TIMES, fields=FIELDS, tool="asv", commit="a" * 40, **HERE))
    text = output("choose", *SHAPE, *ONE, "--from", "asv.jsonl")
    assert f"Measured by asv at commit {'a' * 10}." in text


def test_an_implementation_of_unknown_accuracy_is_not_recommended_and_the_answer_says_so(output):
    store.append(Path("elsewhere.jsonl"), build_cell(16, 16, {"quick": 1e-6, "numba_simd": 3e-6}))
    text = output("choose", *SHAPE, *ONE, "--from", "elsewhere.jsonl")
    assert "Use numba_simd" in text
    assert "‡ Accuracy on saturated rows not known: recommended only with --any-accuracy." in text


def test_tie_is_called_a_tie_and_the_default_call_is_recommended(output):
    store.append(Path("tie.jsonl"), build_cell(16, 16, {"pivoted": 1e-6, "numba_simd": 1.001e-6}, fields=FIELDS))
    text = output("choose", *SHAPE, *ONE, "--from", "tie.jsonl")
    assert "Use numba_simd, the default call," in text
    difference = f"the difference between pivoted and numba_simd may be less than {MIN_MARGIN:.1%}."
    assert f"Tie: measured at this shape, 20 rounds; {difference}" in text
    assert "Runner-up: pivoted, which ties." in text


# A mix.


def test_mix_of_shapes_is_answered_by_the_weighted_geometric_mean(output, kept):
    arguments = ["choose", "--workload", "256x1000:0.7", "--workload", "16x16:.3", "--dtype", "float32", *ONE, *kept]
    text = output(*arguments)
    assert "Use numba_simd, the default call, for this mix: 1.00x the time of the fastest" in text
    answer = json.loads(output(*arguments, "--json"))
    assert answer["use"] == "numba_simd"
    for in_mix in answer["mix"]:
        assert in_mix["mean"] == pytest.approx(in_mix["times"][0] ** 0.7 * in_mix["times"][1] ** 0.3)


def test_the_code_for_a_mix_runs_in_a_new_process(output, kept):
    arguments = ["choose", "--workload", "256x1000,16x16", "--dtype", "float32", *ONE, *kept, "--impl", "pivoted"]
    code = output(*arguments).partition("\n\n")[2]
    assert code.count('impl="pivoted"') == 2
    done = run_code(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_shapes_of_a_mix_are_measured(output):
    text = output("choose", "--workload", "4x16,16x4", "--dtype", "float32", *ONE, *FEW)
    assert "Measured now: 2 of 2 shapes." in text
    assert len(store.read(MEASURED)[0]) == 2


def test_mix_without_results_has_no_answer(output, kept):
    assert "There are no results" in output("choose", "--workload", "16x16,1x9", *ONE, *kept, status=1)


# Other options.


def test_measure_is_accepted_although_it_is_the_default(output):
    assert "measured now" in output("choose", *SHAPE, *ONE, *FEW, "--measure")


def test_startup_counts_the_calls_after_which_compiling_pays_off(output, monkeypatch, kept):
    seconds = {"numba_simd": (2.0, 0.5)}
    monkeypatch.setattr("softmax_impls.cli.answering.first_calls", lambda name, *_: seconds.get(name, (0.1, 0.1)))
    text = output("choose", *SHAPE, *ONE, "--startup", *kept)
    assert "The first call of numba_simd in a new process takes 2 s, with cached code 500 ms." in text
    assert re.search(
        r"Compared with pivoted, .* it saves time after [\d,]+ calls, with cached code after [\d,]+ calls\.", text
    )


@pytest.mark.slow
def test_startup_times_first_calls_in_new_processes(output, kept):
    text = output("choose", *SHAPE, *ONE, "--startup", *kept)
    assert re.search(r"The first call of \w+ in a new process takes .* with cached code ", text)


def test_each_file_is_read_once(output, kept, monkeypatch):
    """A pipe can be read only once."""
    files = []
    read = runs.read_bytes
    monkeypatch.setattr(runs, "read_bytes", lambda file: files.append(str(file)) or read(file))
    output("choose", *SHAPE, *ONE, *kept)
    assert files == ["kept.jsonl"]


def test_device_is_not_read(error, kept):
    assert error("choose", *SHAPE, *ONE, *kept, "--from", "/dev/zero", status=0) == "/dev/zero: not a file\n"


def test_damaged_file_costs_a_line_on_standard_error(capsys, kept):
    Path("broken.jsonl").write_text("{\n")
    assert run(["choose", *map(str, SHAPE), *map(str, ONE), *kept, "--from", "broken.jsonl"]) == 0
    out, error = capsys.readouterr()
    assert "Use " in out
    assert error.startswith("broken.jsonl: line 1: ")
