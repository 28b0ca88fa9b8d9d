"""The command report."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from softmax_impls.report import figures
from softmax_impls.results import store
from softmax_impls.timing.records import Environment
from tests.choice.builders import build_cell


@pytest.fixture(autouse=True)
def few_figures(monkeypatch):
    """Draw one kind of figure: all kinds take seconds."""
    monkeypatch.setattr(figures, "KINDS", ("winners",))


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
    monkeypatch.setattr("softmax_impls.report.files.write", lambda loaded, runs, folder: written)
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


def test_results_of_two_kinds_of_machines_are_printed_side_by_side_in_the_order_of_the_paths(output, folder):
    for name, seconds, numpy in (("here", 1e-6, "2.0"), ("there", 2e-6, "2.4")):
        about = Environment(machine="m", host=name, versions={"numpy": numpy})
        cell = structs.replace(build_cell(16, 16, {"quick": seconds}), environment=about)
        store.append(folder / f"{name}.jsonl", cell)
    text = output("report", "there.jsonl", "here.jsonl")
    assert "A: m (there)" in text
    assert "B: m (here)" in text
    assert "0.50" in text
    assert "Kinds of machines: m, numpy 2.4; m, numpy 2.0." in text
