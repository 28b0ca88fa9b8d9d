"""Figures show all results that they are made from."""

import msgspec
import pytest
from matplotlib.colors import to_hex, to_rgb

from softmax_impls.report import figures
from softmax_impls.report.maps import winners_maps
from softmax_impls.report.panels import MAX_NAME, Panel, by_panel, representative, short_name
from softmax_impls.report.style import COLOURS, MORE_COLOURS, styles_of
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


def test_figure_of_times_has_a_panel_for_each_batch_with_all_results_and_the_roofline(cells):
    figure = figures.draw("times", cells, STYLES)
    groups = {
        f"{panel}\nbatch {batch}": [one for one in shown if one.key.batch == batch]
        for panel, shown in by_panel(cells).items()
        for batch in (1, 4, 16, 256)
    }
    assert [axis.get_title() for axis in figure.axes] == list(groups)
    assert labels(figure) == [*STYLES, "roofline: moving the bytes"]
    assert len({axis.get_xlim() for axis in figure.axes}) == 1
    for axis, shown in zip(figure.axes, groups.values(), strict=True):
        assert (axis.get_xscale(), axis.get_yscale(), axis.get_xlabel()) == ("log", "log", "dim")
        results = [(one.key, one.kernels[name]) for one in shown for name in "abc"]
        assert points_of(axis) == sorted((float(key.dim), result.seconds) for key, result in results)
        bars = [bar for drawn in axis.collections if not drawn.get_urls()[0] for bar in drawn.get_segments()]
        assert sorted(tuple(bar[:, 1]) for bar in bars) == sorted(interval_of(result) for _, result in results)


def test_lines_of_times_never_go_back_along_the_axis(cells):
    for axis in figures.draw("times", cells, STYLES).axes:
        for line in axis.lines:
            dims = list(line.get_xdata())
            assert dims == sorted(set(dims))


def test_cells_without_a_roofline_draw_none():
    record = cell({"a": 1e-6})
    run = ranked([msgspec.structs.replace(record, roofline=None)])
    assert labels(figures.draw("times", run.cells, STYLES)) == ["a"]


def test_axes_have_units(cells):
    figure = figures.draw("times", by_panel(cells)[FLOAT32][-1:], STYLES)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    assert {"1 µs", "10 µs"} <= {text.get_text() for text in axis.get_yticklabels()}
    assert {"50", "100"} <= {text.get_text() for text in axis.get_xticklabels()}
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


def test_memory_of_the_largest_shape_that_a_file_can_hold_is_drawn():
    run = ranked([cell([kernel("a", 1e-6, temporary_bytes=2**62)], 2**40, 2**40)])
    assert points_of(figures.draw("memory", run.cells, STYLES).axes[0]) == [(2.0**80, 2.0**62)]


def test_a_panel_without_data_stays_empty_beside_panels_with_data():
    known, unknown = cell({"a": 1e-6}), cell([kernel("a", 1e-6, temporary_bytes=None, errors={})], threads=2)
    wrong = cell([kernel("a", 1e-6, status="wrong")], threads=3)
    run = ranked([known, unknown, wrong])
    for kind in ("accuracy", "memory", "samples"):
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


def tiles_of(axis):
    """Return the colours of each tile, by the address of its cell."""
    tiles = {}
    for patch in axis.patches:
        if patch.get_url():
            tiles.setdefault(patch.get_url().split("#")[1], []).append(to_hex(patch.get_facecolor()).upper())
    return tiles


def texts_of(axis):
    return [text.get_text() for text in axis.texts]


def test_map_splits_the_tile_of_a_tie_into_the_colours_of_the_implementations():
    run = ranked([cell({"pivoted": 1e-6, "numba_simd": 1.001e-6}), cell({"pivoted": 1e-6, "b": 9e-6}, dim=256)])
    figure = winners_maps({"": run.cells})
    assert labels(figure) == ["numba_simd", "pivoted", "split: no measurable difference"]
    (axis,) = figure.axes
    assert tiles_of(axis) == {
        "batch=16&dim=16&dtype=float32&threads=1": [COLOURS["numba_simd"], COLOURS["pivoted"]],
        "batch=16&dim=256&dtype=float32&threads=1": [COLOURS["pivoted"]],
    }
    assert texts_of(axis) == ["numba_simd\n= pivoted\n1.01 µs", "pivoted\n1.01 µs"]
    widths = {patch.get_width() for patch in axis.patches if patch.get_url()}
    assert widths == {0.5, 1}


@pytest.mark.parametrize(
    ("accurate_for", "mark", "meaning"),
    [
        ("probs", "†", "faster, but loses saturated rows"),
        (None, "‡", "faster, but its accuracy on saturated rows is not known"),
    ],
)
def test_map_has_the_colour_of_an_accurate_implementation_and_names_a_faster_one(accurate_for, mark, meaning):
    accurate, marked = (
        kernel("numba_simd", 2e-6, accurate_for="logits"),
        kernel("rough", 1e-6, accurate_for=accurate_for),
    )
    figure = winners_maps({"": ranked([cell([accurate, marked])]).cells})
    assert figure.get_suptitle().splitlines()[1:] == [f"{mark} {meaning}"]
    (axis,) = figure.axes
    assert list(tiles_of(axis).values()) == [[COLOURS["numba_simd"]]]
    assert texts_of(axis) == [f"numba_simd\n2.01 µs\nrough {mark}: 0.50×"]


def test_map_shows_named_workloads_apart_from_the_grid():
    named = [cell({"a": 1e-6}, 1, dim, workload=f"w{dim}") for dim in (10, 20, 30, 40, 50)]
    above, grid = winners_maps({"": ranked([*named, *square((16, 256))]).cells}).axes
    assert len(tiles_of(above)) == 5
    assert texts_of(above)[0] == "w10 1×10\na\n1.01 µs"
    assert [text.get_text() for text in grid.get_xticklabels()] == ["16", "256"]
    assert len(tiles_of(grid)) == 4


def test_black_text_is_readable_on_all_colours():
    """The Web Content Accessibility Guidelines ask for a contrast of 4.5."""
    for colour in (*COLOURS.values(), *MORE_COLOURS):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert (luminance + 0.05) / 0.05 >= 4.5, colour


def test_colour_of_an_implementation_does_not_depend_on_the_others():
    names = ["numba_simd", "mine", "other", "torch"]
    together = styles_of(names)
    assert all(styles_of([name])[name] == together[name] for name in names)
    assert len({style.colour for style in together.values()}) == 4


def test_map_without_styles_has_a_title():
    run = ranked([cell({"a": 1e-6})])
    assert winners_maps({"": run.cells}).get_suptitle() == "Fastest softmax backward, and the time of one call"
    assert winners_maps({"": run.cells}, STYLES).get_suptitle() == ""


def test_map_is_empty_where_nothing_is_ranked():
    run = ranked([cell({"a": 1e-6}), cell([kernel("a", 1e-6, status="wrong")], dim=256)])
    (axis,) = winners_maps({"": run.cells}).axes
    assert list(tiles_of(axis)) == ["batch=16&dim=16&dtype=float32&threads=1"]
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
