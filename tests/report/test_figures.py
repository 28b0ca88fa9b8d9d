"""Figures show all results that they are made from."""

import pytest

from softmax_impls.report import figures
from softmax_impls.report.panels import Panel, by_panel, representative
from softmax_impls.report.style import MAX_NAME, short_name, styles_of
from softmax_impls.results.runs import interval_of
from tests.report.results import cell, kernel, ranked, square


@pytest.fixture(scope="module")
def cells():
    """Return cells of three kernels, in two dtypes; one kernel was eliminated, one is not verified."""
    errors = {"a": {"ordinary": 1e-7}, "b": {"ordinary": 1e-6, "saturated": 1.0}, "c": {"ordinary": 0.0}}
    some = []
    for dtype in ("float32", "float64"):
        for batch, dim in ((1, 16), (16, 16), (4, 64), (256, 64)):
            seconds = {"a": 1e-9 * batch * dim, "b": 2e-9 * batch * dim, "c": 5e-9 * batch * dim}
            kernels = [
                kernel(name, time, temporary_bytes=8 * batch * (name != "a"), errors=errors[name])
                for name, time in seconds.items()
            ]
            wrong = kernel("wrong", 1e-10, status="wrong", note="row 0 is wrong")
            some.append(cell([*kernels, wrong], batch, dim, dtype=dtype))
    return ranked(some).cells


STYLES = styles_of("abc")
FLOAT32 = Panel(1, "float32")


def labels(figure):
    return [text.get_text().strip() for text in figure.legends[0].get_texts()]


def points_of(axis):
    return sorted(
        tuple(point)
        for drawn in axis.collections
        if drawn.get_urls() and drawn.get_urls()[0]
        for point in drawn.get_offsets().tolist()
    )


def test_figure_of_times_shows_each_result_with_its_interval_and_the_roofline(cells):
    figure = figures.draw("times", cells, STYLES)
    assert [axis.get_title() for axis in figure.axes] == ["float32, 1 thread", "float64, 1 thread"]
    assert labels(figure) == [*STYLES, "roofline: moving the bytes"]
    for axis, shown in zip(figure.axes, by_panel(cells).values(), strict=True):
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        assert axis.get_xlabel() == "size: batch × dim (elements)"
        results = [(one.key, one.kernels[name]) for one in shown for name in "abc"]
        assert points_of(axis) == sorted((float(key.elements), result.seconds) for key, result in results)
        bars = [bar for drawn in axis.collections if not drawn.get_urls()[0] for bar in drawn.get_segments()]
        assert sorted(tuple(bar[:, 1]) for bar in bars) == sorted(interval_of(result) for _, result in results)


def test_axes_have_units(cells):
    figure = figures.draw("times", by_panel(cells)[FLOAT32], STYLES)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    assert {"100 ns", "1 µs"} <= {text.get_text() for text in axis.get_yticklabels()}
    assert {"100", "1 k"} <= {text.get_text() for text in axis.get_xticklabels()}
    figure = figures.draw("memory", by_panel(cells)[FLOAT32], STYLES)
    figure.draw_without_rendering()
    assert {"0 B", "1 kB"} <= {text.get_text() for text in figure.axes[0].get_yticklabels()}


def test_short_axes_have_more_than_one_label():
    run = ranked([cell({"a": 1.1e-6, "b": 1.9e-6})])
    figure = figures.draw("samples", run.cells, STYLES)
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels() if low <= text.get_position()[0] <= high]
    assert len(list(filter(None, ticks))) >= 2


def test_figures_of_accuracy_and_memory_show_errors_and_bytes(cells):
    cells = by_panel(cells)[Panel(1, "float64")]
    shown = representative(cells)
    (axis,) = figures.draw("accuracy", cells, STYLES).axes
    results = [shown.kernels[name] for name in "abc"]
    assert points_of(axis) == sorted((one.seconds, one.error or figures.SMALLEST_ERROR) for one in results)
    assert axis.get_ylabel() == "worst relative error; 0 is drawn at 1e-20"
    (axis,) = figures.draw("memory", cells, STYLES).axes
    assert axis.get_ylabel() == "temporary memory of one call"
    assert {y for _, y in points_of(axis)} == {0.0, 8.0, 32.0, 128.0, 2048.0}


