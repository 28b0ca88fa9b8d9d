"""softmax-impls tune, as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softmax_impls import tuned
from softmax_impls.cli import run
from softmax_impls.cli.tune import _measured
from softmax_impls.timing.session import Session
from softmax_impls.tuned import Line

CALL = "from softmax_impls import explain; print(explain((2, 3)).rule)"


@pytest.fixture(autouse=True)
def rule(tmp_path, monkeypatch):
    monkeypatch.setenv(tuned.VARIABLE, str(tmp_path / "folder" / "rule.json"))
    return tmp_path / "folder" / "rule.json"


def told(capsys, *arguments, status=0):
    assert run(["tune", *arguments]) == status
    return capsys.readouterr()


def test_without_a_rule(capsys, rule):
    assert told(capsys, "--show").out == f"There is no rule in {rule}: the built-in one is followed.\n"
    assert json.loads(told(capsys, "--show", "--json").out) == {"file": None}
    assert told(capsys, "--reset").out.startswith("There is no rule in ")


def test_show_and_reset(capsys, rule):
    figures = {"cells": 48, "median": 1.0, "p95": 1.05, "worst": 1.25}
    tuned.write(rule, [Line("numba_pivoted", (("elements", 99),)), Line("numba_simd")], regret={"unseen": figures})
    text = told(capsys, "--show").out
    assert "  numba_pivoted: at most 99 elements\n  numba_simd: else\n" in text
    assert "On 48 cells that it was not made from, this rule takes 1.00x the time of the best" in text
    assert json.loads(told(capsys, "--show", "--json").out)["regret"]["unseen"] == figures
    assert json.loads(told(capsys, "--reset", "--json").out) == {"file": str(rule), "removed": True}
    assert not rule.exists()


def test_a_rule_from_elsewhere_is_shown_as_not_followed(capsys, rule):
    tuned.write(rule, [Line("numba_simd")], regret="<b>")
    assert "numba_simd: else" in told(capsys, "--show").out
    rule.write_text(rule.read_text().replace('"numba_simd"', '"numba_rows_"'))
    error = told(capsys, "--show", status=2).err
    assert "rule.json is not followed: line 1: 'impl' has to be one of" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_rule_is_made_and_followed_by_processes_that_start_afterwards(capsys, rule):
    answer = json.loads(told(capsys, "--budget", "20", "--json").out)
    assert answer["rules"][-1]["impl"] in ("numba_simd", "numba_pivoted", "pivoted")
    assert answer["among"] == ["numba_pivoted", "numba_simd", "pivoted"]  # none that loses digits
    for figures in answer["regret"].values():
        assert figures["cells"] > 10
        assert 1 <= figures["median"] <= figures["p95"] <= figures["worst"]
    assert rule.with_name("rule-results.jsonl").stat().st_size
    done = subprocess.run([sys.executable, "-c", CALL], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(rule)


def test_cells_to_judge_by_have_time_even_if_those_before_took_too_long(tmp_path):
    lefts = []

    class Slow(Session):
        def prepare(self, dtypes):
            pass

        def run(self, cells, starting):
            lefts.append(self.left)
            self.deadline = 0.0
            return iter([])

    _measured(Slow({}, 100.0, 10**9), [[], []], tmp_path / "results.jsonl")
    assert lefts == [pytest.approx(70, abs=1), pytest.approx(30, abs=1)]


@pytest.mark.slow
def test_ctrl_c_leaves_the_rule_as_it_was(rule):
    tuned.write(rule, [Line("numba_simd")])
    before = rule.read_bytes()
    process = subprocess.Popen([sys.executable, "-m", "softmax_impls", "tune"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (Path(rule.with_name("rule-results.jsonl")).exists() or time.monotonic() > deadline):
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.strip().endswith("interrupted")
    assert rule.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "1"], "1.0 is not in the range"),
        (["--budget", "nan"], "nan is not a number"),
        (["--show", "--reset"], "--show and --reset don't go together"),
    ],
)
def test_bad_command_lines_exit_2_with_one_line(capsys, arguments, message):
    error = told(capsys, *arguments, status=2).err
    assert message in error
    assert error.count("\n") == 1


def test_switched_off_there_is_no_place_for_it(capsys, monkeypatch):
    monkeypatch.setenv(tuned.VARIABLE, tuned.BUILT_IN)
    assert "there is no place for a rule" in told(capsys, "--show", status=2).err


def test_a_folder_that_can_not_be_written_costs_a_line(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(tuned.VARIABLE, str(tmp_path / "file" / "rule.json"))
    error = told(capsys, "--show", status=2).err
    assert "Not a directory" in error
    assert error.count("\n") == 1
