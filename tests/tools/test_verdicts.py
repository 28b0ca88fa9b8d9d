"""What docs/verdicts.py makes of its runs: contradictions are counted, and so are twins told apart."""

import pytest

from tests.scripts import ROOT, script

A, B, TIE, OTHERS = ["a"], ["b"], ["a", "b"], ["c", "d"]


@pytest.fixture(scope="module")
def verdicts():
    return script(ROOT / "docs" / "verdicts.py")


@pytest.mark.parametrize(
    ("winners", "two", "apart"),
    [
        ([A, A, TIE], False, False),
        ([A, TIE, B], True, True),
        ([TIE, OTHERS], False, True),
        ([A, OTHERS], False, True),
        ([A], False, False),
    ],
)
def test_contradictions(verdicts, winners, two, apart):
    assert verdicts.contradictions(winners) == (two, apart)


def runs():
    machine = {"cpu": "a", "cores": 2}
    twin = {"best": "one", "interval": [1.05, 1.03, 1.07], "margin": 0.02}
    tied = twin | {"interval": [1.05, 1.01, 1.09]}
    slow = {"cell": "x", "seconds": 2e-5, "delay": 0.05, "again": tied, "slower": twin}
    quick = {"cell": "y", "seconds": 1e-6, "delay": 0.05, "again": twin, "slower": tied}
    missed = slow | {"slower": twin | {"best": "slower"}}
    for run, (loaded, winners, told) in enumerate([(False, A, [slow, quick]), (True, B, [missed])], start=1):
        about = {"run": run, "loaded": loaded, "machine": machine}
        yield {"kind": "compare", **about, "cells": [{"cell": "x", "winners": winners}]}
        yield {"kind": "twins", "of": "one", **about, "cells": told}


def test_the_table_counts_them(verdicts):
    alone, beside, every = (line.split(" | ") for line in verdicts.table(list(runs()))[2:])
    assert alone[:6] == ["| alone: 1", "1", "100.0% of 1", "0 of 1", "0 of 1", "50.0% of 2"]
    assert beside[3] == "0 of 1"
    assert every[:6] == ["| all: 2", "2", "100.0% of 2", "1 of 1", "1 of 1", "66.7% of 3"]
    assert every[6] == "50.0% of 2"  # a slower twin called the fastest is not found, and short calls don't count


def test_a_page_without_its_block_is_noticed(verdicts):
    with pytest.raises(SystemExit, match="there is no block"):
        verdicts.page("nothing", list(runs()))
