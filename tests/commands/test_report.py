"""`softmax_impls.write_report`."""

import pytest

import softmax_impls
from softmax_impls.report import figures
from tests.report.results import loaded, square


def test_page_is_written_and_its_path_returned(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "KINDS", ("winners",))  # all kinds take seconds
    loaded(tmp_path, square((16, 256)))
    page = softmax_impls.write_report(tmp_path, tmp_path / "page")
    assert page == tmp_path / "page" / "report.html"
    assert page.stat().st_size


def test_missing_path_and_missing_results_are_errors_and_a_broken_file_is_a_warning(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*gone"):
        softmax_impls.write_report(tmp_path / "gone")
    (tmp_path / "b.json").write_text("{")
    with pytest.warns(UserWarning, match=r"b\.json: "), pytest.raises(ValueError, match="no results"):
        softmax_impls.write_report(tmp_path, tmp_path)
