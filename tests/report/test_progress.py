"""The line of progress."""

import io

import pytest

from softmax_impls.report.terminal.progress import progress_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, wanted=True):
    monkeypatch.setattr("sys.stderr", stream)
    with progress_line(wanted) as line:
        line.show("a step")
        line.keep("kept")
        line.show("next step")
    return stream.getvalue()


def on_screen(text, width):
    """Return the lines that a terminal shows after a text with carriage returns."""
    lines = []
    for line in text.split("\n"):
        screen = ""
        for part in line.split("\r"):
            screen = part + screen[len(part) :]
        assert len(screen) <= width
        lines.append(screen.rstrip())
    return lines


def test_terminal_shows_one_line_at_a_time_and_only_kept_lines_afterwards(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    text = shown(monkeypatch, Terminal())
    assert on_screen(text[: text.index("a step") + 6], 20) == ["a step"]
    assert on_screen(text, 20) == ["kept", ""]
    assert text.endswith("\r")


def test_line_is_cut_to_the_width_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "5")
    assert "\nnext\r" in shown(monkeypatch, Terminal())


def test_nothing_is_written_if_standard_error_is_closed(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", None)
    with progress_line(text="a step") as line:
        line.keep("kept")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("wanted", "text"), [(True, "kept\n"), (False, "")])
def test_file_has_the_kept_lines_only_and_nothing_is_written_if_it_is_not_wanted(monkeypatch, wanted, text):
    assert shown(monkeypatch, io.StringIO(), wanted) == text
    assert shown(monkeypatch, Terminal(), wanted=False) == ""
