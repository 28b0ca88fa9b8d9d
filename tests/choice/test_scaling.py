"""Exponents and crossovers, from times whose law is known."""

import pandas as pd
import pytest

from softmax_impls.choice.scaling import crossovers, exponents

FAMILIES = {"loop": "loop", "rows": "numba", "flat": "numba"}
TIMES = {"loop": lambda b, d: 1e-7 * b * d**2, "rows": lambda b, d: 1e-9 * b * d, "flat": lambda b, d: 1e-6}


def frame(*names, spread=1.01):
    return pd.DataFrame(
        {
            "implementation": name,
            "dtype": "float32",
            "threads": 1,
            "batch": b,
            "dim": d,
            "median": (t := TIMES[name](b, d)),
            "low": t / spread,
            "high": t * spread,
        }
        for name in names
        for b in (1, 16, 256)
        for d in (16, 256, 300, 4096)
    )


def test_exponents_are_those_of_the_law_and_differ_where_theory_says_otherwise():
    found = {(e.implementation, e.along): e for e in exponents(frame("loop", "rows", "flat"), FAMILIES)}
    assert found["loop", "dim"].measured == pytest.approx(2)
    assert found["loop", "dim"].theory == 2
    assert found["rows", "batch"].measured == pytest.approx(1)
    assert found["rows", "batch"].sizes == (16, 256)
    assert found["rows", "dim"].sizes == (300, 4096)  # 256 and 300 are too close for an exponent
    assert [name for (name, _), e in found.items() if e.differs] == ["flat", "flat"]


def test_a_crossover_is_where_the_laws_meet():
    along = [c for c in crossovers(frame("rows", "flat"), ("rows", "flat")) if c.along == "dim"]
    assert [(c.before, c.after, c.fixed) for c in along] == [("rows", "flat", 1), ("rows", "flat", 16)]
    assert along[0].size == pytest.approx(1000)
    assert 300 < along[0].low < 1000 < along[0].high < 4096
    assert along[1].size == pytest.approx(62.5)
    (across,) = (
        c for c in crossovers(frame("rows", "flat"), ("flat", "rows")) if c.along == "batch" and c.fixed == 300
    )
    assert (across.before, across.after) == ("rows", "flat")


def test_what_can_not_be_told_apart_does_not_cross():
    assert list(crossovers(frame("rows", "flat", spread=100), ("rows", "flat"))) == []
