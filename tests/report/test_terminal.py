"""Tables and sentences in a terminal."""

import io

import pytest
from rich.console import Console

from softmax_impls.checks.verdict import Failure, Verdict
from softmax_impls.choice.answer import Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.ranking import rank, rank_all
from softmax_impls.report.terminal import answers, cells, tables
from softmax_impls.timing.records import Roofline
from softmax_impls.timing.workloads import GRID
from tests.choice.builders import HERE, build_cell, build_cell_of, build_kernel, build_run


def shown(*renderables):
    """Return text as a wide file would receive it."""
    screen = Console(file=io.StringIO(), width=200, highlight=False)
    for renderable in renderables:
        screen.print(renderable)
    return screen.file.getvalue()


def row_of(text, start):
    """Return the words of the line that starts with this word."""
    return next(line.split() for line in text.splitlines() if line.startswith(start))


def test_fastest_kernel_is_shown_with_time_bandwidth_roofline_and_noise():
    times = {"quick": 1e-5, "slow": 5e-5, "column_loop": 1e-3}
    roofline = Roofline(samples=(8e-6,) * 20)
    cell = build_cell(16, 1000, times, control=1.02e-5, spread=1e-4, workload="digits", roofline=roofline)
    row = row_of(shown(*cells.comparison_tables([rank(cell)], details=False)), "digits")
    assert row[:4] == ["digits", "16×1000", "float32", "quick"]
    assert row[5:8] == ["µs", "100", "19.2"]
    assert row[8] == "80%"
    assert 1.5 < float(row[9].rstrip("%")) < 2.5


def test_ties_are_marked_and_extrapolated_speedups_too():
    loop = build_kernel("column_loop", (), status="extrapolated", seconds=0.123)
    both = [build_kernel(name, [1e-5 + 1e-9 * i for i in range(20)], verified=True) for name in ("first", "second")]
    cell = build_cell_of(*both, loop, batch=16, dim=1000, workload="digits")
    row = row_of(shown(cells.fastest_kernels([rank(cell)])), "digits")
    assert row[3:6] == ["first", "=", "second"]
    assert "~12,000" in row


def test_cell_without_verified_times_has_nothing_to_rank():
    wrong = build_kernel("mine", (), status="wrong", note="off by 3")
    text = shown(cells.fastest_kernels([rank(build_cell_of(wrong, workload="digits"))]))
    assert "nothing to rank" in text


def test_grid_is_a_table_of_winners_for_each_dtype_and_number_of_threads():
    grid = [build_cell(b, d, {"quick": 1e-6, "slow": 2e-6}, workload=GRID) for b in (1, 16) for d in (16, 256)]
    grid.append(build_cell(1, 16, {"quick": 2e-6, "slow": 1e-6}, workload=GRID, threads=2))
    text = shown(*cells.comparison_tables(rank_all(grid), details=False))
    assert "Winners over the grid, float32, 1 thread:" in text
    assert "Winners over the grid, float32, 2 threads:" in text
    assert (text.count("quick"), text.count("slow")) == (4, 1)


def test_custom_shapes_show_every_kernel_with_interval_and_status():
    pruned = build_kernel("large", (), status="pruned", note="needs 8.6 GB")
    cell = build_cell(1, 5, {"quick": 1e-6, "slow": 2e-6})
    record = build_cell_of(*cell.kernels, pruned)
    text = shown(*cells.comparison_tables([rank(record)], details=False))
    assert row_of(text, "custom")[3:7] == ["quick", "1", "µs", "1"]
    slow = next(line for line in text.splitlines() if " slow " in line)
    assert " 2.0" in slow or " 1.99" in slow
    assert " to " in slow
    assert "timed" in slow
    assert "pruned: needs 8.6 GB" in text


