"""Tables and sentences in a terminal."""

import io
from dataclasses import replace

from rich.console import Console

from softmax_impls.checks.verdict import Failure, Verdict
from softmax_impls.choice.answer import Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.ranking import rank
from softmax_impls.report.terminal import answers, cells, tables
from tests.choice.builders import HERE, build_cell, build_cell_of, build_kernel, build_run


def shown(*renderables):
    """Return text as a wide file would receive it."""
    screen = Console(file=io.StringIO(), width=200, highlight=False)
    for renderable in renderables:
        screen.print(renderable)
    return screen.file.getvalue()


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
    for details in (True, False):
        text = shown(*cells.comparison_tables([rank(cell)], details))
        assert (text.count("[red]quick"), text.count("[b]slow")) == (1, 1)
    answer = choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {})
    assert "[b]slow" in shown(answers.candidates_table(answer))


def accurate(**kinds):
    """Return the fields of results that state what they are accurate for."""
    return {name: {"accurate_for": kind} for name, kind in kinds.items()}


def test_after_a_measurement_the_table_says_where_the_times_come_from():
    cell = build_cell(1, 5, {"a": 1e-6, "b": 2e-6}, fields=accurate(a="logits", b="logits"))
    answer = choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {})
    assert "Ratios compare the quieter part" in shown(answers.candidates_table(answer))
    measured = replace(answer, just_measured=True)
    assert "The time of a is the median of calls" in shown(answers.candidates_table(measured))


def test_a_candidate_without_a_rival_is_not_said_to_be_faster_than_others():
    exact = build_kernel("exact", [1e-6], accurate_for="logits")
    rough = build_kernel("rough", [2e-6], accurate_for="probs")
    for kernels, end in (([exact], "candidate"), ([exact, rough], "candidate without a mark")):
        answer = choose(Question(1, 5, "float32"), [build_run(build_cell_of(*kernels))], HERE, {})
        assert answers.sentences(answer)[1] == f"Sure: measured at this shape, 1 round; there is no other {end}."


def test_on_a_narrow_terminal_text_is_wrapped_and_tables_are_not():
    cell = build_cell(1, 5, {"rough": 1e-6, "exact": 2e-6}, fields=accurate(rough="probs", exact="logits"))
    table = answers.candidates_table(choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {}))
    narrow = io.StringIO()
    Console(file=narrow, width=60).print(table, crop=False)
    head, _, *rows = narrow.getvalue().splitlines()
    assert head.split()[-2:] == ["temporary", "memory"]
    assert all(len(line) <= 60 for line in rows[2:])


def test_startup_counts_calls_or_says_that_compiling_never_saves_time():
    cell = build_cell(1, 5, {"compiled": 1e-6, "plain": 2e-6})
    answer = choose(Question(1, 5, "float32"), [build_run(cell)], HERE, {})
    compiled, plain = answer.candidates.values()
    lines = answers.startup(compiled, plain, [(1.0, 0.1), (0.0, 0.0)])
    assert lines[0] == "The first call of compiled in a new process takes 1 s, with cached code 100 ms."
    assert "after 1,0" in lines[1] or "after 99" in lines[1]
    (_, saves) = answers.startup(compiled, plain, [(9e-7, 0.0), (0.0, 0.0)])
    assert saves.endswith("it saves time after 1 call, with cached code from the first call on.")
    assert answers.startup(plain, compiled, [(1.0, 0.1), (0.0, 0.0)])[1] == (
        "It never saves time over compiled, which needs no compiler."
    )
    assert len(answers.startup(compiled, None, [(1.0, 0.1)])) == 1


def test_the_star_is_explained_only_where_it_is_shown():
    for accurate_for, starred in (("logits", False), ("probs", True)):
        text = shown(tables.verdicts({"mine": Verdict("mine", accurate_for)}, Verdict("softmax", "logits")))
        assert ("right*" in text, "* right:" in text) == (starred, starred)


def test_failures_have_a_line_for_each_check_with_the_number_of_others():
    found = [Failure("value", f"case {i}", "off by 3") for i in range(3)] + [Failure("inputs", "case 0", "changed")]
    verdict = Verdict("mine", "probs", found)
    assert tables.failures([verdict]) == ["mine: inputs: case 0: changed", "mine: value: case 0: off by 3 (and 2 more)"]
