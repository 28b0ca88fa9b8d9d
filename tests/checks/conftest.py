"""Fixtures that run a test on every case of the checks' inputs. Cases are computed when a test needs them."""

import pytest

from softmax_impls.checks.inputs import FAMILIES, Case, cases

EMPTY = ("batch 0", "dim 0")
NAMES = [(family, dtype) for dtype in ("float32", "float64") for family in FAMILIES]


def find(name: tuple[str, str]) -> Case:
    family, dtype = name
    return next(case for case in cases(dtype, 0) if case.family == family)


@pytest.fixture(params=NAMES, ids=" ".join)
def case(request: pytest.FixtureRequest) -> Case:
    return find(request.param)


@pytest.fixture(params=[name for name in NAMES if name[0] not in EMPTY], ids=" ".join)
def nonempty_case(request: pytest.FixtureRequest) -> Case:
    return find(request.param)


@pytest.fixture(params=[name for name in NAMES if FAMILIES[name[0]][0] == "saturated"], ids=" ".join)
def saturated_case(request: pytest.FixtureRequest) -> Case:
    return find(request.param)
