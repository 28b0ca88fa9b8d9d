"""Tables of times in a terminal: implementations down, workloads across, and runs side by side."""

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from softmax_impls.choice.answer import LOSES_SATURATED_ROWS
from softmax_impls.report.terminal import cells
from softmax_impls.timing.records import Control
from softmax_impls.timing.workloads import GRID
from tests.report.results import cell, kernel, ranked, square


def lines_of(*renderables, width=110):
    """Return the lines of text on a terminal."""
    screen = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    for renderable in renderables:
        screen.print(renderable)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


def row_of(lines, start):
    """Return the words of the only line that starts with this word."""
    (row,) = (line.split() for line in lines if line.split()[:1] == [start])
    return row


def shown(some, details=False, width=110):
    return lines_of(*cells.comparison_tables(ranked(some).cells, details), width=width)


def test_every_implementation_is_shown_at_every_workload_with_its_time_and_ratio():
    lines = shown(
        [
            cell({"a": 1e-6, "b": 2e-6, "torch": 4e-6}, 1, 10, workload="small", roofline=5e-7),
            cell({"a": 3e-3, "b": 1e-3, "torch": 2e-3}, 64, 1000, workload="large", roofline=5e-4),
        ]
    )
    assert row_of(lines, "a") == ["a", "1.01", "µs", "1", "3.02", "ms", "3.00"]
    assert row_of(lines, "b") == ["b", "2.01", "µs", "2.00", "1.01", "ms", "1"]
    assert row_of(lines, "torch") == ["torch", "4.02", "µs", "4.00", "2.01", "ms", "2.00"]
    assert row_of(lines, "roofline") == ["roofline", "500", "ns", "0.50", "500", "µs", "0.50"]
    assert any(line.split() == ["implementation", "1×10", "64×1000"] for line in lines)


def test_the_fastest_on_average_comes_first_and_what_is_not_ranked_everywhere_last():
    large = [kernel("a", 1e-3), kernel("b", 3e-3), kernel("c", 1e-3, status="pruned", note="needs 8 GB")]
    lines = shown([cell({"a": 2e-6, "b": 1e-6, "c": 1e-6}, workload="small"), cell(large, 64, workload="large")])
    names = [line.split()[0] for line in lines if line[:2].strip() in ("a", "b", "c")]
    assert names == ["a", "b", "c"]
    assert row_of(lines, "c")[-1] == "pruned"


def test_ties_extrapolated_times_and_lost_digits_are_marked_and_explained():
    kernels = [
        kernel("first", 1e-6),
        kernel("second", 1.001e-6, accurate_for="probs"),
        kernel("loop", 1e-6, accurate_for="logits"),
        kernel("foreign", 4e-6, accurate_for=None),
    ]
    kernels[2] = replace(kernels[2], status="extrapolated", samples=(), seconds=0.01234)
    record = cell(kernels, workload="small")
    record = replace(record, control=Control(name="first", samples=tuple(s * 1.02 for s in kernels[0].samples)))
    lines = shown([record])
    assert row_of(lines, "first")[-1] == "=1.00"
    assert row_of(lines, "second") == ["second", "†", "1.01", "µs", "=1.00"]
    assert row_of(lines, "loop") == ["loop", "~12.3", "ms", "12,000"]
    assert any(line.split() == ["A/A", "noise", "2.0%"] for line in lines)
    text = " ".join(" ".join(lines).split())
    assert f"† {LOSES_SATURATED_ROWS}" in text
    assert row_of(lines, "foreign")[:2] == ["foreign", "‡"]
    assert "‡ The accuracy on saturated rows is not known." in text
    assert "= ties: " in text
    assert "~ extrapolated " in text


def test_marks_that_do_not_occur_are_not_explained():
    lines = shown([replace(cell({"a": 1e-6, "b": 2e-6}, workload="small"), roofline=None)])
    assert not any(line.startswith(("=", "~", "†", "‡", "Roofline", "A/A", "roofline")) for line in lines)


def test_implementations_without_a_time_have_the_reason_in_its_place():
    kernels = [
        kernel("a", 1e-6),
        kernel("wrong", 1e-7, status="wrong", note="row 3"),
        replace(kernel("unsure", 1e-7), verified=False),
    ]
    lines = shown([cell(kernels, workload="small")])
    assert row_of(lines, "wrong") == ["wrong", "wrong"]
    assert row_of(lines, "unsure") == ["unsure", "not", "verified"]


@pytest.mark.parametrize("width", [60, 110])
def test_a_table_that_is_too_wide_continues_below(width):
    some = [cell({"closed_form_vecdot": 1e-6 * n}, n, workload=f"workload-{n}") for n in range(1, 8)]
    lines = shown(some, width=width)
    table = [line for line in lines if line.startswith(("closed_form_vecdot", "implementation", "roofline"))]
    assert len(table) % 3 == 0
    assert all(len(line) <= width for line in table)
    for n in range(1, 8):
        assert sum(f"workload-{n}" in line for line in lines) == 1
    sizes = [line.count("µs") for line in table if line.startswith("closed")]
    assert sum(sizes) == 7
    assert max(sizes) - min(sizes) <= 1


def test_grid_is_a_map_of_the_implementations_to_use_for_each_dtype_and_number_of_threads():
    on_grid = square((1, 16))
    on_grid.append(cell({"quick": 2e-6, "slow": 1e-6}, 1, 16, threads=2))
    marked = [kernel("quick", 1e-6), kernel("rough", 0.5e-6, accurate_for="probs")]
    on_grid.append(cell(marked, 1, 1, threads=2))
    lines = shown(on_grid)
    assert {cell.workload for cell in on_grid} == {GRID}
    assert "float32, 1 thread: fastest over the grid" in lines
    text = "\n".join(lines)
    assert (text.count("quick"), text.count("slow"), text.count("rough †: 0.50×")) == (5, 1, 1)


def test_details_show_interval_rounds_and_status_of_every_implementation():
    pruned = kernel("large", 1e-6, status="pruned", note="needs 8.6 GB")
    lines = shown(
        [cell([kernel("quick", 1e-6), kernel("slow", 2e-6), pruned], workload="custom")], details=True, width=150
    )
    (slow,) = (line for line in lines if " slow " in line)
    assert " 2.00 " in slow
    assert " to " in slow
    assert "timed" in slow
    assert any("pruned: needs 8.6 GB" in line for line in lines)


def test_runs_side_by_side_have_the_ratio_of_their_times_in_each_cell():
    here = [cell({"numba_simd": 1e-6, "b": 2e-6}, 1, dim) for dim in (10, 20)]
    there = [cell({"numba_simd": 3e-6, "b": 2e-6}, 1, 10, machine="other"), cell({"b": 1e-6}, 5, 5, machine="other")]
    lines = lines_of(*cells.runs_table([ranked(here), ranked(there)]))
    row = row_of(lines, "grid")
    assert row[:3] == ["grid", "1×10", "float32"]
    assert row[3:14] == ["numba_simd", "1.01", "µs", "b", "2.01", "µs", "2.00", "3.00", "1.00", "to", "3.00"]
    assert any("B÷A numba_simd" in line and "for all kinds" in line for line in lines)
    assert cells.runs_table([ranked(here)]) == []