def test_kernels_that_were_left_out_are_named_once_with_the_number_of_cells():
    pruned = build_kernel("large", (), status="pruned", note="needs 8.6 GB")
    quick = build_kernel("quick", [1e-6] * 20)
    ranked = [rank(build_cell_of(quick, pruned, batch=batch)) for batch in (1, 2, 3)]
    assert cells.exclusions(ranked) == ["large pruned: needs 8.6 GB (custom 3×5 float32 and 2 more cells)"]


def test_first_calls_are_mentioned_only_if_they_are_slow():
    slow, quick = (
        build_kernel(name, [1e-6] * 20, first_call_seconds=s) for name, s in (("slow", 2.0), ("quick", 1e-5))
    )
    assert cells.first_calls([rank(build_cell_of(quick))]) == []
    (line,) = cells.first_calls([rank(build_cell_of(quick, slow, compiler_start_seconds=0.5))])
    assert line.endswith(": Numba itself 500 ms, slow 2 s.")


def test_names_with_square_brackets_are_shown_as_they_are():
    cell = build_cell(1, 5, {"[red]quick": 1e-6, "[b]slow": 2e-6}, workload="digits")
    text = shown(*cells.comparison_tables([rank(cell)], details=True), cells.fastest_kernels([rank(cell)]))
    assert text.count("[red]quick") == 2
    assert "[b]slow" in text
    answer = choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {})
    assert "[b]slow" in shown(answers.candidates_table(answer))


@pytest.mark.parametrize(("name", "argument"), [("pivoted", '"pivoted"'), ("module:function", "your_kernel")])
def test_line_of_code_names_registered_implementations_only(name, argument):
    cell = build_cell(1, 5, {name: 1e-6})
    answer = choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {})
    assert answers.code(answer) == f"softmax_backward(probs, grad_output, impl={argument}, threads=1)"


def test_runner_up_that_ties_but_is_less_accurate_is_as_fast():
    fields = {"rough": {"errors": {"saturated": 1.0}}, "exact": {"errors": {"saturated": 1e-7}}}
    cell = build_cell(1, 5, {"rough": 1e-6, "exact": 1.001e-6}, fields=fields)
    lines = answers.sentences(choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {}))
    assert lines[0].startswith("Use exact for 1×5 float32, 1 thread: 1 µs a call")
    assert lines[1].startswith("Tie: measured at this shape, 20 rounds; the difference between ")
    assert any(line.startswith("Runner-up: rough") for line in lines)


def test_more_accurate_implementation_is_recommended_for_saturated_rows_with_its_price():
    fields = {"rough": {"errors": {"saturated": 1.0}}, "exact": {"errors": {"saturated": 1e-7}}}
    cell = build_cell(1, 5, {"rough": 1e-6, "exact": 2e-6}, fields=fields)
    lines = answers.sentences(choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {}))
    (line,) = (line for line in lines if line.startswith("On saturated rows"))
    assert line.startswith("On saturated rows, use exact: its worst error is 1e-07, that of rough 1e+00. It takes ")


def test_startup_counts_calls_or_says_that_compiling_never_saves_time():
    cell = build_cell(1, 5, {"compiled": 1e-6, "plain": 2e-6})
    answer = choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {})
    compiled, plain = answer.candidates.values()
    lines = answers.startup(compiled, plain, [(1.0, 0.1), (0.0, 0.0)])
    assert lines[0] == "The first call of compiled in a new process takes 1 s, with cached code 100 ms."
    assert "after 1,0" in lines[1] or "after 99" in lines[1]
    assert answers.startup(plain, compiled, [(1.0, 0.1), (0.0, 0.0)])[1] == (
        "It never saves time over compiled, which needs no compiler."
    )
    assert len(answers.startup(compiled, None, [(1.0, 0.1)])) == 1


def test_failures_have_a_line_for_each_check_with_the_number_of_others():
    found = [Failure("value", f"case {i}", "off by 3") for i in range(3)] + [Failure("inputs", "case 0", "changed")]
    verdict = Verdict("mine", "probs", found)
    assert tables.failures([verdict]) == ["mine: inputs: case 0: changed", "mine: value: case 0: off by 3 (and 2 more)"]
