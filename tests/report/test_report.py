"""The report: figures that show what was measured, one file that needs no network, and nothing left out silently."""

import json
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import click
import pytest

from softmax_impls.choice import ranking
from softmax_impls.cli.report import report as command
from softmax_impls.report import figures, page, plots
from softmax_impls.report.html import embedded
from softmax_impls.report.html.page import Report
from softmax_impls.report.notebook import Results
from softmax_impls.report.runs import representative, runs
from softmax_impls.results import store
from softmax_impls.results.frame import load
from tests.report.results import cell, square
from tests.scripts import ROOT

COMPARED = ROOT / "docs" / "results" / "results.jsonl"
HOSTILE = "<img src=x onerror=alert(1)>$\\frac{1$</script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def compared():
    return Report(load([COMPARED]))


@pytest.fixture
def report_of(tmp_path):
    """Return the report of files with these texts."""

    def report_of(*texts):
        for number, text in enumerate(texts):
            (tmp_path / f"{number}.jsonl").write_text(text)
        return Report(load([tmp_path]))

    return report_of


def run(*arguments):
    return command.main(list(map(str, arguments)), standalone_mode=False)


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def labels(figure):
    return [text.get_text().strip() for text in figure.legends[0].get_texts()]


# ---------------------------------------------------------------- runs


def test_cells_are_ranked_as_compare_ranks_them(compared):
    (one,) = compared.runs
    found = {ranked.cell: ranked.winners for ranked in one.cells}
    assert found == {ranked.cell: ranked.winners for ranked in ranking.rank_all(store.read(COMPARED))}
    row = json.loads(COMPARED.read_text(encoding="utf-8").splitlines()[0])
    commit, _, changes = row["commit"].partition("+")
    machine = "{cpu}, {cores} cores, {system}".format(**row["machine"])
    assert one.title == f"{machine} · {commit[:10]}{'+' if changes else ''}{changes} · compare"


def test_a_cell_measured_again_counts_once_with_its_newest_file(report_of):
    old, new = cell({"a": 1e-6}), cell({"a": 2e-6}, time="2026-02-01T00:00:00+00:00")
    for texts in ((old, new), (new, old)):
        report = report_of(*texts)
        assert [one.seconds for one in report.runs[0].cells] == [pytest.approx(2.011e-6, rel=1e-3)]
        assert report.notes == ["1 rows of cells that were measured again later are left out."]


def test_runs_are_machines_and_commits_the_newest_first(report_of):
    elsewhere = {"machine": {"cpu": "b cpu", "cores": 4, "system": "Linux"}, "time": "2026-03-01T00:00:00+00:00"}
    report = report_of(cell({"a": 1e-6}), cell({"a": 1e-6}, **elsewhere), cell({"a": 1e-6}, commit="f00", time=None))
    assert [one.title for one in report.runs] == [
        "b cpu, 4 cores, Linux · c0ffee · compare",
        "a cpu, 2 cores, Linux · c0ffee · compare",
        "a cpu, 2 cores, Linux · f00 · compare",
    ]


# ---------------------------------------------------------------- figures


def test_times_show_every_cell_its_interval_and_the_limit(compared):
    (one,) = compared.runs
    figure = figures.times(one, one.panels, compared.styles)
    assert [axis.get_title() for axis in figure.axes] == ["float32, 1 thread", "float64, 1 thread"]
    assert labels(figure) == [*compared.styles, "the machine's limit: moving the bytes"]
    for axis, dtype in zip(figure.axes, ("float32", "float64"), strict=True):
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        assert axis.get_xlabel() == "size: batch × dim (elements)"
        rows = one.rows[one.rows["dtype"] == dtype]
        points = [point for drawn in axis.collections if drawn.get_urls()[0] for point in drawn.get_offsets().tolist()]
        expected = (rows["batch"] * rows["dim"]).astype(float)
        assert sorted(points) == sorted(map(list, zip(expected, rows["median"], strict=True)))
        bars = [bar for drawn in axis.collections if not drawn.get_urls()[0] for bar in drawn.get_segments()]
        assert sorted(bar[:, 1].tolist() for bar in bars) == sorted(
            map(list, rows.dropna(subset="low")[["low", "high"]].itertuples(index=False))
        )


def test_accuracy_and_memory_show_their_columns(compared):
    (one,) = compared.runs
    panel = one.panels[1]
    (axis,) = figures.accuracy(one, [panel], compared.styles).axes
    shown = representative([other for other in one.cells if other.cell.dtype == "float64"])
    points = {tuple(point) for drawn in axis.collections for point in drawn.get_offsets().tolist()}
    assert points == {(row["median"], row["error"]) for row in shown.rows.values()}
    assert len(points) == 9
    (axis,) = figures.memory(one, [panel], compared.styles).axes
    assert axis.get_ylabel() == "temporary memory of one call"
    heights = {point[1] for drawn in axis.collections for point in drawn.get_offsets().tolist()}
    assert heights == set(one.rows[one.rows["dtype"] == "float64"]["temporary_bytes"])


