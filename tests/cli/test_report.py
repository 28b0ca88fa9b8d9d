"""The command report."""

import json
import sys
from pathlib import Path

import pytest

from softmax_impls.results import store
from tests.choice.builders import build_cell


@pytest.fixture
def results(folder):
    path = folder / "results.jsonl"
    for batch in (16, 256):
        store.append(path, build_cell(batch, 16, {"quick": 1e-6 * batch, "slow": 2e-6 * batch}))
    return path


def test_page_and_figures_are_written_and_their_paths_printed(output, results):
    lines = output("report", results, "--output", "page").splitlines()
    assert lines[0] == "page/report.html"
    figures = [Path(line) for line in lines if line.startswith("page/figures/")]
    assert {path.suffix for path in figures} == {".png", ".svg"}
    assert all(path.stat().st_size for path in [Path(lines[0]), *figures])


def test_json_has_paths_counts_and_problems(output, results, monkeypatch):
    written = Path("page/report.html"), [Path("page/figures/times.png")], ["a note"]
    monkeypatch.setattr(sys.modules["softmax_impls.cli.report"], "write", lambda loaded, folder: written)
    Path("broken.jsonl").write_text("{\n")
    found = json.loads(output("report", results, "broken.jsonl", "--json"))
    (problem,) = found.pop("problems")
    assert problem.startswith("broken.jsonl: line 1: ")
    assert found == {
        "page": "page/report.html",
        "figures": ["page/figures/times.png"],
        "cells": 2,
        "notes": ["a note"],
    }


def test_folder_that_is_a_file_is_an_error(error, results):
    Path("file").write_text("")
    assert "'--output': Directory 'file' is a file" in error("report", results, "--output", "file")
