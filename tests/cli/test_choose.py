"""softmax-impls choose, as a user meets it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from softmax_impls import softmax, softmax_backward
from softmax_impls.cli import run
from tests.scripts import ROOT

KEPT = ("--from", str(ROOT / "docs" / "results" / "results.jsonl"))
FEW = ("--impl", "closed_form", "--impl", "pivoted")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def told(capsys, *arguments, status=0):
    assert run(["choose", *map(str, arguments)]) == status
    return capsys.readouterr()


def test_an_answer_with_a_line_that_can_be_pasted(capsys):
    text = told(capsys, "--batch", 256, "--dim", 1000, "--dtype", "float32", *KEPT).out
    name = re.search(r"^Use (\w+) for 256×1000 float32, 1 thread: [\d.]+ µs a call", text, re.MULTILINE)[1]
    assert "Sure: measured in that very cell" in text
    assert "Runner-up: " in text
    assert "When rows may saturate" in text
    line = text.splitlines()[-1]
    assert f'impl="{name}"' in line
    probs = softmax(np.eye(3))
    assert eval(line, {"softmax_backward": softmax_backward, "probs": probs, "grad_output": probs}).shape == (3, 3)


def test_between_and_outside_it_says_so_and_offers_to_measure(capsys):
    text = told(capsys, "--batch", 100, "--dim", 3000, *KEPT).out
    assert "interpolated from 22 cells" in text
    text = told(capsys, "--batch", 100, "--dim", 300000, *KEPT, status=1).out
    assert "outside of what was measured: batch 1 to 6144" in text
    offered = "softmax-impls choose --batch 100 --dim 300000 --dtype float64 --measure"
    assert offered in text
    text = told(capsys, "--batch", 100, "--dim", 3000, "--threads", 2, *KEPT, status=1).out
    assert "Nothing was measured in float64 on 2 threads." in text


def test_limits(capsys):
    arguments = ["--batch", 6144, "--dim", 512, "--max-memory", "1MB", "--max-error", "1e-6", *KEPT]
    text = told(capsys, *arguments).out
    assert "Ruled out: closed_form: temporaries of 50.3 MB, more than 1.0 MB." in text
    assert "Ruled out: einsum_jacobian: pruned: needs 12.9 GB." in text
    assert "its worst error is" in text
    assert "Nothing that was measured" in told(capsys, *arguments, "--max-error", 1e-20, status=1).out


def test_with_no_results_it_measures_and_keeps_that(capsys):
    answer = json.loads(told(capsys, "--batch", 64, "--dim", 10, *FEW, "--json").out)
    assert answer["basis"] == "measured"
    assert answer["use"] in ("closed_form", "pivoted")
    assert Path("softmax-impls-report/measured.jsonl").stat().st_size
    before = Path("softmax-impls-report/measured.jsonl").read_bytes()
    again = json.loads(told(capsys, "--batch", 64, "--dim", 10, *FEW, "--json").out)
    assert again["contenders"] == answer["contenders"]  # from what is kept
    assert Path("softmax-impls-report/measured.jsonl").read_bytes() == before


def test_measure_does_it_beside_results_of_others(capsys):
    arguments = ["--batch", 3, "--dim", 5, *FEW, *KEPT, "--measure", "--json"]
    answer = json.loads(told(capsys, *arguments).out)
    assert (answer["basis"], set(answer["contenders"])) == ("measured", {"closed_form", "pivoted"})


def test_a_mix_of_shapes(capsys):
    arguments = ["--workload", "imagenet:0.7", "--workload", "512x50257:.3", "--dtype", "float32", *KEPT]
    text = told(capsys, *arguments).out
    assert re.search(r"^Use \w+ for this mix: 1\.\d\dx the fastest", text, re.MULTILINE)
    answer = json.loads(told(capsys, *arguments, "--json").out)
    for one in answer["mix"]:
        assert one["mean"] == pytest.approx(one["times"][0] ** 0.7 * one["times"][1] ** 0.3)
    assert "outside" in told(capsys, "--workload", "imagenet,1x999999", *KEPT, status=1).out


@pytest.mark.slow
def test_startup_tells_when_compiling_has_paid(capsys):
    arguments = ["--batch", 256, "--dim", 1000, "--dtype", "float32", "--startup", *KEPT]
    text = told(capsys, *arguments).out
    first = r"The first call of \w+ in a new process takes .* from the cache"
    assert re.search(first, text)
    assert re.search(r"has paid after [\d,]+ calls, from the cache after [\d,]+\.", text)


def test_devices_are_not_read(capsys):
    found = told(capsys, "--batch", 256, "--dim", 1000, *KEPT, "--from", "/dev/zero")
    assert found.err == "/dev/zero: not a file\n"


def test_a_broken_file_costs_a_line(capsys):
    Path("broken.jsonl").write_text("{\n")
    told_ = told(capsys, "--batch", 256, "--dim", 1000, *KEPT, "--from", "broken.jsonl")
    assert "Use " in told_.out
    assert told_.err.startswith("broken.jsonl: line 1: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --batch and --dim, or --workload"),
        (["--batch", "3"], "either --batch and --dim, or --workload"),
        (["--batch", "3", "--dim", "3", "--workload", "gpt2"], "either --batch and --dim, or --workload"),
        (["--batch", "0", "--dim", "3"], "0 is not in the range 1<=x<=1099511627776"),
        (["--batch", str(10**400), "--dim", "3"], "is not in the range 1<=x<=1099511627776"),
        (["--workload", "nothing"], "'nothing' is neither a shape like 256x1000 nor one of"),
        (["--workload", "gpt2:nan"], "sizes and weight have to be positive numbers"),
        (["--workload", "3x0"], "sizes and weight have to be positive numbers"),
        (["--batch", "3", "--dim", "3", "--threads", "999"], "this process has"),
        (["--batch", "3", "--dim", "3", "--max-error", "nan"], "nan is not a number"),
        (["--batch", "3", "--dim", "3", "--from", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_bad_command_lines_exit_2_with_one_line(capsys, arguments, message):
    error = told(capsys, *arguments, status=2).err
    assert message in error
    assert error.count("\n") == 1