def test_samples_are_all_there(compared):
    shown = representative(compared.runs[0].cells)
    (axis,) = figures.samples(shown, compared.styles).axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == sorted(
        shown.rows, key=lambda name: shown.rows[name]["seconds"], reverse=True
    )
    drawn = [x for line in axis.lines if line.get_marker() != "None" for x in line.get_xdata()]
    assert sorted(drawn) == sorted(x for row in shown.rows.values() for x in row["samples"])


def test_the_map_hatches_ties_and_marks_winners(report_of):
    (one,) = report_of(cell({"a": 1e-6, "b": 1.001e-6}) + cell({"a": 1e-6, "b": 9e-6}, dim=256)).runs
    (axis,) = plots.winners_map(one.cells).axes
    tiles = [patch for patch in axis.patches if patch.get_url()]
    assert [bool(tile.get_hatch()) for tile in tiles] == [True, False]
    assert tiles[0].get_url().endswith("#batch=16&dim=16&dtype=float32&threads=1")
    assert [line.get_marker() for line in axis.lines] == ["o", "s", "o"]


def test_colours_and_markers_tell_72_implementations_apart():
    assert len(set(plots.looks(f"{i:02}" for i in range(72)).values())) == 72


def test_nothing_known_is_nothing_drawn(report_of):
    report = report_of(cell({"a": 1e-6}, errors={}))
    (one,) = report.runs
    assert figures.accuracy(one, one.panels, report.styles) is None
    html, _ = report.html()
    assert "Speed against error" not in html
    assert "Time against size" in html


# ---------------------------------------------------------------- the page


