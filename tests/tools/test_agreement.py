"""tools/agreement.py: two tools contradict each other if both are sure, of different implementations."""

import pytest

from tests.tools.scripts import ROOT, script


@pytest.fixture(scope="module")
def agreement():
    return script(ROOT / "tools" / "agreement.py")


@pytest.mark.parametrize(
    ("of_b", "faster"),
    [
        ((1.0, 1.0), {"asv": "a", "compare": "b"}),
        ((2.1, 2.1), {"asv": "a"}),  # within the margin
        ((1.0, 2.1), {"asv": "a"}),  # the median alone is not enough
        ((3.0, 3.0), {"asv": "a", "compare": "a"}),
    ],
)
def test_a_tool_is_sure_if_median_and_fastest_sample_differ_by_the_margin(agreement, of_b, faster):
    times = {
        "asv": {"cell": {"a": agreement.Time(1.0, 1.0), "b": agreement.Time(2.0, 2.0)}},
        "compare": {"cell": {"a": agreement.Time(2.0, 2.0), "b": agreement.Time(*of_b)}},
    }
    assert list(agreement.verdicts(times)) == [("cell", ("a", "b"), faster)]
