"""What people read."""

import pytest

from softmax_impls.formatting import format_seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.26e-7, "226 ns"),
        (9.996e-7, "1 µs"),
        (3.4e-5, "34 µs"),
        (1.234e-3, "1.23 ms"),
        (1.5, "1.5 s"),
        (119.0, "119 s"),
        (3600.0, "60 min"),
    ],
)
def test_in_seconds(seconds, text):
    assert format_seconds(seconds) == text
