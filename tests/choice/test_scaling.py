"""Exponents and crossovers, from times whose law is known."""

import pytest

from softmax_impls.choice.scaling import crossovers, exponents

from .builders import build_cell_of, build_kernel, build_run

FAMILIES = {"loop": "loop", "rows": "numba", "flat": "numba"}
TIMES = {"loop": lambda b, d: 1e-7 * b * d**2, "rows": lambda b, d: 1e-9 * b * d, "flat": lambda b, d: 1e-6}


def run_of(*names, spread=1.01):
    def kernel(name, b, d):
        seconds = TIMES[name](b, d)
        return build_kernel(name, [seconds] * 3, interval=(seconds / spread, seconds * spread))

    shapes = [(b, d) for b in (1, 16, 256) for d in (16, 256, 300, 4096)]
    return build_run(*(build_cell_of(*(kernel(n, b, d) for n in names), batch=b, dim=d) for b, d in shapes))


def test_exponents_are_those_of_the_law_and_differences_from_theory_are_marked():
    found = {(e.implementation, e.along): e for e in exponents(run_of("loop", "rows", "flat"), FAMILIES)}
    assert found["loop", "dim"].measured == pytest.approx(2)
    assert found["loop", "dim"].theory == 2
    assert found["loop", "dim"].low < 2 < found["loop", "dim"].high
    assert found["rows", "batch"].measured == pytest.approx(1)
    assert found["rows", "batch"].sizes == (16, 256)
    assert [name for (name, _), e in found.items() if e.differs] == ["flat", "flat"]


def test_an_exponent_needs_sizes_that_are_a_factor_of_four_apart():
    found = {(e.implementation, e.along): e for e in exponents(run_of("rows"), FAMILIES)}
    assert found["rows", "dim"].sizes == (300, 4096)
    close = build_run(*(build_cell_of(build_kernel("rows", [d * 1e-9] * 3), dim=d) for d in (10, 30)))
    assert exponents(close, FAMILIES) == []


def test_a_crossover_is_where_the_laws_meet():
    run = run_of("rows", "flat")
    along = [c for c in crossovers(run, ("rows", "flat")) if c.along == "dim"]
    assert [(c.before, c.after, c.fixed) for c in along] == [("rows", "flat", 1), ("rows", "flat", 16)]
    assert along[0].size == pytest.approx(1000)
    assert 300 < along[0].low < 1000 < along[0].high < 4096
    assert along[1].size == pytest.approx(62.5)
    (across,) = (c for c in crossovers(run, ("flat", "rows")) if c.along == "batch" and c.fixed == 300)
    assert (across.before, across.after) == ("rows", "flat")


def test_times_whose_intervals_overlap_do_not_cross():
    assert list(crossovers(run_of("rows", "flat", spread=100), ("rows", "flat"))) == []


def test_times_without_an_interval_count_for_nothing():
    cells = [build_cell_of(build_kernel("rows", [d * 1e-9]), build_kernel("flat", [1e-6]), dim=d) for d in (16, 4096)]
    assert exponents(build_run(*cells), FAMILIES) == []
    assert list(crossovers(build_run(*cells), ("rows", "flat"))) == []
