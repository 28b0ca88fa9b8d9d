"""Sizes, times, counts and exceptions as text."""

import pytest

from softmax_impls.formatting import did_you_mean, format_bytes, format_count, format_seconds, one_line


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
    ("number", "text"),
    [(12, "12 bytes"), (2.1e12, "2.1 TB"), (8.6e9, "8.6 GB"), (1e6, "1.0 MB"), (2048, "2.0 kB"), (999_950, "1.0 MB")],
)
def test_sizes_have_decimal_units(number, text):
    assert format_bytes(number) == text


def test_nouns_have_a_plural():
    assert (format_count(1, "cell"), format_count(2, "cell")) == ("1 cell", "2 cells")


def test_exceptions_are_shortened_to_one_line():
    assert one_line(ValueError("two\nlines \x1b[31m")) == "ValueError: two lines [31m"
    assert len(one_line(ValueError("x" * 10_000))) < 1000


def test_exceptions_have_the_innermost_line_of_the_users_code():
    code = "import json\ndef mine():\n    json.loads('x')\n"
    exec(compile(code, "folder/kernels.py", "exec"), names := {})
    with pytest.raises(ValueError, match="Expecting value") as caught:
        names["mine"]()
    assert one_line(caught.value).endswith("(char 0) (kernels.py:3)")


def test_similar_names_are_suggested():
    assert did_you_mean("imagnet", {"gpt2": 1, "imagenet": 2}) == "; did you mean 'imagenet'?"
    assert did_you_mean("x", ["gpt2"]) == ""


def test_exceptions_that_cannot_be_printed_have_their_type():
    class BrokenError(Exception):
        def __str__(self):
            raise RuntimeError

    assert one_line(BrokenError()) == "BrokenError"