class Tags(HTMLParser):
    """What a page has of tags and attributes."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_page_needs_no_network_and_is_small(compared):
    html, notes = compared.html()
    assert len(html.encode()) < 3_000_000
    loading = {"src", "srcset", "data", "action", "background", "poster"}
    for tag, attributes in Tags(html).found:
        assert not loading & set(attributes), tag
        assert tag not in ("link", "base", "iframe", "object", "embed", "image", "img")
        assert all(attributes.get(key, "#").startswith("#") for key in ("href", "xlink:href"))
    assert not re.search(r"@import|url\((?!#)", html)
    assert notes == ["Samples are rounded to 4 digits, in this page only."]


def test_every_row_is_in_the_page_with_its_samples(compared):
    found = data_of(compared.html()[0])
    assert len(found["rows"]) == len(compared.loaded.frame)
    number, row = next(iter(compared.runs[0].rows.iterrows()))
    raw = dict(zip(found["columns"], found["rows"][str(number)], strict=True))
    assert raw["samples"] == pytest.approx(row["samples"], rel=1e-3)
    assert raw["median"] == pytest.approx(row["median"], rel=1e-5)
    assert found["versions"][raw["versions"]] == row["versions"]
    assert found["files"][raw["file"]] == str(COMPARED)


def test_a_lot_is_cut_down_and_that_is_said(report_of, monkeypatch):
    monkeypatch.setattr(page, "MOST_ROWS", 6)
    monkeypatch.setattr(page, "MOST_FIGURES", 100)
    monkeypatch.setattr(embedded, "MOST_SAMPLES", 30)
    html, notes = report_of(square((16, 256))).html()
    found = data_of(html)
    assert len(found["rows"]) == 6
    assert {len(row[found["columns"].index("samples")]) for row in found["rows"].values()} == {5}
    assert "3 of 4 cells are shown, those of the newest runs first: a page takes 6 rows." in notes
    assert "Of each row, the first 5 samples are kept in this page; the longest has 12." in notes
    assert any(line.startswith("Figures of 1 run would make the page too large: a cpu") for line in notes)
    assert all(line in html for line in notes)
    assert "<svg" not in html


@pytest.mark.slow
def test_a_folder_of_many_large_files_fits(report_of):
    sizes = tuple(2**k for k in range(1, 15))
    texts = [square(sizes, rounds=200, commit=f"{n:040x}", versions={"numpy": f"2.{n}"}) for n in range(12)]
    html, notes = report_of(*texts).html()
    assert 1_000_000 < len(html.encode()) < 3_000_000
    assert len(notes) >= 4


def test_names_are_text_wherever_they_are(report_of):
    strange = {"machine": {"cpu": HOSTILE, "cores": 2, "system": "\ud800\x00"}, "versions": {HOSTILE: [HOSTILE]}}
    report = report_of(cell({HOSTILE: 1e-6, "_x": 2e-6}, **strange), cell({HOSTILE: 1e-6}, workload=HOSTILE))
    html, _ = report.html()
    html = html.encode("utf-8", "replace").decode()
    tags = Tags(html).found
    assert [tag for tag, _ in tags].count("script") == 2
    assert not [attributes for tag, attributes in tags if tag == "img" or "onerror" in attributes]
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert HOSTILE in {row[0] for row in data_of(html)["rows"].values()}
    one = report.runs[-1]
    drawn = report.figures(one, one.panels)
    assert set(drawn) == set(page.SECTIONS)
    assert HOSTILE in labels(drawn["times"])


def test_problems_are_in_the_page(tmp_path):
    (tmp_path / "<b>.json").write_text("[1, 2]")
    (tmp_path / "good.jsonl").write_text(cell({"a": 1e-6}))
    html, _ = Report(load([tmp_path])).html()
    assert "1 problem with the files" in html
    assert "&lt;b&gt;.json: neither asv&#x27;s store nor pytest-benchmark&#x27;s" in html


def test_runs_are_held_side_by_side(report_of):
    report = report_of(cell({"a": 1e-6, "b": 9e-6}), cell({"a": 9e-6, "b": 1e-6}, commit="f00"))
    html, _ = report.html()
    (section,) = re.findall(r"<h2>Runs side by side</h2>.*?</section>", html, re.DOTALL)
    assert re.findall(r"<td>(\w), [^<]*</td>", section) == ["a", "b"]
    assert section.count('scope="col"') == 4
    assert html.count("<h3>") == 2 * len(page.SECTIONS) + 2


# ---------------------------------------------------------------- the command


def test_the_command_writes_a_page_and_figures_and_tells_what_it_could_not_read(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(square())
    (tmp_path / "b.json").write_text("{")
    assert run(tmp_path, tmp_path / "gone.json", "--output", tmp_path / "out") == 0
    out, error = capsys.readouterr()
    written = [line for line in out.splitlines() if line.startswith(str(tmp_path))]
    assert written[0] == str(tmp_path / "out" / "report.html")
    names = [*page.SECTIONS, "samples"]
    assert sorted(p.name for p in (tmp_path / "out" / "figures").iterdir()) == sorted(
        name + suffix for name in names for suffix in (".png", ".svg")
    )
    assert len(written) == 1 + 2 * len(names)
    for name in names:
        assert (tmp_path / "out" / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        texts = ElementTree.parse(tmp_path / "out" / "figures" / f"{name}.svg").iter("{http://www.w3.org/2000/svg}text")
        assert "quick" in {text.text for text in texts}
    told = [line for line in error.splitlines() if line.startswith(str(tmp_path))]
    assert [line.split(": ")[0] for line in told] == [str(tmp_path / "b.json"), str(tmp_path / "gone.json")]


def test_the_command_in_json(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(cell({"a": 1e-6}))
    assert run(tmp_path / "a.jsonl", "--output", tmp_path / "out", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["page"] == str(tmp_path / "out" / "report.html")
    assert len(found["figures"]) == 10
    assert (found["rows"], found["problems"]) == (1, [])


def test_nothing_to_read_is_a_bad_command_line(tmp_path, capsys):
    with pytest.raises(click.UsageError, match=r"no store in .*gone\.json"):
        run(tmp_path / "gone.json", "--output", tmp_path / "out")
    assert "gone.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "a.jsonl").write_text(cell({"a": 1e-6}))
    with pytest.raises(click.BadParameter, match="is a file"):
        run(tmp_path / "a.jsonl", "--output", tmp_path / "a.jsonl")


# ---------------------------------------------------------------- in a notebook


def test_results_in_a_notebook(tmp_path):
    (tmp_path / "a.jsonl").write_text(square() + cell({HOSTILE: 1e-6}, workload="custom", dim=5))
    (tmp_path / "b.json").write_text("{")
    found = Results.of([str(tmp_path)])
    html = found._repr_html_()
    assert html.count("<tr>") == 1 + 9 + 1
    assert "<img" not in html
    assert "&lt;img" in html
    assert "b.json: " in html
    assert found.plot().axes[0].get_xlabel() == "dim (classes)"
    assert found.plot("times").axes[0].get_ylabel() == "time of one call"
    with pytest.raises(ValueError, match="kind must be one of winners, times, accuracy, memory, got 'time'"):
        found.plot("time")
    with pytest.raises(ValueError, match="run must be less than 1, the number of runs, got 1"):
        found.plot(run=1)
    assert Results.of([tmp_path / "gone"])._repr_html_().startswith("<p>")


def test_importing_the_package_loads_no_matplotlib():
    assert "matplotlib" in sys.modules  # by this file, so that the name is right
    import subprocess

    code = "import sys, softmax_impls; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_runs_of_an_empty_table(tmp_path):
    assert runs(load([tmp_path / "gone"]).frame) == ([], [])
