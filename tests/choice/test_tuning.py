"""A rule fitted to times: as short as they allow, right where they are clear, and judged on other shapes."""

import itertools

import numpy as np
import pytest

from softmax_impls.choice.tuning import MOST_LINES, Sample, cells, fit, in_figures, regrets, samples, shapes
from softmax_impls.dispatch import COMPILED as DEFAULT
from softmax_impls.timing.ceremony import Ceremony
from softmax_impls.tuned import Line

from .test_ranking import ranked


def law(rows, classes, itemsize, threads):
    """Few elements: `small` is twice as fast; many rows in float32: `tall` is 1.3 times as fast."""
    base = 1e-6 + 1e-9 * rows * classes * itemsize / threads
    few = rows * classes <= 3000
    return {
        "small": base * (0.5 if few else 3.0),
        "tall": base * (0.77 if rows > 100 and itemsize == 4 and not few else 2.0),
        DEFAULT: base,
    }


def of(shapes, noise=0.0):
    rng = np.random.default_rng(0)
    found = []
    for (b, d), itemsize, threads in itertools.product(shapes, (4, 8), (1, 2)):
        times = law(b, d, itemsize, threads)
        measured = {name: t * np.exp(noise * rng.standard_normal()) for name, t in times.items()}
        found.append(Sample(b, d, itemsize, threads, measured, measured[DEFAULT]))
    return found


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_known_law_is_found_in_few_lines_and_serves_on_other_shapes(noise):
    lines = fit(of(shapes(0), noise))
    assert lines[0].impl == "small"
    assert lines[-1] == Line(DEFAULT)
    assert {line.impl for line in lines} == {"small", "tall", DEFAULT}
    assert len(lines) <= MOST_LINES
    figures = in_figures(regrets(lines, of(shapes(1))))
    assert figures["cells"] == 80
    assert figures["median"] <= 1.02
    assert figures["p95"] <= 3.0  # near a bound, where no cell lies


def test_where_nothing_is_better_by_more_than_noise_there_is_one_line():
    rng = np.random.default_rng(1)
    same = [
        Sample(b, d, 4, 1, {name: 1e-6 * np.exp(0.003 * rng.standard_normal()) for name in ("a", "b", DEFAULT)}, 1e-6)
        for b, d in shapes(0)
    ]
    assert fit(same) == (Line(DEFAULT),)


def test_equals_go_to_the_default_and_what_was_not_timed_everywhere_is_not_picked_there():
    assert fit([Sample(b, 8, 4, 1, {"a": 1.0, DEFAULT: 1.0}, 1.0) for b in (1, 2, 4)]) == (Line(DEFAULT),)
    partly = [Sample(b, 8, 4, 1, {DEFAULT: 1.0} | ({"a": 0.9} if b < 100 else {}), 1.0) for b in (1, 2, 200, 400)]
    assert fit(partly) == (Line("a", (("rows", 20),)), Line(DEFAULT))


def test_a_rule_is_read_from_the_top():
    lines = (Line("a", (("rows", 10), ("itemsize", 4))), Line("b", (("elements", 100),)), Line("c"))
    times = {"a": 1.0, "b": 2.0, "c": 4.0}
    asked = [Sample(*call, 1, times, 9.0) for call in ((10, 5, 4), (10, 5, 8), (10, 11, 8), (1, 999, 4))]
    assert regrets(lines, asked) == [1, 2, 4, 1]


def test_it_is_judged_on_shapes_that_it_was_not_made_from():
    assert not set(shapes(0)) & set(shapes(1))
    assert len(shapes(1, 10)) == 10
    assert len(cells(shapes(0), (1, 2))) == 4 * len(shapes(0))


def test_a_rule_that_does_not_pay_for_being_asked_is_not_made():
    def asked(ceremony):
        return [
            Sample(b, 8, 4, 1, {"a": 0.9 if b < 9 else 2.0, DEFAULT: 1 + ceremony}, 1.0) for b in (1, 2, 4, 16, 64, 99)
        ]

    ruled = (Line("a", (("rows", 8),)), Line(DEFAULT))
    assert fit(asked(0.01)) == ruled
    assert fit(asked(0.2)) == (Line(DEFAULT),)
    assert regrets([Line(DEFAULT)], asked(0.2))[-1] == 1
    assert regrets(ruled, asked(0.2))[-1] == pytest.approx(1.2)


def test_samples_come_from_ranked_cells_with_what_a_call_costs_beside_its_kernel():
    ceremony = Ceremony(1e-7, 2e-7, 5e-7)
    (one,) = samples(ranked({10: {"numba_simd": 1e-6, "pivoted": 3e-6, "column_loop": None}}), ceremony)
    assert (one.rows, one.classes, one.itemsize, one.threads) == (10, 5, 8, 1)
    assert one.seconds == {"numba_simd": pytest.approx(1.2e-6, rel=0.01), "pivoted": pytest.approx(3.5e-6, rel=0.02)}
    assert one.built_in == pytest.approx(1.1e-6, rel=0.01)
    assert samples(ranked({10: {"pivoted": 3e-6}}), ceremony) == []
