"""Sizes, times, counts and exceptions as text."""

import pytest

from softmax_impls.formatting import format_bytes, format_count, format_seconds, one_line


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
def test_times_have_three_digits_and_a_unit(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(12, "12 bytes"), (8.6e9, "8.6 GB"), (1e6, "1.0 MB"), (2048, "2.0 kB"), (999_950, "1.0 MB")]
)
def test_sizes_have_decimal_units(number, text):
    assert format_bytes(number) == text


def test_nouns_have_a_plural():
    assert (format_count(1, "cell"), format_count(2, "cell")) == ("1 cell", "2 cells")


def test_exceptions_are_shortened_to_one_line():
    assert one_line(ValueError("two\nlines")) == "ValueError: two lines"
    assert len(one_line(ValueError("x" * 10_000))) < 1000


def test_exceptions_that_cannot_be_printed_have_their_type():
    class BrokenError(Exception):
        def __str__(self):
            raise RuntimeError

    assert one_line(BrokenError()) == "BrokenError"
