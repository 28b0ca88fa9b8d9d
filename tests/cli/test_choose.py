"""The command choose."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from softmax_impls import softmax, softmax_backward
from softmax_impls.cli import run
from softmax_impls.results import store
from tests.choice.builders import build_cell

from .conftest import ROOT

KEPT = ("--from", str(ROOT / "measurements" / "results.jsonl"))
FEW = ("--impl", "closed_form", "--impl", "pivoted")
SHAPE = ("--batch", 256, "--dim", 1000, "--dtype", "float32")
MEASURED = Path("softmax-impls-report/measured.jsonl")


def test_answer_names_an_implementation_and_ends_in_a_line_of_python(output):
    text = output("choose", *SHAPE, *KEPT)
    name = re.search(r"^Use (\w+) for 256×1000 float32, 1 thread: [\d.]+ µs a call", text, re.MULTILINE)[1]
    assert "measured at this shape" in text
    assert "Runner-up: " in text
    assert "On saturated rows, use " in text
    assert "Pareto front of time, error and memory: " in text
    line = text.splitlines()[-1]
    assert f'impl="{name}"' in line
    probs = softmax(np.eye(3))
    assert eval(line, {"softmax_backward": softmax_backward, "probs": probs, "grad_output": probs}).shape == (3, 3)


def test_between_measured_shapes_the_answer_is_interpolated(output):
    text = output("choose", "--batch", 100, "--dim", 3000, *KEPT)
    assert "interpolated from 22 measured cells" in text


def test_outside_of_the_measured_shapes_there_is_no_answer_but_a_command(output):
    text = output("choose", "--batch", 100, "--dim", 300000, *KEPT, status=1)
    assert "lies outside of the measured shapes: batch 1 to 6144" in text
    assert "softmax-impls choose --batch 100 --dim 300000 --dtype float64 --measure" in text


def test_without_results_for_these_threads_there_is_no_answer(output, monkeypatch):
    monkeypatch.setattr("softmax_impls.cli.options.available_cores", lambda: 2)
    text = output("choose", "--batch", 100, "--dim", 3000, "--threads", 2, *KEPT, status=1)
    assert "There are no results in float64 with 2 threads." in text
    assert "--threads 2 --measure" in text


def test_maximum_memory_and_error_rule_out_implementations(output):
    arguments = ["choose", "--batch", 6144, "--dim", 512, "--max-memory", "1MB", "--max-error", "1e-6", *KEPT]
    text = output(*arguments)
    assert re.search(r"Ruled out: closed_form: .*50\.3 MB, more than 1\.0 MB\.", text)
    assert "Ruled out: einsum_jacobian: pruned: needs 12.9 GB." in text
    assert "its worst error is" in text
    text = output(*arguments, "--max-error", 1e-20, status=1)
    assert "No implementation that was measured meets these requirements" in text


def test_without_results_the_shape_is_measured_and_the_result_kept(output):
    arguments = ["choose", "--batch", 64, "--dim", 10, *FEW, "--json"]
    answer = json.loads(output(*arguments))
    assert answer["basis"] == "measured"
    assert answer["use"] in ("closed_form", "pivoted")
    before = MEASURED.read_bytes()
    again = json.loads(output(*arguments))
    assert again["candidates"] == answer["candidates"]
    assert MEASURED.read_bytes() == before


def test_measure_ignores_the_results_of_other_machines(output, monkeypatch):
    monkeypatch.setattr(sys.modules["softmax_impls.cli.choose"], "BUDGET", 1.0)
    answer = json.loads(output("choose", "--batch", 3, "--dim", 5, *FEW, *KEPT, "--measure", "--json"))
    assert answer["basis"] == "measured"
    assert set(answer["candidates"]) == {"closed_form", "pivoted"}


def test_results_of_another_machine_are_mentioned(output):
    store.append(Path("elsewhere.jsonl"), build_cell(16, 16, {"quick": 1e-6, "slow": 3e-6}, machine="a cpu"))
    text = output("choose", "--batch", 16, "--dim", 16, "--dtype", "float32", "--from", "elsewhere.jsonl")
    assert "Use quick for 16×16 float32, 1 thread: 1 µs a call" in text
    assert "Sure: measured at this shape, 20 rounds; all others are slower by more than 1.0%." in text
    assert re.search(r"Runner-up: slow, (2\.9|3\.0)\dx the time of the fastest \(", text)
    assert "Measured by compare on a cpu: times on this machine may differ." in text


def test_tie_is_called_a_tie(output):
    store.append(Path("elsewhere.jsonl"), build_cell(16, 16, {"first": 1e-6, "second": 1.001e-6}))
    text = output("choose", "--batch", 16, "--dim", 16, "--dtype", "float32", "--from", "elsewhere.jsonl")
    assert (
        "Tie: measured at this shape, 20 rounds; the difference between first and second may be less than 1.0%." in text
    )


def test_mix_of_shapes_is_answered_by_the_weighted_geometric_mean(output):
    arguments = ["choose", "--workload", "imagenet:0.7", "--workload", "512x50257:.3", "--dtype", "float32", *KEPT]
    text = output(*arguments)
    assert re.search(r"^Use \w+ for this mix: 1\.\d\dx the time of the fastest", text, re.MULTILINE)
    answer = json.loads(output(*arguments, "--json"))
    for in_mix in answer["mix"]:
        assert in_mix["mean"] == pytest.approx(in_mix["times"][0] ** 0.7 * in_mix["times"][1] ** 0.3)


def test_mix_with_a_shape_outside_of_the_measured_shapes_has_no_answer(output):
    assert "outside" in output("choose", "--workload", "imagenet,1x999999", *KEPT, status=1)


def test_startup_counts_the_calls_after_which_compiling_pays_off(output, monkeypatch):
    seconds = {"numba_rows": (2.0, 0.5), "numba_simd": (2.0, 0.5)}
    monkeypatch.setattr(
        sys.modules["softmax_impls.cli.choose"], "first_calls", lambda name, *_: seconds.get(name, (0.1, 0.1))
    )
    text = output("choose", *SHAPE, "--startup", *KEPT)
    assert re.search(r"The first call of \w+ in a new process takes 2 s, with cached code 500 ms\.", text)
    assert re.search(r"it saves time after [\d,]+ calls, with cached code after [\d,]+\.", text)


@pytest.mark.slow
def test_startup_times_first_calls_in_new_processes(output):
    text = output("choose", *SHAPE, "--startup", *KEPT)
    assert re.search(r"The first call of \w+ in a new process takes .* with cached code ", text)


def test_device_is_not_read(error):
    assert error("choose", *SHAPE, *KEPT, "--from", "/dev/zero", status=0) == "/dev/zero: not a file\n"


def test_damaged_file_costs_a_line_on_standard_error(capsys):
    Path("broken.jsonl").write_text("{\n")
    assert run(["choose", *map(str, SHAPE), *KEPT, "--from", "broken.jsonl"]) == 0
    out, error = capsys.readouterr()
    assert "Use " in out
    assert error.startswith("broken.jsonl: line 1: ")
