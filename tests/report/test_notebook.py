"""Results in a notebook."""

import re

import pytest

from softmax_impls.report.notebook import Results
from tests.report.results import cell, loaded, square


@pytest.fixture
def results(tmp_path):
    loaded(tmp_path, [*square((16, 256)), cell({"<img src=x>": 1e-6}, workload="custom", dim=5)])
    (tmp_path / "b.json").write_text("{")
    return Results.of([str(tmp_path)])


def test_results_are_shown_as_a_table_of_all_implementations_and_workloads(results):
    html = results._repr_html_()
    assert re.findall(r'<th scope="row">([^<]*)</th>', html) == ["quick", "slow", "&lt;img src=x&gt;", "roofline"]
    assert html.count('<th scope="col">') == 1 + 5
    assert "float32, 1 thread: time of one call, and × the fastest" in html
    assert "<img" not in html
    assert "&lt;img" in html
    assert "b.json: " in html
    assert repr(results) == "<Results: 5 cells in 1 run>"


def test_frame_has_a_row_for_each_kernel_in_each_cell(results):
    assert len(results.frame) == 2 * 4 + 1
    assert set(results.frame["implementation"]) == {"slow", "quick", "<img src=x>"}


def test_plot_draws_the_figure_that_is_asked_for(results):
    assert results.plot().axes[0].get_xlabel() == "dim"
    assert results.plot("times").axes[0].get_xlabel() == "dim"
    assert results.plot("times").axes[0].get_ylabel() == "time of one call"
    assert results.plot("samples").axes[0].get_title() == "float32, 1 thread · 256×256"


def test_plot_names_the_argument_that_is_wrong(results):
    with pytest.raises(ValueError, match="kind must be one of winners, times, accuracy, memory, samples, got 'time'"):
        results.plot("time")
    with pytest.raises(ValueError, match="run must be less than 1, the number of runs, got 1"):
        results.plot(run=1)


def test_missing_path_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*gone"):
        Results.of([tmp_path / "gone"])


def test_folder_without_results_says_so(tmp_path):
    assert "no results" in Results.of([tmp_path])._repr_html_()