def test_peak_memory_is_shown_if_temporary_memory_is_unknown():
    run = ranked([cell([kernel("a", 1e-6, temporary_bytes=None, peak_memory_bytes=10**8)])])
    (axis,) = figures.draw("memory", run.cells, STYLES).axes
    assert axis.get_ylabel() == "peak memory of the process"
    assert points_of(axis) == [(256.0, 1e8)]


def test_a_panel_without_data_stays_empty_beside_panels_with_data():
    known, unknown = cell({"a": 1e-6}), cell([kernel("a", 1e-6, temporary_bytes=None, errors={})], threads=2)
    wrong = cell([kernel("a", 1e-6, status="wrong")], threads=3)
    run = ranked([known, unknown, wrong])
    for kind in figures.KINDS[1:]:
        figure = figures.draw(kind, run.cells, STYLES)
        figure.draw_without_rendering()
        assert len(figure.axes) == 3
        assert [bool(axis.collections or axis.lines) for axis in figure.axes][::2] == [True, False]


def test_figure_of_samples_shows_all_samples_fastest_kernel_on_top(cells):
    cells = by_panel(cells)[FLOAT32]
    shown = representative(cells)
    (axis,) = figures.draw("samples", cells, STYLES).axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["c", "b", "a"]
    drawn = [x for line in axis.lines if line.get_marker() != "None" for x in line.get_xdata()]
    assert sorted(drawn) == sorted(sample for name in "abc" for sample in shown.kernels[name].samples)


def test_map_hatches_ties_and_marks_winners():
    run = ranked([cell({"a": 1e-6, "b": 1.001e-6}), cell({"a": 1e-6, "b": 9e-6}, dim=256)])
    (axis,) = figures.winners_map(run.cells).axes
    tiles = [patch for patch in axis.patches if patch.get_url()]
    assert [bool(tile.get_hatch()) for tile in tiles] == [True, False]
    assert tiles[0].get_url().endswith("#batch=16&dim=16&dtype=float32&threads=1")
    assert [line.get_marker() for line in axis.lines] == ["o", "s", "o"]


def test_map_without_styles_has_a_title():
    run = ranked([cell({"a": 1e-6})])
    assert figures.winners_map(run.cells).get_suptitle() == "Fastest softmax backward, and the time of one call"
    assert figures.winners_map(run.cells, STYLES).get_suptitle() == ""


def test_map_is_empty_where_nothing_is_ranked():
    run = ranked([cell({"a": 1e-6}), cell([kernel("a", 1e-6, status="wrong")], dim=256)])
    (axis,) = figures.winners_map(run.cells).axes
    assert [patch.get_xy() for patch in axis.patches if patch.get_url()] == [(0, 0)]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["16", "256"]


def test_72_implementations_have_different_styles():
    assert len(set(styles_of(f"{i:02}" for i in range(72)).values())) == 72


def test_long_names_are_cut_in_figures():
    run = ranked([cell({"x" * 200: 1e-6})])
    figure = figures.draw("samples", run.cells, styles_of(["x" * 200]))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [short_name("x" * 200)]
    assert len(short_name("x" * 200)) == MAX_NAME


@pytest.mark.parametrize(
    ("kind", "result"),
    [("accuracy", {"errors": {}}), ("memory", {"temporary_bytes": None}), ("times", {"status": "wrong"})],
)
def test_nothing_is_drawn_without_data(kind, result):
    run = ranked([cell([kernel("a", 1e-6, **result)])])
    assert figures.draw(kind, run.cells, STYLES) is None


def test_representative_cell_has_the_most_results_and_is_the_largest():
    run = ranked([*square((16, 256)), cell({"quick": 1e-6}, 4096, 4096)])
    assert (representative(run.cells).key.batch, representative(run.cells).key.dim) == (256, 256)
