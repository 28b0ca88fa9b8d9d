"""The page is one file that needs no network, escapes all names, and says what it leaves out."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import LOSES_SATURATED_ROWS, Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.fleet import rank_runs
from softmax_impls.report import figures, files
from softmax_impls.report.html import embedded, page
from softmax_impls.results import store
from softmax_impls.results.runs import load
from tests.report.results import cell, kernel, loaded, page_of, square

HOSTILE = "<img src=x onerror=alert(1)>$\\frac{1$</script><script>alert(2)</script>"
TITLES = ("Fastest implementations", "Time against dim", "Speed against error", "Memory", "Samples")


@pytest.fixture
def make(tmp_path):
    """Return the page and the notes of some lists of cells, each in a file of its own."""

    def make(*lists):
        for cells in lists:
            found = loaded(tmp_path, cells)
        return page_of(found)[:2]

    return make


@pytest.fixture
def without_figures(monkeypatch):
    """Leave the figures out: they take most of the time."""
    monkeypatch.setattr(figures, "KINDS", ())


@pytest.fixture(scope="module")
def squared(tmp_path_factory):
    """Return the page of a grid, its notes, and the ranked runs."""
    return page_of(loaded(tmp_path_factory.mktemp("results"), square()))


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def section(html, name):
    return re.search(rf'<section aria-labelledby="{name}-title">.*?</section>', html, re.DOTALL)[0]


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_page_needs_no_network(squared):
    html, notes, _ = squared
    loading = {"src", "srcset", "data", "action", "background", "poster"}
    for tag, attributes in Tags(html).found:
        assert not loading & set(attributes), tag
        assert tag not in ("link", "base", "iframe", "object", "embed", "image", "img")
        assert all(attributes.get(key, "#").startswith("#") for key in ("href", "xlink:href"))
    assert not re.search(r"@import|url\((?!#)", html)
    assert notes == ["Numbers in this page have 4 digits; the files have all."]


def test_page_has_a_section_for_each_figure(squared):
    html, _, _ = squared
    assert all(f">{title}</h2>" in html for title in TITLES)
    assert html.count("<svg") == len(figures.KINDS)


def test_raw_results_are_in_the_page_with_their_samples(squared):
    html, _, runs = squared
    raw = data_of(html)["raw"]
    assert [(one["batch"], one["dim"]) for one in raw["cells"]] == [
        (one.key.batch, one.key.dim) for one in runs[0].cells
    ]
    result = dict(zip(raw["fields"], raw["cells"][0]["kernels"][0], strict=True))
    original = runs[0].cells[0].cell.kernels[0]
    assert result["name"] == original.name
    assert result["samples"] == pytest.approx(original.samples, rel=1e-3)
    assert result["seconds"] == pytest.approx(original.seconds, rel=1e-3)
    assert raw["errors"][result["errors"]] == original.errors
    assert raw["environments"][raw["cells"][0]["environment"]]["versions"] == {"numpy": "2.4.6"}


def test_embedded_predictions_are_the_answers_of_choose(squared):
    html, _, runs = squared
    data = data_of(html)
    (panel,) = data["runs"][0]["panels"]
    shapes = panel["shapes"]
    assert len(shapes) > 150
    for shape in shapes[::7]:
        batch, dim, measured, pick, code, candidates = shape
        answer = choose(Question(batch, dim, "float32"), runs, "", implementations())
        assert answer.basis == ("measured" if measured else "predicted")
        assert data["names"][pick] == answer.pick.name
        assert panel["code"][code].replace("(batch, dim)", f"({batch}, {dim})") == str(answer.usage)
        for (name, nanoseconds, ratio, low, high, tied), candidate in zip(
            candidates, answer.candidates.values(), strict=True
        ):
            assert data["names"][name] == candidate.name
            assert nanoseconds == pytest.approx(1e9 * candidate.seconds, rel=1e-3)
            expected = answer.ratio(candidate.name)
            assert (ratio, low, high) == pytest.approx((expected.value, expected.low, expected.high), rel=1e-3)
            assert bool(tied) == (candidate.name in answer.winners)


def test_page_with_many_results_leaves_some_out_and_says_so(make, monkeypatch):
    monkeypatch.setattr(page, "MAX_RESULTS", 6)
    monkeypatch.setattr(page, "MAX_FIGURES", 100)
    monkeypatch.setattr(embedded, "MAX_SAMPLES", 30)
    monkeypatch.setattr(embedded, "MAX_PREDICTIONS", 100)
    html, notes = make(square((16, 256)))
    data = data_of(html)
    results = [values for one in data["raw"]["cells"] for values in one["kernels"]]
    assert len(results) == 6
    assert {len(values[data["raw"]["fields"].index("samples")]) for values in results} == {5}
    assert data["runs"][0]["panels"] == []
    assert "This page shows 3 of 4 cells, those of the first runs." in notes
    assert "This page has the first 5 samples of each result; the longest series has 12." in notes
    assert any(line.startswith("Figures of 1 run would make this page too large: a cpu") for line in notes)
    assert any(line.startswith("Predictions for 1 combination of run, dtype and threads") for line in notes)
    assert all(line.replace("'", "&#39;") in html for line in notes)
    assert "<svg" not in html


@pytest.mark.slow
@pytest.mark.parametrize("kernels", [1, 2])
def test_page_of_many_large_files_is_below_3_mb(make, monkeypatch, kernels):
    sizes = tuple(2**k for k in range(1, 15))
    names = ("slow", "quick")[:kernels]
    runs = [
        [cell(dict.fromkeys(names, 1e-9 * b * d), b, d, rounds=50, commit=f"{n:040x}") for b in sizes for d in sizes]
        for n in range(6)
    ]
    figure_characters = page.MAX_FIGURES
    if kernels == 1:  # once with figures is enough: they take most of the time
        monkeypatch.setattr(page, "MAX_FIGURES", 0)
    html, notes = make(*runs)
    assert 1_000_000 < len(html.encode()) < 3_000_000 - (figure_characters if kernels == 1 else 0)
    assert len(notes) >= 4


def test_names_are_text_everywhere(make):
    strange = {"machine": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    html, _ = make(
        [cell({HOSTILE: 1e-6, "_x": 2e-6}, **strange)],
        [cell([kernel(HOSTILE, 1e-6, errors={HOSTILE: 1e-7}, note=HOSTILE)], workload=HOSTILE, commit=HOSTILE)],
    )
    tags = Tags(html).found
    assert [tag for tag, _ in tags].count("script") == 2
    assert not [attributes for tag, attributes in tags if tag == "img" or "onerror" in attributes]
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert HOSTILE in data_of(html)["names"]
    assert all(f">{title}</h2>" in html for title in TITLES)


@pytest.mark.usefixtures("without_figures")
def test_problems_are_in_the_page(tmp_path):
    (tmp_path / "<b>.json").write_text("[1, 2]")
    html, _, _ = page_of(loaded(tmp_path, [cell({"a": 1e-6})]))
    assert "1 problem with the files" in html
    assert "&lt;b&gt;.json: " in html


@pytest.mark.usefixtures("without_figures")
def test_unverified_results_are_in_the_page_but_not_ranked(make):
    result = kernel("a", 1e-6, status="wrong", note="row 3 is wrong")
    html, _ = make([cell([result])])
    assert data_of(html)["runs"][0]["panels"][0]["shapes"] == []
    assert "row 3 is wrong" in html
    assert ">a</td>" not in section(html, "cells")


def test_all_cells_are_listed_with_the_share_of_the_roofline(squared):
    html, _, _ = squared
    listed = section(html, "cells")
    assert ">% of roofline</th>" in listed
    assert listed.count("<tr>") == 1 + 9
    # The roofline takes 100 ns, and quick 0.5 ns · 256 with up to 1.1 % more.
    row = '>16×16</a></th><td>float32</td><td>1</td><td class="wrap">quick</td><td>129 ns</td><td>78 %</td>'
    assert row in listed


def test_cells_of_other_axes_are_listed_without_a_link_because_the_page_answers_for_rows(make, monkeypatch):
    monkeypatch.setattr(figures, "KINDS", ("winners", "memory"))
    html, _ = make([cell({"a": 1e-6}), cell({"a": 1e-6}, 6400, 10, workload="channels")])
    assert '<th scope="row">channels 64×10×100 axis=1</th>' in section(html, "cells")
    assert '<th scope="row"><a href="#batch=16&amp;dim=16' in section(html, "cells")
    assert not re.search("href=.*batch=6400", html)
    assert [one["batch"] for one in data_of(html)["raw"]["cells"]] == [16]


@pytest.mark.usefixtures("without_figures")
def test_runs_are_compared_side_by_side(make):
    html, _ = make(
        [cell({"numba_simd": 1e-6, "b": 9e-6})], [cell({"numba_simd": 9e-6, "b": 2e-6}, commit="f00", machine="other")]
    )
    shared = section(html, "shared")
    assert re.findall(r"<li>(.: \w+)", shared) == ["A: a", "B: other"]
    assert re.findall(r'<th scope="col">([^<]*)</th>', shared)[2:7] == ["A", "B", "B÷A", "B÷A numba_simd", "B÷A of all"]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", shared)
    assert cells[1:6] == ["numba_simd 1.01 µs", "b 2.01 µs", "2.00", "9.00", "0.22 to 9.00"]


def test_kinds_of_machines_have_maps_side_by_side_and_an_answer_for_all(make, monkeypatch):
    monkeypatch.setattr(figures, "KINDS", ("winners",))  # the others take most of the time
    html, _ = make(
        [cell({"numba_simd": 1e-6, "b": 9e-6}), cell({"numba_simd": 1e-6}, dim=256)],
        [cell({"numba_simd": 1.04e-6, "b": 1e-6}, commit="f00", machine="other, 4 cores, Linux")],
    )
    maps, shared = section(html, "winners"), section(html, "shared")
    assert maps.count("<svg") == 1  # both maps are in one figure, with a place for 256 in each
    assert re.findall(r">([AB]: [^<]*)<", maps) == ["A: a cpu, 2 cores, Linux", "B: other, 4 cores, Linux"]
    assert maps.count(">256<") == 2
    summary = "in 1 of 1 cell: fastest or tied on each in 0, and within 10 % of the best in the others."
    assert f"<li>numba_simd serves all 2 kinds {summary}</li>" in shared
    assert '<td class="wrap">numba_simd on 1 of 2 kinds; on other, 4 cores it is within 4 % of the best</td>' in shared


@pytest.mark.usefixtures("without_figures")
def test_two_commits_on_one_machine_are_one_kind(make):
    html, _ = make([cell({"a": 1e-6})], [cell({"a": 2e-6}, commit="f00")])
    assert "kinds" not in section(html, "shared")


@pytest.mark.usefixtures("without_figures")
def test_marked_implementations_are_explained_and_not_recommended(make):
    html, _ = make([cell([kernel("a", 1e-6, accurate_for="probs"), kernel("b", 2e-6)])])
    listed = section(html, "cells")
    assert re.search(r'<td class="wrap">b</td><td>2.01 µs</td><td>[^<]*</td><td>a † 0.50×</td>', listed)
    data = data_of(html)
    assert data["marks"] == {"a": " †"}
    assert data["explanations"][" †"] == f"† {LOSES_SATURATED_ROWS}"
    assert data["names"][data["runs"][0]["panels"][0]["shapes"][0][3]] == "b"


@pytest.mark.usefixtures("without_figures")
def test_crossovers_are_listed(make):
    cells = [cell({"a": 1e-9 * dim, "b": 1e-7 + 0.5e-9 * dim}, 16, dim) for dim in (16, 64, 256, 1024)]
    html, _ = make(cells)
    row = '<th scope="row">dim</th><td>batch 16, float32, 1 thread</td><td>a</td><td>b</td><td>'
    (size,) = re.findall(re.escape(row) + r"([\d,]+)</td>", section(html, "crossovers"))
    assert 150 < int(size) < 270  # the times are equal at dim 200


@pytest.mark.usefixtures("without_figures")
def test_exponents_are_listed_with_a_warning_where_they_differ_from_theory(make):
    """Both times are proportional to batch and dim. Theory says so for numba_rows, and dim² for column_loop."""
    cells = [cell({"column_loop": 1e-8 * b * d, "numba_rows": 1e-9 * b * d}, b, d) for b in (4, 64) for d in (4, 64)]
    html, _ = make(cells)
    lines = re.findall(r'<tr><th scope="row">(\w+)</th><td>dim</td>.*?<td>(\d)</td><td>(.*?)</td></tr>',
                       section(html, "growth"))  # fmt: skip
    assert lines == [("column_loop", "2", "⚠ the overhead of calls or rows dominates"), ("numba_rows", "1", "")]


def test_write_makes_a_page_and_figures_of_each_kind(tmp_path):
    store.write(tmp_path / "results.jsonl", square((16, 256)))
    found = load([tmp_path / "results.jsonl"])
    written, drawn, notes = files.write(found, rank_runs(found.runs), tmp_path / "out")
    assert written == tmp_path / "out" / "report.html"
    assert written.read_text(encoding="utf-8").startswith("<!doctype html>")
    folder = tmp_path / "out" / "figures"
    assert drawn == [folder / (kind + suffix) for kind in figures.KINDS for suffix in (".png", ".svg")]
    assert notes == ["Numbers in this page have 4 digits; the files have all."]
    for kind in figures.KINDS:
        assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
        texts = ElementTree.parse(folder / f"{kind}.svg").iter("{http://www.w3.org/2000/svg}text")
        assert "quick" in {text.text for text in texts}


def test_figures_of_several_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_RUNS", 1)
    monkeypatch.setattr(figures, "KINDS", ("winners",))
    loaded(tmp_path, [cell({"a": 1e-6})])
    found = loaded(tmp_path, [cell({"a": 1e-6}, commit="f00")])
    _, drawn, notes = files.write(found, rank_runs(found.runs), tmp_path)
    assert [path.name for path in drawn] == ["winners-1.png", "winners-1.svg"]
    assert notes[-1] == "Figure files show the first 1 of 2 runs."
