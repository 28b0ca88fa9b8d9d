"""Where one overtakes another, and exponents, as the page has them."""

import re

import pandas as pd
import pytest

from softmax_impls.report.html.growth import growing, overtaking, sections
from softmax_impls.report.runs import runs
from softmax_impls.results.frame import Loaded, load
from tests.report.results import square
from tests.scripts import ROOT


@pytest.fixture(scope="module")
def run():
    found, _ = runs(load([ROOT / "docs" / "results" / "results.jsonl"]).frame)
    return found[0]


def test_those_that_win_somewhere_overtake_each_other(run):
    table = overtaking(run)
    winners = {name for one in run.cells for name in one.winners}
    names = set(re.findall(r"<td>(\w+)</td><td>(\w+)</td>", table)[0])
    assert names <= winners
    assert 'scope="row">batch<' in table


def test_exponents_stand_beside_theory_with_a_warning_where_they_differ(tmp_path):
    """Both take a time in proportion to batch and dim; of a loop, in which every class passes over all, more is due."""
    (tmp_path / "results.jsonl").write_text(square())
    ((run,), _) = runs(load([tmp_path]).frame)
    lines = growing(run, {"slow": "loop", "quick": "numba"}).split("<tr>")
    assert [("<td>2</td>" in line, "⚠" in line) for line in lines if "slow" in line and ">dim<" in line] == [
        (True, True)
    ]
    assert [("<td>1</td>" in line, "⚠" in line) for line in lines if "quick" in line and ">dim<" in line] == [
        (True, False)
    ]


def test_names_are_shown_as_text_and_too_few_sizes_give_no_table(run):
    hostile = run.rows.assign(implementation="<img src=x onerror=alert(1)>")
    assert "<img" not in growing(type(run)(run.tool, run.machine, run.commit, hostile, run.cells), {})
    few = Loaded(pd.DataFrame(run.rows.head(1)), [])
    assert [tables for *_, tables in sections(runs(few.frame)[0])] == [[], []]
