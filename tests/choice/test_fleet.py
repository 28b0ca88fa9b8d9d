"""What to use on several kinds of machines, and whether one implementation serves all."""

import pytest

from softmax_impls.choice.answer import Question
from softmax_impls.choice.fleet import Fleet, OnKind, ask_kinds, at_cells, by_kind, join_hosts, kind_names, summary

from .builders import FEBRUARY, HERE, JANUARY, build_cell, build_run

OTHER = "znver4, 8 cores, Linux x86_64"
ACCURATE = {name: {"accurate_for": "logits"} for name in ("numba_simd", "a", "b")}


def on(kind, winner, **ratios):
    return OnKind(kind, (winner,), {winner: 1.0, **ratios})


def cell(times, machine=HERE, batch=4, dim=8, **fields):
    return build_cell(batch, dim, times, machine=machine, fields=ACCURATE, **fields)


def test_an_implementation_that_is_fastest_everywhere_is_on_all_kinds():
    fleet = Fleet((on("x", "a", b=2.0), on("y", "a", b=3.0)))
    assert (str(fleet), fleet.serves_all) == ("a on 2 of 2 kinds", True)


def test_an_implementation_that_is_nearly_as_fast_on_a_kind_serves_it():
    fleet = Fleet((on("x", "a", b=2.0), on("y", "b", a=1.04), on("z", "a", b=1.5)))
    assert str(fleet) == "a on 2 of 3 kinds; on y it is within 4 % of the best"
    assert str(Fleet((on("x", "a"), on("y", "b", a=1.0401)))) == "a on 1 of 2 kinds; on y it is within 5 % of the best"
    assert fleet.as_dict() == {
        "use": {"x": "a", "y": "b", "z": "a"}, "for_all": "a", "serves_all": True, "worst": {"a": 1.04, "b": 2.0}
    }  # fmt: skip


def test_kinds_that_disagree_have_an_implementation_each():
    fleet = Fleet((on("x", "a", b=2.0), on("y", "b", a=1.5)))
    text = "none serves all kinds: a on x; b on y; a takes 1.50x the time of the best on y"
    assert (str(fleet), fleet.serves_all) == (text, False)


def test_an_implementation_that_a_kind_lacks_serves_only_others():
    assert str(Fleet((on("x", "a"), on("y", "b")))) == "none was timed on all kinds: a on x; b on y"


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        ([(HERE, ()), (OTHER, ())], ["znver3, 2 cores", "znver4, 8 cores"]),
        ([(HERE, ()), ("m1, 8 cores, Darwin arm64", ())], [HERE, "m1, 8 cores, Darwin arm64"]),
        (
            [(HERE, (("numba", "0.61"), ("numpy", "2.0"))), (HERE, (("numba", "0.61"), ("numpy", "2.4")))],
            ["znver3, 2 cores, numpy 2.0", "znver3, 2 cores, numpy 2.4"],
        ),
    ],
)
def test_names_of_kinds_have_what_differs(kinds, names):
    assert kind_names(kinds) == names


def test_of_a_host_only_the_newest_versions_count_and_hosts_of_a_kind_are_together():
    old = build_run(
        cell({"a": 1e-6}, host="x", versions={"numpy": "2.0"}), cell({"a": 1e-6}, host="x", dim=9, time=FEBRUARY)
    )
    other = build_run(cell({"a": 1e-6}, host="y", dim=10))
    ((name, runs),) = by_kind([old, other]).items()
    assert name == "znver3, 2 cores"
    assert [[ranked.key.dim for ranked in run.cells] for run in runs] == [[9], [10]]


def test_hosts_of_a_kind_that_measured_different_cells_are_joined():
    first = build_run(cell({"a": 1e-6}, host="x")).run
    second = build_run(cell({"a": 1e-6}, host="y", dim=9)).run
    same_cell = build_run(cell({"a": 1e-6}, host="z")).run
    other_kind = build_run(cell({"a": 1e-6}, OTHER, dim=10)).run
    joined = join_hosts([first, same_cell, other_kind, second])
    assert [run.host for run in joined] == ["x, y", "z", ""]
    assert [cell.dim for cell in joined[0].cells] == [8, 9]


def test_each_cell_that_several_kinds_have_is_answered_by_its_newest_measurement():
    runs = [
        build_run(cell({"a": 1e-6, "b": 2e-6}, host="x", time=FEBRUARY), cell({"a": 1e-6}, host="x", dim=99)),
        build_run(cell({"a": 9e-6, "b": 2e-6}, host="y", time=JANUARY)),
        build_run(cell({"a": 3e-6, "b": 1e-6}, OTHER)),
    ]
    (fleet,) = at_cells(runs).values()
    assert [(found.kind, found.use) for found in fleet.kinds] == [("znver3, 2 cores", "a"), ("znver4, 8 cores", "b")]
    names = "Kinds of machines: znver3, 2 cores; znver4, 8 cores."
    assert list(summary(at_cells(runs))) == [f"custom 4×8 float32: {fleet}.", names]
    assert list(summary(at_cells(runs[:2]))) == []


def test_only_implementations_that_stay_accurate_count():
    rough = {"accurate_for": "probs"}
    runs = [
        build_run(build_cell(4, 8, {"a": 2e-6, "b": 1e-6}, fields={"a": ACCURATE["a"], "b": rough}, machine=machine))
        for machine in (HERE, OTHER)
    ]
    assert str(next(iter(at_cells(runs).values()))) == "a on 2 of 2 kinds"


def test_a_question_is_answered_for_each_kind():
    runs = [build_run(cell({"a": 1e-6, "b": 2e-6})).run, build_run(cell({"a": 3e-6, "b": 1e-6}, OTHER)).run]
    fleet = ask_kinds(Question(4, 8, "float32"), runs, {})
    assert fleet.as_dict()["use"] == {"znver3, 2 cores": "a", "znver4, 8 cores": "b"}
    assert ask_kinds(Question(4, 8, "float64"), runs, {}) is None
    assert ask_kinds(Question(4, 8, "float32"), runs[:1], {}) is None


def test_the_summary_counts_only_cells_that_the_implementation_serves_best():
    keys = [cell({"a": 1e-6}, dim=dim).key for dim in (8, 16)]
    both, alone = OnKind("x", ("a", "b"), {"a": 1.0, "b": 1.0}), on("x", "a", b=3.0)
    answers = {keys[0]: Fleet((both, on("y", "b", a=2.0))), keys[1]: Fleet((alone, on("y", "a", b=2.0)))}
    ends = [line.partition(" serves ")[2] for line in summary(answers)]
    assert ends[:-1] == ["all 2 kinds in 1 of 2 cells: fastest or tied on each in 1."] * 2


def test_the_summary_states_no_number_of_kinds_if_cells_have_different_numbers():
    keys = [cell({"a": 1e-6}, dim=dim).key for dim in (8, 16)]
    x, y, z = (on(kind, "a", b=2.0) for kind in "xyz")
    lines = list(summary({keys[0]: Fleet((x, y)), keys[1]: Fleet((x, y, z))}))
    counted = "a serves all kinds in 2 of 2 cells: fastest or tied on each in 2."
    assert lines == [counted, "Kinds of machines: x; y; z."]


def test_versions_of_libraries_that_not_all_implementations_use_make_no_kind():
    runs = [
        build_run(cell({"a": 1e-6}, host=host, versions={"numpy": "2.4", "torch": torch}))
        for host, torch in (("x", "2.5"), ("y", "2.6"))
    ]
    assert list(by_kind(runs)) == ["znver3, 2 cores"]
